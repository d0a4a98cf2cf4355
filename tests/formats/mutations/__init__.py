"""Everything we could think of that can be wrong with a weight file, each with a piece of what must be said.

Three families: bytes that are not an HDF5 file of ours; HDF5 that the policy refuses, whatever its digest; and
well-formed, correctly sealed HDF5 that says something impossible (so what lies behind the digest is reached).
"""

from . import attributes, hdf5, missing, raw, values
from .base import MUTATIONS, Mutation, write

__all__ = ["MUTATIONS", "Mutation", "attributes", "hdf5", "missing", "raw", "values", "write"]
