"""How much an HDF5 file may hold; the reading child and the writer keep the same limits."""

MAX_FILE_BYTES = 768 << 20
"""Twice this is what reading may need; VGG-19 for ImageNet in float32 is 575 MB."""

MAX_ARRAY_BYTES = 752 << 20
"""What a writer puts into a file of at most that size."""

CPU_SECONDS = 20
"""What reading a file may take of a processor, however busy the machine is; the largest good file takes a fraction."""

MAX_DEPTH = 4
MAX_OBJECTS = 10_000
MAX_NAME_BYTES = 255
MAX_ATTRIBUTES = 64
MAX_STRING_BYTES = 1 << 16
"""Of one attribute, all strings of a list together, and of one string of a dataset."""

MAX_INDEX_BYTES = 4 << 20
"""All names and attributes together."""

INDEX_SPACE = 64 << 20
"""Where the arrays begin in the child's answer: the index as JSON is never larger."""

MAX_CHUNKS = 1024
MAX_CHUNK_BYTES = 64 << 20
MAX_RANK = 8

MAX_FOREIGN_BYTES = 256 << 20
"""Of all arrays of a file of another tool, unpacked: they may be compressed, so the size of the file says nothing."""

MAX_FOREIGN_DEPTH = 8
MAX_FOREIGN_TEXTS = 100_000
"""Strings of variable length in one dataset."""

FILTERS = ("shuffle", "gzip", "fletcher32")
"""The filters of HDF5 that image files may have; `formats.images.stored` undoes them."""

MAX_DATA_CHUNKS = 1 << 21
"""Of all datasets of an image file together; ImageNet with a chunk for each image has 1.3 million."""

SYSTEM_STATUS = 100
"""The child ends with this plus the number of the error if the system refused it memory or the file."""
