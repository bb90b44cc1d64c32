"""`train score`: the command. The work is done by `training.scoring`, which needs the extra `score`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from models import bundle
from models.errors import SettingsError
from models.interval import DEFAULT_LEVEL, HIGHEST_LEVEL, LOWEST_LEVEL
from training import catalogue
from training.options import (
    DEFAULT_STORE,
    Dask,
    Jobs,
    StoreFolder,
    Task,
    TrustedKey,
    path_of,
    resumable,
)

FORMATS = ("parquet", "csv")


def score(  # noqa: PLR0913  # a command line
    model: Task,
    inputs: Annotated[
        list[Path],
        typer.Argument(parser=path_of("a file to score"), help="Files, or folders of files."),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", parser=path_of("--out"), help="Folder for the answers.")
    ],
    store: StoreFolder = DEFAULT_STORE,
    version: Annotated[
        str | None, typer.Option(help="Version of the model; by default the active one.")
    ] = None,
    key: TrustedKey = None,
    level: Annotated[
        float, typer.Option(min=LOWEST_LEVEL, max=HIGHEST_LEVEL, help="Level of the intervals.")
    ] = DEFAULT_LEVEL,
    form: Annotated[str, typer.Option("--format", help="parquet or csv")] = "parquet",
    jobs: Jobs = 1,
    dask: Dask = None,
) -> None:
    """Predict every row of CSV or Parquet files of any size.

    Each file becomes a folder of parts in DIR, with one row for every row of
    the file, in the same order. A row that cannot be predicted is null there,
    and listed with the reason in rejected.csv. Repeat the command to go on
    after an interruption.
    """
    catalogue.task(model)
    if form not in FORMATS:
        raise SettingsError(f"--format must be {' or '.join(FORMATS)}, and is {form}")
    try:
        from training.scoring.run import Request, run  # noqa: PLC0415  # an extra, slow to import
    except ModuleNotFoundError as error:
        pip = f"{shlex.quote(sys.executable)} -m pip"  # another pip would install it elsewhere
        raise SettingsError(
            f"train score needs the package {error.name}: {pip} install -r requirements/score.txt "
            f"in a checkout, else {pip} install 'backprop-service[score]'"
        ) from None
    request = Request(
        model,
        tuple(inputs),
        out,
        store,
        version,
        level,
        f".{form}",
        jobs,
        dask,
        bundle.read_key(key),
    )
    with resumable():
        typer.echo(run(request))
