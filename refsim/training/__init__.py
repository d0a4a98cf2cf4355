"""Training of source ANNs with PyTorch (extra `train`); nothing else in refsim imports this room."""
