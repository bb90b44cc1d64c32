"""The command `serve`: its options are the settings."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from models import __version__
from models.errors import ProjectError
from service.settings import PREFIX, Settings, describe

_INTERRUPTED = 130
"""The exit status of what Ctrl-C has ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal; returns the exit status.

    An error (a bad setting, a port in use, a store without models) is reported in one line.
    """
    _open_standard_streams()
    options = vars(_parser().parse_args(arguments))
    # For matrix products of these sizes more BLAS threads would only wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    given = {PREFIX + name.upper(): text for name, text in options.items() if text is not None}
    try:
        settings = Settings.from_environment({**os.environ, **given})
        # Until the server listens to signals. Without a handler the first process of a container is not
        # ended by SIGTERM: it would go on to serve until it is killed. One that raises an exception, as
        # Python's of Ctrl-C does, can crash the interpreter in the middle of an import (orjson's).
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        signal.signal(signal.SIGINT, lambda *_: os._exit(_INTERRUPTED))
        from service.launch import run  # noqa: PLC0415 - slow, and not needed to refuse a setting

        return run(settings)
    except ProjectError as error:
        print(f"serve: {error}", file=sys.stderr)  # noqa: T201 - the command's own words
        return 2
    except KeyboardInterrupt:  # before the server listens to signals
        return _INTERRUPTED


def _open_standard_streams() -> None:
    """Let the null device stand for a standard stream that is closed, in the workers too.

    Else the next socket got its number, and what a library prints.
    """
    closed = [name for name in ("stdin", "stdout", "stderr") if getattr(sys, name) is None]
    for name in closed:  # each gets the lowest number that is free, its own
        number = os.open(os.devnull, os.O_RDWR)
        os.set_inheritable(number, True)  # noqa: FBT003 - by position alone
        setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w"))
    if "stdout" in closed:
        print("serve: standard output is closed: there is no log", file=sys.stderr)  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="serve",
        usage="serve [--OPTION VALUE ...]",
        description="Serve the models of a store over HTTP.",
        epilog="Each option is also read from the environment: --batch-rows is "
        f"{PREFIX}BATCH_ROWS.",
    )
    parser.add_argument("--version", action="version", version=f"serve {__version__}")
    for key, default, help_ in describe():
        option = "--" + key.removeprefix(PREFIX).lower().replace("_", "-")
        told = f"default: {default}" if default else "not set by default"
        parser.add_argument(option, metavar="VALUE", help=f"{help_} ({told})")
    return parser
