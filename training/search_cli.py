"""`train search`: the command."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from models.errors import SettingsError
from models.tasks import TASKS
from training import catalogue, data, tables
from training.search import PROTOCOL, Search, parse, run

INTERRUPTED = 130

_out = Console(highlight=False, markup=False)


def search(  # noqa: PLR0913  # a command line
    task: Annotated[str, typer.Argument(help="bikes or admission")],
    vary: Annotated[
        list[str],
        typer.Option(
            metavar="KEY=RANGE", help="What to draw: rate=0.001..0.01, or hidden=64,32|96,48."
        ),
    ],
    recipe: Annotated[str | None, typer.Option(metavar="NAME", help="Where to start from.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="How many, with those that are there.")] = 20,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Lines of JSON, one a trial; goes on with it.")
    ] = Path("search.jsonl"),
    protocol: Annotated[str | None, typer.Option(help="Whose rows for choosing judge.")] = None,
    data_: Annotated[
        Path | None, typer.Option("--data", metavar="CSV", help="Another CSV of the same schema.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of every random choice.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes of this machine.")] = 1,
    dask: Annotated[
        str | None, typer.Option(metavar="tcp://HOST:PORT", help="A Dask cluster's scheduler.")
    ] = None,
) -> None:
    """Try random hyper-parameters of a recipe, on rows that are no test.

    Give the same command again to go on after an interruption, or with more --trials to add some.
    """
    if task not in TASKS:
        raise SettingsError(catalogue.unknown("model", task, list(TASKS)))
    chosen = catalogue.recipe(recipe or task, task)
    settings = tuple(parse(text) for text in vary)
    dataset = data.read(task, data_)
    asked = Search(chosen, dataset, settings, protocol or PROTOCOL[task], seed)
    try:
        found = run(asked, trials, out, jobs, dask)
    except KeyboardInterrupt:
        _out.print("train: interrupted; the same command goes on from here", soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    _out.print(tables.trials(asked, found))
    best = found[0]
    if best.score is None:
        raise SettingsError("every trial diverged; vary smaller rates")
    changes = " ".join(f"--set {shlex.quote(change)}" for change in best.changes)
    _out.print(f"judge it: train evaluate {task} --recipe {chosen.name} {changes}", soft_wrap=True)
