"""`train search`: random search over a recipe's hyper-parameters (Bergstra and Bengio 2012).

A trial draws a value for each setting, fits the recipe's networks, and scores them on rows that are
kept for model selection: the protocol's validation rows or, if it has none, a stratified fifth of each
split's training rows. A trial sees no test row of the split that it is scored on; evaluate the winner with
`train evaluate`. But where a protocol has several splits (cv, holdout, p2, rolling), rows that choose in
one are test rows of another, so that the winner's score there is a little too good, see `overlaps`.

Trials are independent and numbered; what trial n draws depends only on the seed and n. So they may run
anywhere and in any order, and an interrupted search goes on with the trials that are not done.
"""

import fcntl
import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from models import files
from models.arrays import FloatArray, IntArray
from models.errors import DataError, DivergedError, SettingsError
from models.task import Task
from training import cluster, metrics
from training.counter import counting
from training.data import Dataset
from training.overrides import STUDENT, override
from training.pipeline import answers, fit_rows
from training.protocols import splits, stratified_folds
from training.recipes import Recipe

CHOOSING_FOLDS = 5


def judged_by(task: Task) -> str:
    """What the best trial has the least of, a key of `training.metrics`."""
    return "rmse" if task.threshold is None else "log_loss"


@dataclass(frozen=True)
class Setting:
    """A hyper-parameter and its values: one of `choices`, or a number from low to high.

    Numbers are drawn evenly on a log scale if low is above 0; `whole` ones are rounded.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False

    def draw(self, rng: np.random.Generator) -> str:
        """A value, as `--set` takes it."""
        if self.choices:
            return self.choices[int(rng.integers(len(self.choices)))]
        if self.low > 0.0:
            value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        else:
            value = rng.uniform(self.low, self.high)
        return str(round(value)) if self.whole else f"{value:.4g}"


def parse(text: str) -> Setting:
    """A setting from "key=low..high" or "key=this|that". Raises SettingsError."""
    key, found, values = (part.strip() for part in text.partition("="))
    low, is_range, high = values.partition("..")
    form = f"--vary {text}: write rate=0.001..0.01 or hidden=64,32|96,48"
    if not key or not found:
        raise SettingsError(form)
    if is_range:
        ends = _number(low), _number(high)
        if not -math.inf < ends[0] < ends[1] < math.inf:
            raise SettingsError(f"--vary {text}: the range must be low..high, two numbers")
        whole = all(part.strip().lstrip("-").isdigit() for part in (low, high))
        return Setting(key, (), *ends, whole)
    choices = tuple(part.strip() for part in values.split("|"))
    if not all(choices):
        raise SettingsError(form)
    return Setting(key, choices)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


@dataclass(frozen=True)
class Search:
    """What is searched, on which data, and how trials are scored."""

    recipe: Recipe
    dataset: Dataset
    settings: tuple[Setting, ...]
    protocol: str
    seed: int

    def drawn(self, number: int) -> list[str]:
        """The changes of trial `number`, as `--set` takes them."""
        rng = np.random.default_rng([self.seed, number])
        return [f"{setting.key}={setting.draw(rng)}" for setting in self.settings]

    def header(self) -> dict[str, Any]:
        """What must be the same for a search to go on."""
        return {
            "recipe": self.recipe.name,
            "data": self.dataset.digest,
            "vary": [str(setting) for setting in self.settings],
            "protocol": self.protocol,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Trial:
    """The result of a trial; score is None if the training diverged, and reason says how."""

    number: int
    changes: list[str]
    score: float | None
    seconds: float
    reason: str = ""


def check(search: Search, trials: int) -> None:
    """Raise SettingsError or TrainingError if any trial could not be run, before the first one is."""
    keys = [setting.key for setting in search.settings]
    for setting in search.settings:
        if keys.count(setting.key) > 1:
            raise SettingsError(f"--vary {setting.key}: is there twice")
        if setting.key.startswith(STUDENT):
            what = "a trial judges the networks that a student learns from, and not the student"
            raise SettingsError(f"--vary {setting.key}: {what}")
    for number in range(trials):
        override(search.recipe, search.drawn(number))
    splits(search.dataset, search.protocol, search.seed)


def try_one(search: Search, number: int) -> Trial:
    """Draw, fit and score one trial; called by the workers."""
    began = time.perf_counter()
    changes = search.drawn(number)
    try:
        score: float | None = _judge(override(search.recipe, changes), search)
        reason = ""
    except DivergedError as error:
        score, reason = None, str(error)
    return Trial(number, changes, score, time.perf_counter() - began, reason)


def overlaps(search: Search) -> bool:
    """Whether rows by which trials are chosen are test rows of another split of the protocol."""
    made = splits(search.dataset, search.protocol, search.seed)
    kept = [split.validation if len(split.validation) else split.train for split in made]
    return bool(np.isin(np.concatenate(kept), np.concatenate([split.test for split in made])).any())


def _judge(recipe: Recipe, search: Search) -> float:
    """The mean, over the splits, of the metric on the rows for model selection."""
    dataset = search.dataset
    quantity = dataset.task.threshold is None
    target = dataset.outcome
    of = metrics.regression if quantity else metrics.classification
    found = []
    for split in splits(dataset, search.protocol, search.seed):
        rng = np.random.default_rng(search.seed)
        train, judged, validation = split.train, split.validation, split.validation
        if not len(judged):
            train, judged = _set_aside(target, split.train, rng)
        fitted = fit_rows(
            recipe, dataset, train, validation if len(validation) else None, rng, None
        )
        said = answers(fitted, dataset, judged)
        found.append(of(target[judged], said)[judged_by(dataset.task)])
    return float(np.mean(found))


def _set_aside(
    target: FloatArray, rows: IntArray, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Split training rows into rows to learn from and rows for model selection."""
    fold = stratified_folds(target[rows], rng, CHOOSING_FOLDS)
    return rows[fold != 0], rows[fold == 0]


def run(search: Search, trials: int, out: Path, jobs: int, dask: str | None) -> list[Trial]:
    """All trials, the best first: those that `out` (lines of JSON) has, and the others, added to it.

    Raises DataError when `out` is of another search, or another process is adding to it, and OSError when
    it cannot be written.
    """
    check(search, trials)
    with _alone(out) as file:
        with files.naming(out):
            found = _begun(search, file)
        left = [number for number in range(trials) if number not in found]
        with counting("trials", trials, trials - len(left)) as counter:
            tasks = ((search, number) for number in left)
            for trial in cluster.map_unordered(try_one, tasks, min(jobs, len(left) or 1), dask):
                found[trial.number] = trial
                with files.naming(out):
                    _add(file, trial.__dict__)
                counter.advance()
    wanted = [trial for number, trial in found.items() if number < trials]
    return sorted(wanted, key=lambda t: (math.inf if t.score is None else t.score, t.number))


@contextmanager
def _alone(out: Path) -> Iterator[FileIO]:
    """The file, read and appended to by this process alone: the lock is the kernel's and goes with it."""
    if out.exists() and not out.is_file():  # of a device there may be no end
        raise DataError(f"{out}: is no file; choose another --out")
    with out.open("a+b", buffering=0) as file:  # what could not be written is not tried again
        try:
            with files.naming(out):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(
                f"{out}: another search is adding to it; let it end, or choose another --out"
            ) from None
        yield file


def _begun(search: Search, file: FileIO) -> dict[int, Trial]:
    """The trials that are done; begins the file where it is empty, or has only a part of the first line."""
    file.seek(0)
    content = file.read()
    whole = content[: content.rfind(b"\n") + 1]
    header = _line(search.header())
    if not (content.startswith(header) or header.startswith(content)):
        raise DataError(f"{file.name}: is not of this search; choose another --out")
    lines = whole[len(header) :].decode(errors="replace").splitlines()
    try:
        trials = [Trial(**json.loads(line)) for line in lines]
    except (ValueError, TypeError):
        raise DataError(
            f"{file.name}: has a line that is no trial; remove it, or choose another"
        ) from None
    file.truncate(len(whole))  # a line that was being written when the search ended
    if not whole:
        _add(file, search.header())
    return {trial.number: trial for trial in trials}


def _add(file: FileIO, line: dict[str, Any]) -> None:
    left = _line(line)
    while left:
        left = left[file.write(left) :]


def _line(of: dict[str, Any]) -> bytes:
    return json.dumps(of).encode() + b"\n"
