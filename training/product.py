"""The product of a training: a model trained on all rows, and the details for its bundle.

First the recipe is evaluated by the task's main protocol, on rows that it does not see; then it learns from
all rows. The scores on the model card are those of the first model, since nothing is held out from the
second.
"""

import dataclasses
import shlex
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from models import bundle, drift, few, rows, soundness
from models.errors import DivergedError, SettingsError, StoreError, TrainingError
from models.model import Model
from models.store import Store
from models.tasks import TASKS
from training import intervals, metrics, protocols
from training.data import Dataset
from training.evaluate import (
    Evaluation,
    Scores,
    coverage_by_level,
    evaluate,
    history_json,
)
from training.progress import Watch
from training.recipes import Recipe
from training.search import judged_by
from training.tables import NAMES, number
from training.trainer import fixed_epochs, require_outcomes, train

_NOT_ON_CARD = {"per_day", "days", "groups"}
"""Of an interval's scores."""
_SURELY = 3.0
"""By how many standard errors a coverage is below its level when that is no chance."""


@dataclass(frozen=True)
class Product:
    """A trained model, the details for its manifest, and the scores of its recipe.

    evaluation : None if the data do not suffice for the protocol.
    remarks : what the user should know about the result, a line each.
    """

    model: Model
    details: dict[str, Any]
    evaluation: Evaluation | None
    remarks: tuple[str, ...]


def make(recipe: Recipe, dataset: Dataset, seed: int, watch: Watch) -> Product:
    """Evaluate a recipe, then train it on all rows.

    Raises SettingsError for networks that are too large for a bundle, TrainingError as `train` does, and
    for a task whose declaration does not fit its rows.
    """
    _require_size(recipe)
    _require_declared(dataset)
    require_outcomes(dataset, np.arange(len(dataset)))
    protocol = protocols.main(dataset.task)
    remarks: list[str] = []
    evaluation = None
    try:
        evaluation = evaluate(recipe, dataset, protocol, seed, 1, watch)
    except DivergedError:
        raise
    except TrainingError as error:  # one that all rows have, too, is raised again below
        remarks.append(f"not judged on held-out rows: {error}")
    final = fixed_epochs(recipe, evaluation.scores[0].history) if evaluation else recipe
    trained = train(
        final, dataset, np.arange(len(dataset)), None, np.random.default_rng(seed), watch
    )
    if evaluation is not None:
        remarks += failings(evaluation)
    remarks += shortcomings(recipe, dataset)
    details = {
        "recipe": described(recipe),
        "seed": seed,
        "data": {"file": dataset.source, "sha256": dataset.digest, "rows": len(dataset)},
        "history": history_json((evaluation.scores[0] if evaluation else trained.fitted).history),
        "evaluation": None if evaluation is None else summary(evaluation, dataset),
        "distillation": trained.distilled and trained.distilled.as_json(),
        "reference": drift.reference(dataset.task, dataset.columns),
        "remarks": [*map(sentence, remarks)],
    }
    return Product(trained.model, details, evaluation, (*remarks, *trained.fitted.remarks))


def shortcomings(recipe: Recipe, dataset: Dataset) -> list[str]:
    """What the rows do not suffice for, a remark each: choices that no row has, and the intervals."""
    found = [
        f"no row has {field.name} {choice}; answers for it are a guess, and carry a warning"
        for field in dataset.task.fields
        for code, choice in enumerate(field.choices)
        if not (dataset.columns[field.name] == code).any()
    ]
    if dataset.task.threshold is None:
        found += intervals.shortcomings(recipe, dataset)
    return found


def failings(evaluation: Evaluation) -> list[str]:
    """What the held-out rows say against a recipe, a remark each: its answers, and its intervals."""
    metric = judged_by(TASKS[evaluation.recipe.task])
    ours = evaluation.mean(lambda score: score.metrics)[metric]
    simple = evaluation.mean(lambda score: score.baseline)[metric]
    found = []
    if ours >= simple:
        found.append(
            f"on held-out rows its {NAMES[metric]} is {number(ours)}, no better than the "
            f"{number(simple)} of the simple baseline"
        )
    interval = evaluation.scores[0].interval or {}
    error = interval.get("standard_error")  # none, of a single day
    if error is not None and interval["coverage"] + _SURELY * error < interval["level"]:
        found.append(
            f"its intervals at {interval['level']:.0%} held only {interval['coverage']:.0%} of the "
            "outcomes of held-out rows"
        )
    return found


def sentence(remark: str) -> str:
    """A remark as it stands among the limits of use."""
    return f"{remark[:1].upper()}{remark[1:]}."


def _require_size(recipe: Recipe) -> None:
    """Fail before a training rather than after it: a lower bound, without biases and skips."""
    n_inputs = recipe.n_inputs + (recipe.kriging.over.size if recipe.kriging else 0)
    hidden, outputs, members = recipe.hidden, len(recipe.targets), len(recipe.links)
    if recipe.student is not None:  # it is what is published
        hidden, outputs, members = recipe.student.hidden, 1, 1
    n_weights = members * sum(a * b for a, b in pairwise((n_inputs, *hidden, outputs)))
    size, limit = n_weights * np.dtype(np.float32).itemsize, bundle.LARGEST[bundle.WEIGHTS]
    if size > limit:
        raise SettingsError(
            f"{recipe.name}: its weights would take {size / 2**20:.1f} MiB, and a bundle has room for "
            f"{limit / 2**20:g}; choose fewer hidden units or networks"
        )
    widest = members * max((*hidden, outputs))
    if widest > soundness.MOST_UNITS:
        raise SettingsError(
            f"{recipe.name}: a layer would have {widest} units over all networks, and a bundle has room "
            f"for {soundness.MOST_UNITS}; choose fewer hidden units or networks"
        )


def _require_declared(dataset: Dataset) -> None:
    """Fail before a training rather than when its model is to be published or is asked."""
    task, some = dataset.task, np.unique(np.linspace(0, len(dataset) - 1, 64).astype(np.intp))
    fault = rows.fault(task, dataset.columns)
    if fault is not None:
        raise TrainingError(f"the schema of {task.name} makes rows that it does not take: {fault}")
    fault = few.fault(task, dataset.take(some))
    if fault is not None:
        raise TrainingError(f"the task {task.name} is not declared as its rows need it: {fault}")


def publish(product: Product, store: Store, key: bytes | None) -> str:
    """Publish to a store, and return the version.

    Raises StoreError where that fails. The work is not lost then: the model is kept in a store of its
    own, among the temporary files, and the message says how it is published from there.
    """
    try:
        return store.publish(product.model, product.details, key)
    except StoreError as error:
        name = product.model.task.name
        try:
            kept = mkdtemp(prefix="train-")
            version = Store(Path(kept)).publish(product.model, product.details, key)
        except (OSError, StoreError):
            raise error from None
        places = shlex.join(["--store", kept, "--to", str(store.folder)])
        words = "the store's active version is as it was, and the new one is kept; publish it by"
        raise StoreError(f"{error}; {words}: train store copy {name} {version} {places}") from None


def described(recipe: Recipe) -> dict[str, Any]:
    """A recipe as JSON: every hyper-parameter by its name."""
    columns = [
        {"kind": type(column).__name__.lower(), **dataclasses.asdict(column)}
        for column in recipe.columns
    ]
    return {**dataclasses.asdict(recipe), "columns": columns}


def summary(evaluation: Evaluation, dataset: Dataset) -> dict[str, Any]:
    """What the model card shows of an evaluation: its means, without losses and single days."""
    told = evaluation.as_json()
    made = {name: told[name] for name in ("protocol", "description", "metrics", "baseline")}
    made["rows"] = sum(split["rows"] for split in told["splits"])
    return made | _trust(evaluation.scores[0], dataset)


def _trust(score: Scores, dataset: Dataset) -> dict[str, Any]:
    """The reliability of probabilities, or the coverage of intervals."""
    if score.interval is None or score.model is None:
        bins = metrics.reliability(score.target, score.forecast).tolist()
        return {"reliability": [{"said": p, "happened": s, "rows": int(n)} for p, s, n in bins]}
    levels = coverage_by_level(score.model, dataset.take(score.rows), score.target)
    return {
        "coverage": {k: v for k, v in score.interval.items() if k not in _NOT_ON_CARD},
        "coverage_by_level": [{"level": level, "coverage": share} for level, share in levels],
    }
