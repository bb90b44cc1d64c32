"""The command `train`: make models, judge recipes, keep the store."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from models import __version__, bundle, files
from models.errors import ProjectError, SettingsError, StoreError
from models.store import Store
from models.tasks import TASKS
from training import (
    catalogue,
    cluster,
    data,
    evaluate,
    overrides,
    product,
    protocols,
    score,
    search_cli,
    tables,
    trace,
)
from training.data import Dataset
from training.options import (
    DEFAULT_STORE,
    INTERRUPTED,
    TASK_NAMES,
    Dask,
    Data,
    Seed,
    StoreFolder,
    Task,
    TrustedKey,
    path_of,
    store_folder,
)
from training.progress import Nobody, watch_for
from training.recipes import Recipe

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train the networks on their data, judge them, and keep the store of versions.",
)
store_app = typer.Typer(no_args_is_help=True, help="The versions in a store.")
app.add_typer(store_app, name="store")
app.command("score")(score.score)
app.command("search")(search_cli.search)

_out = Console(highlight=False, markup=False)
_progress = Console(stderr=True, highlight=False, markup=False)

RecipeName = Annotated[
    str | None, typer.Option("--recipe", metavar="NAME", help="One of `train recipes`.")
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", envvar="SERVICE_SIGNING_KEY_FILE", help="Sign bundles with this file's key."
    ),
]
Version = Annotated[str, typer.Argument(help="A version of `train store list`.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a hyper-parameter: rate=0.01."),
]
Plots = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        parser=path_of("--plots"),
        help="Folder for plots of the held-out evaluation.",
    ),
]


def run() -> int:
    """Run the command line; an error is reported in one line. Returns the exit status."""
    try:
        app()
    except ProjectError as error:
        return _fail(str(error))
    except OSError as error:
        reason = error.strerror or str(error)
        return _fail(f"{error.filename}: {reason}" if error.filename else reason)
    except MemoryError as error:
        detail = f" ({error})" if str(error) else ""
        return _fail(
            f"memory ran out{detail}; fewer rows, networks, hidden units or --jobs need less"
        )
    return 0


def _fail(message: str) -> int:
    print(f"train: {message}", file=sys.stderr)  # noqa: T201  # the command's own words
    return 2


def _show_version(asked: bool) -> None:  # noqa: FBT001  # typer's form of a callback
    if asked:
        _out.print(f"train {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Options of the command itself, before the name of what it shall do."""


@app.command("all")
def train_all(
    data_: Annotated[Path | None, typer.Option("--data", hidden=True)] = None,
    store: StoreFolder = DEFAULT_STORE,
    seed: Seed = 0,
    key: KeyFile = None,
) -> None:
    """Train every model on the embedded data and publish it."""
    if data_ is not None:
        raise SettingsError("--data is the file of one model: train bikes --data FILE")
    for name in TASKS:
        _train(_chosen(name, None, None), data.read(name), Store(store), seed, key, None)


def _add_command(task: str) -> None:
    @app.command(task, help=f"Train the model of {task} and publish it.")
    def command(
        recipe: RecipeName = None,
        data_: Data = None,
        store: StoreFolder = DEFAULT_STORE,
        seed: Seed = 0,
        set_: Set = None,
        plots: Plots = None,
        key: KeyFile = None,
        dask: Dask = None,
    ) -> None:
        chosen, dataset = _chosen(task, recipe, set_), data.read(task, data_)
        with cluster.backend(dask):
            _train(chosen, dataset, Store(store), seed, key, plots)


for _name in TASKS:
    _add_command(_name)


@app.command("evaluate")
def evaluate_(
    task: Task,
    recipe: RecipeName = None,
    protocol: Annotated[str | None, typer.Option(help="How rows are held out.")] = None,
    data_: Data = None,
    seed: Seed = 0,
    partitions: Annotated[int, typer.Option(min=1, help="How often cv is repeated.")] = 1,
    set_: Set = None,
    plots: Plots = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    dask: Dask = None,
) -> None:
    """Evaluate a recipe on rows that it did not see, beside a simple baseline."""
    chosen = _chosen(catalogue.task(task), recipe, set_)
    dataset = data.read(task, data_)
    protocol = protocols.main(dataset.task) if protocol is None else protocol
    protocols.splits(dataset, protocol, seed, partitions)
    if partitions > 1 and protocol != "cv":
        raise SettingsError(
            f"--partitions is how often cv is repeated, and the protocol is {protocol}"
        )
    _check_writable(plots)
    watch = Nobody() if as_json else watch_for(_progress)
    with cluster.backend(dask):
        found = evaluate.evaluate(chosen, dataset, protocol, seed, partitions, watch)
    if as_json:
        print(json.dumps(found.as_json()))  # noqa: T201  # for a program to read
    else:
        _show(found)
    if plots is not None:  # at the end: what fails here loses no scores
        _save_pictures(found, dataset, plots, _progress if as_json else _out)


@app.command("recipes")
def recipes() -> None:
    """List the recipes."""
    _out.print(tables.recipes(catalogue.RECIPES.values()))


@app.command("report")
def report_(
    task: Annotated[str | None, typer.Argument(help=f"{TASK_NAMES}; by default all")] = None,
    to: Annotated[
        Path, typer.Option(metavar="DIR", parser=path_of("--to"), help="Where the pages go.")
    ] = Path("reports"),
    data_: Data = None,
    seed: Seed = 0,
) -> None:
    """Write a page about each model: plots, metrics beside those of peers, limits of use."""
    from training import report  # noqa: PLC0415  # matplotlib is slow to import

    if data_ is not None and task is None:
        raise SettingsError("--data is the file of one model: train report bikes --data FILE")
    _check_writable(to)
    for name in TASKS if task is None else [catalogue.task(task)]:
        dataset = data.read(name, data_)
        _say(f"wrote {report.write(name, dataset, to, seed, watch_for(_progress))}")


@app.command("trace")
def trace_(
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw gradient descent to this PNG, SVG or PDF."),
    ] = None,
) -> None:
    """Work the lecture's exercise, step by step."""
    _out.print(tables.exercise(trace.work()))
    if plot is not None:
        from training import plots  # noqa: PLC0415  # matplotlib is slow to import

        plots.save(plots.descent(), plot)
        _say(f"gradient descent is drawn in {plot}")


@store_app.command("list")
def list_(store: StoreFolder = DEFAULT_STORE) -> None:
    """List the versions of every model; the active one is marked."""
    if store.exists() and not store.is_dir():
        raise StoreError(f"{store}: is no folder")
    _out.print(tables.versions(Store(store)))


@store_app.command()
def activate(
    model: Task, version: Version, store: StoreFolder = DEFAULT_STORE, key: TrustedKey = None
) -> None:
    """Make a version the active one."""
    Store(store).activate(catalogue.task(model), version, bundle.read_key(key))
    _say(f"{model}: {version} is active")


@store_app.command()
def rollback(model: Task, store: StoreFolder = DEFAULT_STORE, key: TrustedKey = None) -> None:
    """Go back to the version that was active before."""
    version = Store(store).rollback(catalogue.task(model), bundle.read_key(key))
    _say(f"{model}: {version} is active again")


@store_app.command()
def prune(
    model: Task,
    keep: Annotated[
        int,
        typer.Option(
            min=0, help="How many others to keep: those a rollback leads to, then the newest."
        ),
    ] = 10,
    store: StoreFolder = DEFAULT_STORE,
) -> None:
    """Remove old versions; the active one always stays."""
    removed = Store(store).prune(catalogue.task(model), keep)
    for version in removed:
        _say(f"{model}: {version} is removed")
    if not removed:
        _say(f"{model}: there is nothing to remove")


@store_app.command()
def copy(
    model: Task,
    version: Version,
    to: Annotated[Path, typer.Option(metavar="DIR", parser=store_folder, help="The other store.")],
    store: StoreFolder = DEFAULT_STORE,
    key: TrustedKey = None,
) -> None:
    """Copy a version to another store and make it the active one there."""
    Store(store).copy(catalogue.task(model), version, Store(to), bundle.read_key(key))
    _say(f"{model}: {version} is active in {to}")


def _chosen(task: str, name: str | None, changes: list[str] | None) -> Recipe:
    return overrides.override(catalogue.recipe(task if name is None else name, task), changes or [])


def _train(  # what the three commands share
    recipe: Recipe,
    dataset: Dataset,
    store: Store,
    seed: int,
    key: Path | None,
    plots: Path | None,
) -> None:
    secret = bundle.read_key(key)
    files.check_writable(store.home(recipe.task), sum(bundle.LARGEST.values()))
    _check_writable(plots)
    try:
        made = product.make(recipe, dataset, seed, watch_for(_progress))
    except KeyboardInterrupt:
        words = f"train: interrupted; {recipe.task} in {store.folder} is as it was"
        _progress.print(words, soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    try:
        with _uninterrupted() as interrupts:  # before anything else can fail
            version = product.publish(made, store, secret)
    except Exception:  # the scores took a training, too, and are told even if the store fails
        # and if they cannot be, for a full disk or a closed pipe, the store's fault matters more
        with suppress(OSError, SystemExit):
            _tell(made)
        raise
    _tell(made)
    _say(f"{recipe.task}: published {version} to {store.folder}")
    if made.evaluation is not None and plots is not None:
        _save_pictures(made.evaluation, dataset, plots, _out)
    if interrupts:
        raise typer.Exit(INTERRUPTED)


def _tell(made: product.Product) -> None:
    if made.evaluation is not None:
        _show(made.evaluation)
    for remark in made.remarks:
        _say(f"remark: {remark}")


def _check_writable(folder: Path | None) -> None:
    """Fail before a training rather than after it."""
    if folder is not None:
        files.check_writable(folder)


def _say(line: str) -> None:
    _out.print(line, soft_wrap=True)


def _show(found: evaluate.Evaluation) -> None:
    _out.print(tables.evaluation(found))
    for line in tables.remarks(found):
        _say(line)


def _save_pictures(
    found: evaluate.Evaluation, dataset: Dataset, folder: Path, told: Console
) -> None:
    from training import plots  # noqa: PLC0415  # matplotlib is slow to import

    for path in plots.save_evaluation(found, dataset, folder):
        told.print(f"saved {path}", soft_wrap=True)


@contextmanager
def _uninterrupted() -> Iterator[list[int]]:
    """Ctrl-C waits until the version is in place, a moment; the signals that came are listed."""
    came: list[int] = []
    old = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, old)
