"""Soundness: the parts of a loaded model fit together, and each that does not is named."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models import soundness
from models.errors import BundleError
from tests import tiny

SHAPE = "has shape {}, and the rest of the model asks for {}"
CATEGORIES = "manifest.json: model.encoder.categories: must have sizes above 0"
CROSSOVER = "manifest.json: model.head.crossover: must be a number from 0, and is "
LEVELS = "weights.joblib: interval.levels: must rise from 0.5 to 0.99"


def changed(part: Any, path: str, make: Callable[[Any], Any]) -> Any:
    """A model, or a part of it, with another value in one place."""
    first, _, rest = path.partition(".")
    if not first:
        return make(part)
    if isinstance(part, tuple):
        i = int(first)
        return (*part[:i], changed(part[i], rest, make), *part[i + 1 :])
    return replace(part, **{first: changed(getattr(part, first), rest, make)})


@pytest.mark.parametrize(
    ("path", "make", "words"),
    [
        ("encoder.mean", lambda x: x[1:], "encoder.mean: has shape "),
        ("encoder.low", lambda x: x + 1e9, "encoder.low: must not be above encoder.high"),
        ("encoder.scale", lambda x: -x, "encoder.scale: must be above 0"),
        ("encoder.categories.0.sizes", lambda sizes: (*sizes[1:], 0), CATEGORIES),
        ("encoder.categories.1", lambda x: replace(x, variables=(), sizes=()), CATEGORIES),
        ("head.network.layers", lambda _: (), "model.head.network.layers: must not be empty"),
        (
            "head.network.layers.1.biases",
            lambda x: x.repeat(2, axis=1),
            "head.network.layers.1.biases: " + SHAPE.format((3, 2, 8), (3, 1, 8)),
        ),
        (
            "head.network.layers.1.weights",
            lambda x: x[:, 1:],
            "head.network.layers.1.weights: " + SHAPE.format((3, 11, 8), (3, 12, 8)),
        ),
        (
            "head.network.layers.1.weights",
            lambda x: x[1:],
            "head.network.layers.1.weights: " + SHAPE.format((2, 12, 8), (3, 12, 8)),
        ),
        ("head.links", lambda links: links[1:], "model.head.links: must have 3 entries, one a"),
        ("head.crossover", lambda _: -0.5, f"{CROSSOVER}-0.5"),
        ("head.crossover", lambda _: np.inf, f"{CROSSOVER}inf"),
        ("head.crossover", lambda _: np.nan, f"{CROSSOVER}nan"),
        ("head.mean", lambda x: x[1:], "head.mean: " + SHAPE.format((2, 1, 2), (3, 1, 2))),
        ("spread.scale", lambda x: x[:0], "spread.scale: " + SHAPE.format((0, 1, 1), (1, 1, 1))),
        ("interval.link", lambda _: "magic", "model.interval.link: no link is named 'magic'"),
        ("interval.above", lambda x: x[1:], "interval.above: " + SHAPE.format((4,), (5,))),
        ("interval.levels", lambda x: x[np.newaxis], "levels: " + SHAPE.format((1, 5), (5,))),
        ("interval.levels", lambda x: x[::-1], LEVELS),
        ("interval.levels", lambda x: x[[0, 1, 1, 3, 4]], LEVELS),
        ("interval.levels", lambda x: np.append(0.51, x[1:]), LEVELS),
        ("interval.levels", lambda x: np.append(x[:-1], 0.98), LEVELS),
    ],
)
def test_part_that_does_not_fit_is_named(path: str, make: Callable[[Any], Any], words: str) -> None:
    """Before anything is computed with it; the canary rows would find only some of these."""
    with pytest.raises(BundleError, match=re.escape(words)):
        soundness.check(changed(tiny.model("bikes"), path, make))


def test_skip_connection_has_the_shape_of_the_network() -> None:
    """From every input to every output, of every member."""
    wrong = changed(tiny.model("admission"), "head.network.skip", lambda x: x[:, 1:])
    with pytest.raises(BundleError, match=re.escape(SHAPE.format((3, 5, 1), (3, 6, 1)))):
        soundness.check(wrong)


def test_constant_columns_are_sound() -> None:
    """A file may have one value in a column: its range has two equal ends."""
    model = changed(tiny.model("admission"), "encoder.high", lambda x: x * 0 + 3.0)
    model = changed(model, "encoder.low", lambda x: x * 0 + 3.0)
    soundness.check(replace(model, ranges={"gpa": (3.0, 3.0)}))


def test_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The widest layer, over all members, and the background may be as large as they may, and no larger."""
    model = tiny.model("admission")
    monkeypatch.setattr(soundness, "MOST_UNITS", 3 * 12)
    monkeypatch.setattr(soundness, "MOST_ROWS", 64)
    soundness.check(model)
    empty = {name: column[:0] for name, column in model.background.items()}
    with pytest.raises(BundleError, match="background: must have 1 to 64 rows"):
        soundness.check(replace(model, background=empty))
    monkeypatch.setattr(soundness, "MOST_ROWS", 63)
    with pytest.raises(BundleError, match="background: must have 1 to 63 rows"):
        soundness.check(model)
    monkeypatch.setattr(soundness, "MOST_UNITS", 3 * 12 - 1)
    with pytest.raises(BundleError, match=r"layers\.0\.weights: must have 1 to 35 units"):
        soundness.check(model)
