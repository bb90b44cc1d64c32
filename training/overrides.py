"""`--set key=value`: a recipe with some of its hyper-parameters changed, by name."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, get_args, get_origin, get_type_hints

from models.activations import ACTIVATIONS
from models.errors import SettingsError
from models.links import LINKS
from models.tasks import TASKS
from training.catalogue import unknown
from training.distil import Student
from training.fit import FitSettings
from training.losses import LOSSES
from training.recipes import Recipe

_FIXED = {"name", "task", "description", "columns", "targets", "prior", "kriging", "fit", "student"}
"""Fields of a recipe that `--set` cannot change."""
STUDENT = "student"
"""The key that says whether there is a student, and the prefix of the student's own keys."""

_BOOLEANS = {"true": True, "false": False}


def override(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """The recipe with `changes`, each "key=value": a field of `Recipe`, of its `FitSettings` or `Student`.

    Lists are written with commas: hidden=64,32. Raises SettingsError for an unknown key or a bad value.
    """
    for change in changes:
        key, found, text = change.partition("=")
        if not found:
            raise SettingsError(f"--set {change}: write it as key=value, such as rate=0.01")
        known = _settable()
        if key not in known:
            raise SettingsError(f"--set {change}: {unknown('setting', key, sorted(known))}")
        owner, kind = known[key]
        recipe = _changed(recipe, change, key, owner, _read(change, kind, text.strip()))
    return check(recipe)


def _changed(recipe: Recipe, change: str, key: str, owner: type, value: Any) -> Recipe:
    if owner is FitSettings:
        return replace(recipe, fit=replace(recipe.fit, **{key: value}))
    if owner is Recipe and key != STUDENT:
        return replace(recipe, **{key: value})
    if key == STUDENT:
        return replace(recipe, student=(recipe.student or Student()) if value else None)
    if recipe.student is None:
        raise SettingsError(f"--set {change}: {recipe.name} has no student; set student=true first")
    name = key.removeprefix(f"{STUDENT}_")
    return replace(recipe, student=replace(recipe.student, **{name: value}))


def _settable() -> dict[str, tuple[type, Any]]:
    """Key -> the class that it belongs to, and its type."""
    known: dict[str, tuple[type, Any]] = {}
    for owner in (Recipe, FitSettings):
        kinds = get_type_hints(owner)
        names = [field.name for field in dataclasses.fields(owner) if field.name not in _FIXED]
        known |= {name: (owner, kinds[name]) for name in names}
    known[STUDENT] = (Recipe, bool)
    kinds = get_type_hints(Student)
    return known | {f"{STUDENT}_{name}": (Student, kind) for name, kind in kinds.items()}


def _read(change: str, kind: Any, text: str) -> Any:
    if get_origin(kind) is tuple:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return tuple(_read(change, get_args(kind)[0], part) for part in parts)
    choices = get_args(kind)
    if choices:
        if text not in choices:
            raise SettingsError(f"--set {change}: must be one of {', '.join(choices)}")
        return text
    readers: dict[Any, Callable[[str], Any]] = {bool: _BOOLEANS.__getitem__}
    try:
        return readers.get(kind, kind)(text)
    except (KeyError, ValueError):
        names = {bool: "true or false", int: "a whole number", float: "a number"}
        raise SettingsError(f"--set {change}: must be {names[kind]}") from None


def check(recipe: Recipe) -> Recipe:
    """The recipe, if every hyper-parameter is valid. Raises SettingsError for the first that is not."""
    fit = recipe.fit
    known: dict[str, tuple[str, Iterable[str]]] = {
        "activation": (recipe.activation, ACTIVATIONS),
        "output_activation": (recipe.output_activation, ACTIVATIONS),
        "interval_link": (recipe.interval_link, LINKS),
        "loss": (fit.loss, LOSSES),
        **{f"links ({link})": (link, LINKS) for link in recipe.links},
        **({"student_link": (recipe.student.link, LINKS)} if recipe.student else {}),
    }
    for key, (name, table) in known.items():
        if name not in set(table):
            raise SettingsError(unknown(key, name, sorted(table)))
    demands = {
        "links must have at least one entry, one a network": bool(recipe.links),
        "hidden must have widths of at least 1": all(width >= 1 for width in recipe.hidden),
        "rate must be above 0": 0.0 < fit.rate < math.inf,
        "momentum must be from 0 to below 1": 0.0 <= fit.momentum < 1.0,
        "batch_size must be 0 (full batch) or more": fit.batch_size >= 0,
        "epochs must be at least 1": fit.epochs >= 1,
        "weight_decay must not be below 0": 0.0 <= fit.weight_decay < math.inf,
        "average_epochs must be from 0 to epochs": 0 <= fit.average_epochs <= fit.epochs,
        "patience must not be below 0": fit.patience >= 0,
        "patience must be 0, or schedule constant and average_epochs 0: else the training on all rows, of "
        "the epochs that were best, is another than was judged": not fit.patience
        or (fit.schedule == "constant" and fit.average_epochs <= 1),
        "check_every must be at least 1": fit.check_every >= 1,
        "crossover must not be below 0": 0.0 <= recipe.crossover < math.inf,
        "input_gain must be above 0": 0.0 < recipe.input_gain < math.inf,
        **_demands_of_parts(recipe),
        **_demands_of_student(recipe),
        **_demands_of_links(recipe),
        **_demands_of_loss(recipe),
    }
    for demand, holds in demands.items():
        if not holds:
            raise SettingsError(f"{recipe.name}: {demand}")
    return recipe


def _demands_of_parts(recipe: Recipe) -> dict[str, bool]:
    """What a prior, kriging, signs and a bootstrap demand, in words, and whether it is met."""
    signs, task = recipe.fit.signs, TASKS[recipe.task]
    rising = [name for name, of in ACTIVATIONS.items() if of.increasing]
    rises = {recipe.activation, recipe.output_activation} <= set(rising)
    return {
        "hidden must have one layer, which the prior is for": recipe.prior is None
        or len(recipe.hidden) == 1,
        "skip must be true: what fills gaps is a part of it": recipe.kriging is None or recipe.skip,
        f"signs must be empty or have {recipe.n_inputs} entries, one an input": len(signs)
        in {0, recipe.n_inputs},
        "signs must be 1, -1 or 0": set(signs) <= {1, -1, 0},
        f"activation and output_activation must be of {', '.join(rising)}, as there are signs": rises
        or not any(signs),
        "links must have at least two entries, as bootstrap is true: the networks' differences make the "
        "interval": not recipe.bootstrap or task.threshold is None or len(recipe.links) > 1,
    }


def _demands_of_student(recipe: Recipe) -> dict[str, bool]:
    """The demands on a student, in words, and whether each is met."""
    student = recipe.student
    if student is None:
        return {}
    task = TASKS[recipe.task]
    return {
        "student must be false: the interval of a probability needs every network": task.threshold
        is None,
        "student must be false: its rows are made up around a timestamp": bool(task.time_field),
        "student must be false: what fills gaps knows every hour": recipe.kriging is None,
        "student must be false: it would not keep the signs": not any(recipe.fit.signs),
        "student_hidden must have widths of at least 1": all(n >= 1 for n in student.hidden),
        "student_rows must be at least 1": student.rows >= 1,
        "student_rate must be above 0": 0.0 < student.rate < math.inf,
        "student_batch_size must be 0 (all rows) or more": student.batch_size >= 0,
        "student_epochs must be at least 1": student.epochs >= 1,
    }


def _demands_of_links(recipe: Recipe) -> dict[str, bool]:
    """The demands on the scales of targets and intervals, in words, and whether each is met."""
    task = TASKS[recipe.task]
    low, high = task.bounds
    able = [name for name, link in LINKS.items() if link.holds(low, high)]
    # without standardised targets a link is for outputs alone, and none needs to become 0
    of_output = set() if recipe.standardise_target else {"exp"}
    to = f"to {high:g}" if math.isfinite(high) else "up"
    values = f"values from {low:g} {to}" if math.isfinite(low) else "values of either sign"
    words = f"for {values}: {', '.join(able)}"
    return {
        f"links must be scales {words}": set(recipe.links) <= {*able, *of_output},
        f"interval_link must be a scale {words}": task.threshold is not None
        or recipe.interval_link in able,
        f"student_link must be a scale {words}": recipe.student is None
        or recipe.student.link in able,
    }


def _demands_of_loss(recipe: Recipe) -> dict[str, bool]:
    """What a loss demands, in words, and whether it is met: else the answers are not what was learned."""
    loss, link = recipe.fit.loss, LOSSES[recipe.fit.loss].link
    linked = set(recipe.links) == {link}
    if link == "identity":
        words = f"links must be {link} where standardise_target is false and loss is {loss}"
        return {words: recipe.standardise_target or linked}
    words = (
        f"loss={loss} needs links={link}, output_activation=identity and standardise_target=false"
    )
    plain = recipe.output_activation == "identity" and not recipe.standardise_target
    return {words: linked and plain}
