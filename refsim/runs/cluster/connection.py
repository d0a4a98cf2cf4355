"""Finding a cluster, or starting one here; the only module that imports dask."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from refsim.exceptions import RefsimError, UsageError
from refsim.runs.cluster.client import Cluster

CONNECT_SECONDS = 15


def require_dask() -> None:
    """Check that dask.distributed is there.

    Raises
    ------
    UsageError
        It is not.
    """
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise UsageError("--scheduler needs dask.distributed: pip install 'refsim[dask]'") from None


@contextmanager
def connected(address: str, n_workers: int) -> Iterator[Cluster]:
    """A cluster: the one whose scheduler is at `address`, or for "local" one of `n_workers` processes here.

    Raises
    ------
    UsageError
        dask.distributed is missing, or the address cannot be one.
    RefsimError
        Nothing answers there, or it has no workers.
    """
    require_dask()
    import dask
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if address != "local" and "://" not in address:
        raise UsageError(f"--scheduler {address}: write it as tcp://host:8786, tls://host:8786 or local")
    # Every worker of ours would stop a hundred times a second to see what it is doing.
    with dask.config.set({"distributed.scheduler.worker-ttl": "8s", "distributed.worker.profile.enabled": False}):
        if address == "local":
            with _sigint_ignored(), warnings.catch_warnings():
                # Of a port that is taken; dask then finds another one for a page that nobody looks at.
                warnings.simplefilter("ignore", UserWarning)
                local = LocalCluster(
                    n_workers=n_workers,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
            with local, Client(local, set_as_default=False) as client:
                yield Cluster(client, address)
            return
        try:
            client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise RefsimError(f"--scheduler {address}: no scheduler answers ({type(error).__name__})") from None
        with client:
            yield Cluster(client, address)


@contextmanager
def _sigint_ignored() -> Iterator[None]:
    """Children begun in here do not see a Ctrl-C, which the terminal sends to all of them; they end with us."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
