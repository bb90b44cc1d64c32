"""What several `train` commands share: options, and what Ctrl-C does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from models.errors import SettingsError
from models.tasks import TASKS

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""

TASK_NAMES = " or ".join(TASKS)
Task = Annotated[str, typer.Argument(help=TASK_NAMES)]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="CSV", help="Another CSV file with the same columns."),
]


def path_of(what: str) -> Callable[[str | Path], Path]:
    """Reads a path; "" is refused, as it is more likely an unset variable than this folder.

    The reader raises SettingsError, which names `what`.
    """

    def read(text: str | Path) -> Path:
        if not str(text):
            raise SettingsError(f"{what} must be a path, and is empty")
        return Path(text)

    return read


store_folder = path_of("the folder of a store")

StoreFolder = Annotated[
    Path,
    typer.Option(
        "--store",
        metavar="DIR",
        envvar="SERVICE_STORE",
        parser=store_folder,
        help="Folder of the store.",
    ),
]
TrustedKey = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="FILE",
        envvar="SERVICE_SIGNING_KEY_FILE",
        help="Key that the model must be signed with.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of every random choice.")]
Jobs = Annotated[int, typer.Option(min=1, help="Processes to use on this machine.")]
Dask = Annotated[
    str | None,
    typer.Option(metavar="tcp://HOST:PORT", help="Scheduler of a Dask cluster to use instead."),
]

DEFAULT_STORE = Path("store")


@contextmanager
def resumable() -> Iterator[None]:
    """Ctrl-C ends a command that goes on where it was when it is repeated."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("train: interrupted; the same command goes on from here", err=True)
        raise typer.Exit(INTERRUPTED) from None
