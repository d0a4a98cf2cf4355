"""Many machines: shards of images as tasks of dask.distributed (extra `dask`), counted once whatever happens to them.

The client keeps the ledger. A cluster forgets everything with its scheduler, so nothing in it is relied on: a task
that ends in any other way than "finished" is submitted again, a task that takes suspiciously long is submitted a
second time to another worker, and the run directory inserts a row or finds it there and equal.

Workers find weights and data by path and check their digests: scattered arrays would be lost with the one worker that
holds them, and a shared file is read once by each worker anyway.
"""
