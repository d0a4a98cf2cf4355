"""The weight file: HDF5, one network with its samples and golden results (docs/format.md)."""
