"""What a training learns from, and what it leaves beside the networks."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models import tree
from models.arrays import IntArray
from tests.parts import part_of
from training import catalogue, data
from training.data import Dataset
from training.distil import Student
from training.fit import Check
from training.progress import Nobody
from training.recipes import Recipe
from training.trainer import BACKGROUND_ROWS, background, fixed_epochs, ranges, train


def everything(recipe: Recipe, dataset: Dataset, rows: IntArray) -> tuple[Any, dict[str, Any]]:
    """All that a bundle holds of a model that was trained on the rows."""
    arrays: dict[str, Any] = {}
    model = train(recipe, dataset, rows, None, np.random.default_rng(0), Nobody()).model
    described = tree.flatten(model, arrays)
    return described, {name: array.tobytes() for name, array in arrays.items()}


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("bikes", np.arange(900, 5500)),
        pytest.param("bikes-days", np.arange(900, 3000, 2), marks=pytest.mark.slow),
        ("admission", np.arange(80, 360)),
    ],
)
def test_rows_that_are_held_out_leave_no_trace(name: str, rows: IntArray) -> None:
    """Networks, ranges, intervals, background: each bit is what it would be if they did not exist."""
    recipe = catalogue.RECIPES[name]
    recipe = replace(
        recipe,
        links=recipe.links[:2],
        hidden=(4,),
        fit=replace(recipe.fit, epochs=2, average_epochs=0),
        student=recipe.student and Student(hidden=(4,), rows=500, epochs=1),
    )
    dataset = data.read(recipe.task)
    alone = part_of(dataset, rows)
    assert everything(recipe, dataset, rows) == everything(recipe, alone, np.arange(len(rows)))


def test_number_of_epochs_is_the_one_that_was_best() -> None:
    """Fits without validation rows end where those with some were best; without any there is no telling."""
    recipe = catalogue.RECIPES["lecture-bikes"]
    judged = [Check(epoch, 0.5, loss) for epoch, loss in ((2, 0.9), (4, 0.7), (6, 0.8))]
    alone = [replace(check, validation=None) for check in judged]
    unstopped = replace(recipe, fit=replace(recipe.fit, patience=0))
    assert fixed_epochs(recipe, judged).fit == replace(recipe.fit, patience=0, epochs=4)
    assert fixed_epochs(recipe, alone) == unstopped
    assert fixed_epochs(unstopped, judged) == unstopped


def test_background_represents_the_answers() -> None:
    """One row comes from each stratum of the answers, so their mean is nearly that of all rows."""
    dataset = data.read("bikes")
    rows = np.arange(5000, 9000)
    value = dataset.columns["temperature"][rows] ** 2
    for seed in range(5):
        chosen = background(dataset, rows, value, np.random.default_rng(seed))
        of_chosen = np.sort(chosen["temperature"] ** 2)
        assert len(of_chosen) == BACKGROUND_ROWS
        strata = np.array_split(np.sort(value), BACKGROUND_ROWS)
        assert all(s[0] <= x <= s[-1] for s, x in zip(strata, of_chosen, strict=True))
        assert abs(of_chosen.mean() / value.mean() - 1) < 0.05
        assert (np.diff(chosen["timestamp"]).astype(int) > 0).all()


def test_background_of_few_rows_is_all_of_them() -> None:
    """Fewer rows than a background has are all taken."""
    dataset, rows = data.read("admission"), np.arange(10)
    chosen = background(dataset, rows, np.linspace(0, 1, 10), np.random.default_rng(0))
    np.testing.assert_array_equal(chosen["gre"], dataset.columns["gre"][rows])


def test_range_leaves_out_what_was_not_measured() -> None:
    """Humidity is 0 where its sensor failed, and at least 8 % elsewhere; a fraction of 1 is below that."""
    dataset = data.read("bikes")
    humidity = dataset.columns["humidity"]
    assert ranges(dataset, np.arange(len(dataset)))["humidity"] == (8.0, 100.0)
    assert ranges(dataset, np.flatnonzero(humidity == 0.0))["humidity"] == (0.0, 0.0)


def test_field_without_a_value_has_no_range() -> None:
    """Of an optional field that no row gives there is no lowest value; the others keep their ranges."""
    dataset = data.read("bikes")
    blank = {"feels_like": np.full(len(dataset), np.nan)}
    without = replace(dataset, columns={**dataset.columns, **blank})
    rows = np.arange(100)
    expected = ranges(dataset, rows)
    del expected["feels_like"]
    assert ranges(without, rows) == expected
