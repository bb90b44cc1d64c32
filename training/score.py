"""`train score`: the command. What it does is in `training.scoring`, which needs the extra `score`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from models import bundle
from models.errors import SettingsError
from models.interval import DEFAULT_LEVEL, HIGHEST_LEVEL, LOWEST_LEVEL
from models.tasks import TASKS
from training import catalogue

FORMATS = ("parquet", "csv")
INTERRUPTED = 130

_out = Console(highlight=False, markup=False)


def score(  # noqa: PLR0913  # a command line
    model: Annotated[str, typer.Argument(help="bikes or admission")],
    inputs: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Files, or folders of files.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the answers.")],
    store: Annotated[
        Path, typer.Option(metavar="DIR", envvar="SERVICE_STORE", help="The store's folder.")
    ] = Path("store"),
    version: Annotated[
        str | None, typer.Option(help="Of the model; by default the active one.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="SERVICE_SIGNING_KEY_FILE",
            help="Must have signed the bundle.",
        ),
    ] = None,
    level: Annotated[
        float, typer.Option(min=LOWEST_LEVEL, max=HIGHEST_LEVEL, help="Of the intervals.")
    ] = DEFAULT_LEVEL,
    form: Annotated[str, typer.Option("--format", help="parquet or csv")] = "parquet",
    jobs: Annotated[int, typer.Option(min=1, help="Processes of this machine.")] = 1,
    dask: Annotated[
        str | None, typer.Option(metavar="tcp://HOST:PORT", help="A Dask cluster's scheduler.")
    ] = None,
) -> None:
    """Predict every row of CSV or Parquet files of any size.

    In DIR each file becomes a folder of parts, with one row for every row of the file, in its order.
    What cannot be predicted is null there, and stands with the reason in rejected.csv. Give the same
    command again to go on with what was interrupted.
    """
    if model not in TASKS:
        raise SettingsError(catalogue.unknown("model", model, list(TASKS)))
    if form not in FORMATS:
        raise SettingsError(f"--format must be {' or '.join(FORMATS)}, and is {form}")
    try:
        from training.scoring.run import Request, run  # noqa: PLC0415  # an extra, slow to import
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"train score needs the package {error.name}: pip install -r requirements/score.txt"
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
    try:
        said = run(request)
    except KeyboardInterrupt:
        _out.print("train: interrupted; the same command goes on from here", soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    _out.print(said, soft_wrap=True)
