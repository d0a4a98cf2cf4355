"""`python -m refsim` is `refsim`."""

from refsim.cli import main

if __name__ == "__main__":
    main()
