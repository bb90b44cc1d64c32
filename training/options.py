"""Options that several `train` commands share, and the exit status after Ctrl-C."""

from pathlib import Path
from typing import Annotated

import typer

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""

Task = Annotated[str, typer.Argument(help="bikes or admission")]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="CSV", help="Another CSV file with the same columns."),
]
StoreFolder = Annotated[
    Path,
    typer.Option("--store", metavar="DIR", envvar="SERVICE_STORE", help="Folder of the store."),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of every random choice.")]
Jobs = Annotated[int, typer.Option(min=1, help="Processes to use on this machine.")]
Dask = Annotated[
    str | None,
    typer.Option(metavar="tcp://HOST:PORT", help="Scheduler of a Dask cluster to use instead."),
]

DEFAULT_STORE = Path("store")
