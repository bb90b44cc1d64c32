"""`python -m training` is the command `train`."""

import os
import sys


def main() -> int:
    """Run the command line; returns the exit status."""
    # The products here are small: more than one thread of BLAS for each only waits for the other.
    # It must be said before NumPy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from training.cli import run  # noqa: PLC0415

    return run()


if __name__ == "__main__":
    sys.exit(main())
