"""File formats: the weight file, image data sets, and where files are looked for."""
