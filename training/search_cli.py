"""`train search`: the command."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from models.errors import SettingsError
from training import catalogue, data, protocols, tables
from training.options import Dask, Data, Jobs, Seed, Task, resumable
from training.search import Search, overlaps, parse, run

_out = Console(highlight=False, markup=False)


def search(  # noqa: PLR0913  # a command line
    task: Task,
    vary: Annotated[
        list[str],
        typer.Option(
            metavar="KEY=RANGE", help="What to vary: rate=0.001..0.01, or hidden=64,32|96,48."
        ),
    ],
    recipe: Annotated[
        str | None, typer.Option(metavar="NAME", help="The recipe to start from.")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials in all, earlier ones included.")] = 20,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="JSON Lines, one a trial; an existing file is continued."
        ),
    ] = Path("search.jsonl"),
    protocol: Annotated[
        str | None, typer.Option(help="Protocol whose validation rows decide.")
    ] = None,
    data_: Data = None,
    seed: Seed = 0,
    jobs: Jobs = 1,
    dask: Dask = None,
) -> None:
    """Try random hyper-parameters of a recipe, judged by validation rows.

    In p1 and p3 these are no test rows. Where a protocol has several splits,
    those of one split are test rows of another.

    Repeat the command to go on after an interruption, or with more --trials to add some.
    """
    chosen = catalogue.recipe(task if recipe is None else recipe, catalogue.task(task))
    settings = tuple(parse(text) for text in vary)
    dataset = data.read(task, data_)
    protocol = protocols.choosing(dataset.task) if protocol is None else protocol
    asked = Search(chosen, dataset, settings, protocol, seed)
    with resumable():
        found = run(asked, trials, out, jobs, dask)
    _out.print(tables.trials(asked, found))
    best = found[0]
    if best.score is None:
        raise SettingsError("every trial diverged; vary smaller rates")
    if overlaps(asked):
        why = f"validation rows of one split of {protocol} are test rows of another"
        _out.print(f"its score there will be a little too good: {why}", soft_wrap=True)
    words = ["train", "evaluate", task, "--recipe", chosen.name, "--protocol", protocol]
    words += ["--data", str(data_)] if data_ else []
    words += ["--seed", str(seed)] if seed else []
    words += [word for change in best.changes for word in ("--set", change)]
    _out.print(f"judge it: {shlex.join(words)}", soft_wrap=True)
