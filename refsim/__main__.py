"""`python -m refsim` is `refsim`."""

from refsim.cli import start

if __name__ == "__main__":
    start()
