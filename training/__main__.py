"""`python -m training` is the command `train`."""

import io
import os
import sys


def main() -> int:
    """Run the command line; returns the exit status.

    An environment that was made for serving has this command, but not all that it needs.
    """
    # The products here are small: more than one thread of BLAS for each only waits for the other.
    # It must be said before NumPy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a locale need not have every letter of a formula
            stream.reconfigure(errors="replace")
    try:
        from training.cli import run  # noqa: PLC0415

        return run()
    except ModuleNotFoundError as error:
        needs = "`make train` in a checkout installs it, else pip install 'backprop-service[train]'"
        print(f"train: the package {error.name} is missing: {needs}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:  # while the packages are imported, which takes a second
        return 130


if __name__ == "__main__":
    sys.exit(main())
