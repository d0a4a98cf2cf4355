"""Launcher for a checkout: `python cli.py run ...` is `refsim run ...`."""

from refsim.cli import start

if __name__ == "__main__":
    start()
