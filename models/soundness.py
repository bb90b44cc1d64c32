"""Checks that the parts of a loaded model fit together.

`models.tree.build` has checked the types. This module checks the values: shapes that match, names that
exist, numbers that are finite.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import rows
from models.activations import ACTIVATIONS
from models.errors import BundleError
from models.features import Encoder
from models.interval import HIGHEST_LEVEL, LOWEST_LEVEL, Interval
from models.links import LINKS
from models.model import Head, Model
from models.network import Network
from models.task import Field, Task
from models.tree import Json

MOST_UNITS = 65_536
"""The most units of a layer, over all members: bounds the memory of a forward pass."""

MOST_ROWS = 10_000
"""The most background rows."""


def check(model: Model) -> None:
    """Raise BundleError if the parts of `model` do not fit together."""
    _check_encoder(model.encoder)
    _check_head("head", model.head, model.encoder)
    if model.spread is not None:
        _check_head("spread", model.spread, model.encoder)
    _check_interval(model.interval)
    _check_ranges(model.task, model.ranges)
    _demand(
        (model.threshold is None) is (model.task.threshold is None),
        f"manifest.json: threshold: the task {model.task.name} has "
        f"{'none' if model.task.threshold is None else 'one'}",
    )
    _demand(
        model.threshold is None or 0.0 <= model.threshold <= 1.0,
        "manifest.json: threshold: must be between 0 and 1",
    )
    fault = rows.fault(model.task, model.background)
    _demand(fault is None, f"weights.joblib: background: {fault}")
    n_rows = len(next(iter(model.background.values())))
    _demand(0 < n_rows <= MOST_ROWS, f"weights.joblib: background: must have 1 to {MOST_ROWS} rows")
    _check_codes(model)


def check_finite(arrays: Mapping[str, NDArray[Any]], may_be_nan: set[str]) -> None:
    """Raise BundleError for an array with a NaN or an infinite value; NaN is fine in `may_be_nan`."""
    for name, array in arrays.items():
        if array.dtype.kind != "f" or np.isfinite(array).all():
            continue
        if name not in may_be_nan or np.isinf(array).any():
            raise BundleError(f"weights.joblib: {name}: has a value that is not finite")


def check_features(task: Task, encoder: Json) -> None:
    """Raise BundleError if a feature reads a variable that the task of this code does not have."""
    for kind, name in _variables_used(encoder):
        _demand(
            name in task.variables,
            f"manifest.json: model.encoder.{kind}: reads the variable {name!r:.80}, which "
            f"{task.name} does not have in this version of the code; train it again",
        )


def _variables_used(encoder: Json) -> Iterator[tuple[str, str]]:
    """(kind, name) of each variable that the features read; malformed features are skipped."""
    for kind in ("numbers", "categories") if isinstance(encoder, dict) else ():
        features = encoder.get(kind)
        for feature in features if isinstance(features, list) else ():
            if isinstance(feature, dict):
                names = feature.get("variables", [feature.get("variable")])
                found = names if isinstance(names, list) else ()
                yield from ((kind, name) for name in found if isinstance(name, str))


def _check_encoder(encoder: Encoder) -> None:
    n_numbers = len(encoder.numbers)
    for name in ("low", "high", "mean", "scale"):
        _demand_shape(f"encoder.{name}", getattr(encoder, name), (n_numbers,))
    _demand(bool((encoder.scale > 0.0).all()), "weights.joblib: encoder.scale: must be above 0")
    _demand(
        bool((encoder.low <= encoder.high).all()),
        "weights.joblib: encoder.low: must not be above encoder.high",
    )
    for category in encoder.categories:
        _demand(
            min(category.sizes, default=0) > 0,
            "manifest.json: model.encoder.categories: must have sizes above 0",
        )


def _check_codes(model: Model) -> None:
    """Raise BundleError if a background row would pick a weight outside its own category's."""
    with np.errstate(all="ignore"):  # a code beyond all integers is found by the comparison
        codes = model.encode(model.background).codes
    start = len(model.encoder.numbers)
    for i, category in enumerate(model.encoder.categories):
        inside = (codes[:, i] >= start) & (codes[:, i] < start + category.size)
        _demand(
            bool(inside.all()),
            f"manifest.json: model.encoder.categories.{i}: a background row has none of its "
            f"{category.size} codes",
        )
        start += category.size


def _check_head(name: str, head: Head, encoder: Encoder) -> None:
    network = head.network
    _check_network(f"{name}.network", network, encoder.n_inputs)
    for link in head.links:
        _demand(link in LINKS, f"manifest.json: model.{name}.links: no link is named {link!r}")
    _demand(
        len(head.links) == network.n_members,
        f"manifest.json: model.{name}.links: must have {network.n_members} entries, one a member",
    )
    _demand(
        0.0 <= head.crossover < math.inf,
        f"manifest.json: model.{name}.crossover: must be a number from 0, and is {head.crossover}",
    )
    for part in ("mean", "scale"):
        shape = (network.n_members, 1, network.n_outputs)
        _demand_shape(f"{name}.{part}", getattr(head, part), shape)


def _check_network(name: str, network: Network, n_in: int) -> None:
    _demand(len(network.layers) > 0, f"manifest.json: model.{name}.layers: must not be empty")
    first = network.layers[0].weights
    members = first.shape[0] if first.ndim else 0
    for i, layer in enumerate(network.layers):
        path, n_out = f"{name}.layers.{i}", layer.biases.shape[-1] if layer.biases.ndim else 0
        _demand_shape(f"{path}.biases", layer.biases, (members, 1, n_out))
        _demand_shape(f"{path}.weights", layer.weights, (members, n_in, n_out))
        _demand(
            0 < members * n_out <= MOST_UNITS,
            f"weights.joblib: {path}.weights: must have 1 to {MOST_UNITS} units",
        )
        _demand(
            layer.activation in ACTIVATIONS,
            f"manifest.json: model.{path}.activation: no activation is named {layer.activation!r}",
        )
        n_in = n_out
    if network.skip is not None:
        _demand_shape(f"{name}.skip", network.skip, (members, first.shape[1], n_in))


def _check_interval(interval: Interval) -> None:
    _demand(
        interval.link in LINKS,
        f"manifest.json: model.interval.link: no link is named {interval.link!r}",
    )
    levels = interval.levels
    _demand_shape("interval.levels", levels, (levels.size,))
    for name in ("below", "above"):
        _demand_shape(f"interval.{name}", getattr(interval, name), levels.shape)
    rises = levels.size > 0 and bool((np.diff(levels) > 0.0).all())
    covers = rises and levels[0] <= LOWEST_LEVEL and levels[-1] >= HIGHEST_LEVEL
    _demand(
        covers,
        f"weights.joblib: interval.levels: must rise from {LOWEST_LEVEL} to {HIGHEST_LEVEL}",
    )


def _check_ranges(task: Task, ranges: Mapping[str, tuple[float, float]]) -> None:
    for name, ends in ranges.items():
        _demand(
            name in task.field_names and _is_range(task.field_of[name], *ends),
            f"manifest.json: model.ranges.{name}: must be the range of a field of {task.name} "
            "that is ordered",
        )


def _is_range(field: Field, low: float, high: float) -> bool:
    """Whether `low` to `high` can be a range of the field; of a timestamp, its ends must be dates."""
    if field.low is None or low > high:
        return False
    if field.kind != "timestamp":
        return True
    with np.errstate(invalid="ignore"):  # a number beyond all integers becomes no date at all
        hours = np.array([low, high]).astype(np.int64).view(rows.DTYPES["timestamp"])
    return rows.within(field, hours)


def _demand_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    _demand(
        array.shape == shape,
        f"weights.joblib: {name}: has shape {array.shape}, and the rest of the model asks for "
        f"{shape}",
    )


def _demand(holds: bool, message: str) -> None:  # noqa: FBT001  # an assertion with words
    if not holds:
        raise BundleError(message)
