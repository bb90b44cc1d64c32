"""The drift measure: its formula, its bins, and what it says of rows that moved."""

import json
from typing import Any

import numpy as np
import pytest

from models import drift
from models.task import Task
from models.tasks import TASKS
from tests.tiny import rows as random_columns


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    """Each task in turn."""
    return TASKS[request.param]


def test_psi_is_the_formula() -> None:
    """The index equals the sum over the bins, worked out by hand for large counts."""
    field = TASKS["admission"].fields[1]
    bins = drift.Bins(field, np.array([3.0]), np.array([0.5, 0.5]))
    by_hand = (0.8 - 0.5) * np.log(0.8 / 0.5) + (0.2 - 0.5) * np.log(0.2 / 0.5)
    assert bins.psi(np.array([8e6, 2e6])) == pytest.approx(by_hand, rel=1e-6)


def test_bin_that_a_few_rows_miss_counts_half_a_row() -> None:
    """Of three rows in one of two bins the shares are 3.5 / 4 and 0.5 / 4, so the index is finite."""
    bins = drift.Bins(TASKS["admission"].fields[1], np.array([3.0]), np.array([0.5, 0.5]))
    by_hand = (3.5 / 4 - 0.5) * np.log(3.5 / 4 / 0.5) + (0.5 / 4 - 0.5) * np.log(0.5 / 4 / 0.5)
    assert bins.psi(np.array([3.0, 0.0])) == pytest.approx(by_hand)


def test_rows_like_the_training_rows_show_no_drift(task: Task) -> None:
    """Another draw of the same distribution stays far below the customary 0.1, in every field."""
    rng = np.random.default_rng(1)
    bins = drift.bins_of(task, drift.reference(task, random_columns(task.name, 4000, rng)))
    fresh = random_columns(task.name, 4000, rng)
    for name, of_field in bins.items():
        assert of_field.psi(of_field.count(fresh[name])) < 0.02, name


def test_moved_field_shows_and_the_others_do_not() -> None:
    """A field that moved by a standard deviation is found, and only that one."""
    rng = np.random.default_rng(2)
    task = TASKS["bikes"]
    bins = drift.bins_of(task, drift.reference(task, random_columns("bikes", 4000, rng)))
    fresh = dict(random_columns("bikes", 4000, rng))
    fresh["temperature"] = fresh["temperature"] + 14.0
    psi = {name: of_field.psi(of_field.count(fresh[name])) for name, of_field in bins.items()}
    assert psi.pop("temperature") > 0.25
    assert max(psi.values()) < 0.02


def test_values_that_are_not_given_are_in_no_bin() -> None:
    """Missing values neither count nor make a field of their own when none is ever given."""
    rng = np.random.default_rng(3)
    task = TASKS["bikes"]
    columns = dict(random_columns("bikes", 400, rng))
    columns["holiday"] = np.full(400, -1, np.int8)
    columns["feels_like"][:50] = np.nan
    made = drift.reference(task, columns)
    assert "holiday" not in made
    given = np.count_nonzero(~np.isnan(columns["feels_like"]))
    assert drift.bins_of(task, made)["feels_like"].count(columns["feels_like"]).sum() == given


def test_reference_survives_json(task: Task) -> None:
    """What a manifest keeps is plain JSON, and gives the same bins back."""
    made = drift.reference(task, random_columns(task.name, 500, np.random.default_rng(4)))
    again: Any = json.loads(json.dumps(made))
    for name, bins in drift.bins_of(task, again).items():
        assert bins.shares.sum() == pytest.approx(1.0, abs=1e-5)
        assert bins.edges.tolist() == made[name]["edges"]
        n_bins = {"timestamp": 8, "category": len(bins.field.choices), "boolean": 2}
        assert len(bins.shares) == n_bins.get(bins.field.kind, len(bins.edges) + 1)


def test_no_rows_are_no_drift() -> None:
    """Without rows the index is 0, not a division by zero."""
    bins = drift.Bins(TASKS["admission"].fields[0], np.array([500.0]), np.array([0.5, 0.5]))
    assert bins.psi(np.zeros(2)) == 0.0
