"""The tables and lines that the command line shows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from models.errors import PointerError, StoreError
from models.store import Store
from models.task import Task
from models.tasks import TASKS
from training import baselines, metrics
from training.evaluate import Evaluation
from training.protocols import DESCRIPTIONS
from training.recipes import Recipe
from training.search import Search, Trial, judged_by
from training.trace import Exercise

NAMES = {
    "mae": "MAE",
    "rmse": "RMSE",
    "rmsle": "RMSLE",
    "r2": "R²",
    "log_loss": "log loss",
    "brier": "Brier score",
    "auc": "AUC",
    "accuracy": "accuracy",
    "ece": "calibration error",
    "slope": "calibration slope",
    "intercept": "calibration intercept",
}
"""The metrics of `training.metrics`, in words."""
IN_UNITS = {"mae", "rmse"}
"""Metrics in the unit of the answer."""

_TRIALS_SHOWN = 10

OF_A_MODEL = {"auc", "slope", "intercept"}
"""Metrics without meaning for a baseline that forecasts nearly the same for every row."""


def _table(title: str, *columns: str, numeric: int = 0) -> Table:
    """A table whose last `numeric` columns are aligned to the right."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for i, name in enumerate(columns):
        right = i >= len(columns) - numeric
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    return table


def number(value: float) -> str:
    """A metric with the digits that matter; "-" for NaN."""
    if np.isnan(value):
        return "-"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.4f}"  # noqa: PLR2004  # digits


def named(metric: str, task: Task) -> str:
    """A metric in words, one in the unit of the answer with the answer's name."""
    return f"{NAMES[metric]}, {task.target}" if metric in IN_UNITS else NAMES[metric]


def evaluation(found: Evaluation) -> RenderableType:
    """The metrics beside the baseline's; with several splits the mean, and the range over them."""
    recipe, scores = found.recipe, found.scores
    many = len(scores) > 1
    columns = ("", recipe.name, *(("lowest", "highest") if many else ()), "baseline")
    table = _table(
        f"{recipe.name} by protocol {found.protocol}", *columns, numeric=len(columns) - 1
    )
    ours, simple = found.mean(lambda s: s.metrics), found.mean(lambda s: s.baseline)
    for name, value in ours.items():
        each = [score.metrics[name] for score in scores]
        extremes = [number(min(each)), number(max(each))] if many else []
        other = "-" if name in OF_A_MODEL else number(simple[name])
        words = named(name, TASKS[recipe.task])
        table.add_row(words, number(value), *extremes, other)
    return table


def remarks(found: Evaluation) -> list[str]:
    """The lines below the table: what its numbers mean, and what the intervals are worth."""
    return [
        f"on {DESCRIPTIONS[found.protocol]}",
        f"baseline: {baselines.description(TASKS[found.recipe.task])}",
        *_interval_lines(found),
        *_lecture_lines(found),
        *_reference_lines(found),
        *_fit_lines(found),
    ]


def _fit_lines(found: Evaluation) -> list[str]:
    """How many fits have a remark, and that of the first."""
    told = [remark for score in found.scores for remark in score.remarks]
    fits = f"{len(told)} fits, here of the first" if len(told) > 1 else "a fit"
    return [f"remark on {fits}: {remark}" for remark in told[:1]]


def _interval_lines(found: Evaluation) -> list[str]:
    intervals = [score.interval for score in found.scores if score.interval is not None]
    if not intervals:
        return []
    weights = [one["rows"] for one in intervals]
    share, width = (
        np.average([one[key] for one in intervals], weights=weights)
        for key in ("coverage", "width")
    )
    counts, days = (np.concatenate([one[key] for one in intervals]) for key in ("per_day", "days"))
    error = metrics.share_error(counts, days)  # a day may be in the test rows of several splits
    by = "day" if TASKS[found.recipe.task].time_field else "row"
    trust = f"all of one {by}" if np.isnan(error) else f"standard error {error:.3f}, by {by}"
    said = f"{share:.3f} of the outcomes inside ({trust})"
    ranges = "; ".join(_group_range(intervals, kind) for kind in intervals[0]["groups"])
    return [
        f"{intervals[0]['level']:.0%} intervals: {said}, mean width {number(width)}",
        f"inside, lowest and highest group: {ranges}",
    ]


def _group_range(intervals: Sequence[Mapping[str, Any]], kind: str) -> str:
    """The groups of a kind with the lowest and the highest coverage, all splits together."""
    counts: dict[str, list[int]] = {}
    for one in intervals:
        for name, (n, inside) in one["groups"][kind].items():
            before = counts.get(name, [0, 0])
            counts[name] = [before[0] + n, before[1] + inside]
    shares = sorted((inside / n, name) for name, (n, inside) in counts.items())
    ends = [shares[0], shares[-1]] if len(shares) > 1 else shares
    return f"{kind} {', '.join(f'{share:.3f} ({name})' for share, name in ends)}"


def _lecture_lines(found: Evaluation) -> list[str]:
    """The lecture's yardsticks: always answering "no", and the squared error of the standardised target."""
    if found.always_no is not None:
        accuracy = found.mean(lambda score: score.metrics)["accuracy"]
        points = 100.0 * (accuracy - found.always_no)
        ours = f"{found.recipe.name} {accuracy:.4f} ({points:+.2f} points)"
        return [f'accuracy: always answering "no" {found.always_no:.4f}, {ours}']
    validation = [
        check.validation
        for score in found.scores
        for check in score.history
        if check.validation is not None
    ]
    if len(found.scores) > 1 or not validation or not _has_standardised_error(found.recipe):
        return []
    least = 2.0 * min(validation)
    return [f"least mean squared error of the validation rows, standardised: {least:.4f}"]


def _has_standardised_error(recipe: Recipe) -> bool:
    """Whether the losses of a recipe are half the squared errors of one standardised target."""
    one_target = recipe.links == ("identity",) and len(recipe.targets) == 1
    return one_target and recipe.standardise_target and recipe.fit.loss == "half_mse"


def _reference_lines(found: Evaluation) -> list[str]:
    """The comparison with logistic regression, which is hard to beat on three fields."""
    reference = found.reference()
    if reference is None:
        return []
    theirs, less = reference["metrics"], reference["log_loss_difference"]
    return [
        (
            f"{reference['description']}: log loss {theirs['log_loss']:.4f}, Brier score "
            f"{theirs['brier']:.4f}; the log loss of {found.recipe.name} less its own is "
            f"{less['mean']:+.4f} (95 % interval {less['low']:+.4f} to {less['high']:+.4f})"
        )
    ]


def recipes(known: Iterable[Recipe]) -> RenderableType:
    """Every recipe in a line."""
    table = _table("recipes", "name", "task", "hidden", "networks", "what it is")
    table.columns[0].no_wrap = True  # to be copied
    for recipe in known:
        hidden = "-".join(str(width) for width in recipe.hidden) or "none"
        table.add_row(recipe.name, recipe.task, hidden, str(len(recipe.links)), recipe.description)
    return table


def trials(search: Search, found: Sequence[Trial]) -> RenderableType:
    """The best trials of a search."""
    keys = [setting.key for setting in search.settings]
    table = _table(
        f"{search.recipe.name}: the best of {len(found)} trials, by validation rows of "
        f"{search.protocol}",
        "trial",
        *keys,
        named(judged_by(search.dataset.task), search.dataset.task),
        "seconds",
        numeric=2,
    )
    for trial in found[:_TRIALS_SHOWN]:
        values = [change.partition("=")[2] for change in trial.changes]
        score = "diverged" if trial.score is None else number(trial.score)
        table.add_row(str(trial.number), *values, score, f"{trial.seconds:.1f}")
    return table


def exercise(worked: Exercise) -> RenderableType:
    """The lecture's exercise: each quantity with its formula, rounded as in the lecture and in full."""
    table = _table(
        "the lecture's exercise", "", "formula", "with numbers", "lecture", "exact", numeric=2
    )
    for step in worked.steps:
        rounded = f"{step.rounded:.{step.decimals}f}"
        table.add_row(
            step.symbol, Text(step.meaning), Text(step.numbers), rounded, f"{step.exact:.6g}"
        )
    after = (
        f"½ (y - ŷ)² = {worked.loss_before:.6f} before the step, {worked.loss_after:.6f} after it"
    )
    return Group(table, Text(after))


def versions(store: Store) -> RenderableType:
    """The versions of every model, the newest first."""
    table = _table(f"versions in {store.folder}", "model", "version", "")
    faults: list[str] = []
    for name in TASKS:
        found = store.versions(name)
        fault, remedy = "", f"train store activate {name} VERSION" if found else f"train {name}"
        try:
            active = store.current(name)
        except StoreError as error:  # the versions are listed all the same: a remedy needs them
            active, fault = None, str(error)
            remedy = remedy if isinstance(error, PointerError) else ""
        if active is not None and active not in found:
            fault = f"{store.folder / name / 'current'}: names {active}, which is not there"
        if fault:
            faults.append(f"{fault}; `{remedy}` puts it right" if remedy else fault)
        for version in reversed(found):
            table.add_row(name, version, "active" if version == active else "")
    none = Text(f"{store.folder} has no versions; `train all` makes the first")
    return Group(table if table.row_count else none, *map(Text, faults))
