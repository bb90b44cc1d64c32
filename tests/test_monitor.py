"""Drift over a window of an hour, by version, and the histogram of the answers."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from models.arrays import Columns
from models.drift import reference
from service import monitor as module
from service.cells import Cells
from service.monitor import SLOT_SECONDS, SLOTS, Monitor, _Answered, answer_buckets
from service.served import Served
from tests import tiny
from tests.serving import VERSION


class Clock:
    """Unix time that stands still."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def served(version: str = VERSION) -> Served:
    """A tiny model under a version."""
    return Served("admission", version, tiny.model("admission"), {"recipe": {"name": "tiny"}})


def take(monitor: Monitor, of: Served, columns: Columns) -> None:
    """Let the monitor see rows, as it does after a request."""
    monitor._pending.append(_Answered(of, columns, of.model.value(columns), warned=True))
    monitor.fold()


def drifts(monitor: Monitor, of: Served) -> dict[str, tuple[float, float]]:
    """The drift of each field, and the rows behind it."""
    return monitor.drifts(of, monitor._cells.read())


def test_drift_is_small_for_rows_like_the_training_rows_and_large_for_others() -> None:
    """The index tells the rows that a model knows from rows that it does not."""
    monitor, of = Monitor(Cells(), Clock()), served()
    known = tiny.rows("admission", 3000, np.random.default_rng(0))
    take(monitor, of, {**known, "gpa": known["gpa"] * 0 + 2.1})
    found = drifts(monitor, of)
    assert found["gre"][0] < 0.25
    assert found["gpa"][0] > 1.0
    assert found["gre"][1] == 3000
    take(monitor, of, known)
    assert drifts(monitor, of)["gre"][1] == 6000


def test_rows_leave_the_window_after_an_hour() -> None:
    """What came an hour ago says nothing of now."""
    clock = Clock()
    cells = Cells()
    monitor, of = Monitor(cells, clock), served()
    rows = tiny.rows("admission", 10, np.random.default_rng(0))
    for expected in (10, 20, 30, 40, 50, 60, 60, 60):
        take(monitor, of, rows)
        assert drifts(monitor, of)["gre"][1] == expected
        clock.now += SLOT_SECONDS
    assert sum(key[0] == "window" and key[2] == "gre" for key, _ in cells.read()) == SLOTS
    clock.now += (SLOTS - 2) * SLOT_SECONDS
    assert drifts(monitor, of)["gre"][1] == 10
    clock.now += SLOT_SECONDS
    assert drifts(monitor, of)["gre"] == (0.0, 0.0)


def test_versions_share_the_cells_of_the_window_one_after_the_other() -> None:
    """A new version begins with an empty window, and a hundred need no more cells than one."""
    cells = Cells()
    monitor, rows = Monitor(cells, Clock()), tiny.rows("admission", 10, np.random.default_rng(0))
    first, second = served(), served("20260102T030405Z-ffffffff")
    take(monitor, first, rows)
    take(monitor, second, rows)
    assert drifts(monitor, second)["gre"][1] == 10
    assert drifts(monitor, first)["gre"][1] == 0
    windows = sum(key[0] == "window" for key, _ in cells.read())
    for i in range(100):
        take(monitor, served(f"20260102T030405Z-{i:08x}"), rows)
    assert sum(key[0] == "window" for key, _ in cells.read()) == windows


def test_rows_outside_the_training_range_are_counted_by_field() -> None:
    """Below and above count alike, a field that is inside counts nothing, and a row may count for two."""
    cells = Cells()
    monitor, of = Monitor(cells, Clock()), served()
    rows = tiny.rows("admission", 40, np.random.default_rng(0))
    low, high = of.model.ranges["gpa"]
    gpa = np.clip(rows["gpa"], low, high)
    gpa[:3], gpa[3:5] = low - 0.1, high + 0.1
    gre = np.clip(rows["gre"], *of.model.ranges["gre"]).astype(rows["gre"].dtype)
    gre[4:10] = of.model.ranges["gre"][0] - 10
    take(monitor, of, {**rows, "gpa": gpa, "gre": gre})
    counts = {key[-1]: values[0] for key, values in cells.read() if key[0] == "outside"}
    assert counts == {"gpa": 5, "gre": 6, "rank": 0}


def test_choices_that_no_training_row_has_are_counted_by_field() -> None:
    """Beside the fields with a range, the weather is counted where a model lacks some of it."""
    cells, model = Cells(), tiny.model("bikes")
    rows = tiny.rows("bikes", 40, np.random.default_rng(0))
    dry = {**rows, "weather": rows["weather"] % 2}
    monitor = Monitor(cells, Clock())
    take(monitor, Served("bikes", VERSION, model, {"reference": reference(model.task, dry)}), rows)
    counts = {key[-1]: values[0] for key, values in cells.read() if key[0] == "outside"}
    assert counts["weather"] == np.count_nonzero(rows["weather"] > 1) > 0


@pytest.mark.parametrize(
    ("bounds", "answers"),
    [((0.0, np.inf), (0.03, 7.0, 1200.0, 8e4, 4e5)), ((-np.inf, np.inf), (-3e5, -40.0, 0.3, 9e3))],
    ids=["not below 0", "either sign"],
)
def test_answers_of_another_task_are_told_apart_whatever_their_size(
    bounds: tuple[float, float], answers: tuple[float, ...]
) -> None:
    """Each has a bucket of its own, none of them beyond the last bound, and no bound is out of reach."""
    of = served()
    task = replace(of.model.task, name="prices", bounds=bounds)
    buckets = np.array(answer_buckets(replace(of, model=replace(of.model, task=task))))
    places = buckets.searchsorted(np.array(answers))
    assert (np.diff(buckets) > 0).all()
    assert len(set(places)) == len(answers)
    assert places.max() < len(buckets)
    assert bounds[0] < buckets[0]


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("admission", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
        ("bikes", [1, 2, 5, 10, 20, 50, 100, 200, 300, 500, 700, 1000]),
    ],
)
def test_answers_are_counted_up_to_each_bound(name: str, bounds: list[float]) -> None:
    """A value that is a bound counts below it, as Prometheus has it; beside the counts is the sum."""
    cells = Cells()
    of = Served(name, VERSION, tiny.model(name), {"recipe": {"name": "tiny"}})
    values = np.array([bounds[0] / 2, *bounds, bounds[-1] * 1.05])
    monitor = Monitor(cells, Clock())
    columns = tiny.rows(name, len(values), np.random.default_rng(0))
    monitor._pending.append(_Answered(of, columns, values, warned=False))
    monitor.fold()
    (found,) = (values for key, values in cells.read() if key[0] == "answers")
    assert found == [2.0, *(1.0 for _ in bounds), pytest.approx(values.sum())]


@pytest.mark.anyio
@pytest.mark.parametrize("single", [True, False])
async def test_rows_are_counted_soon_or_when_there_are_many(
    monkeypatch: pytest.MonkeyPatch, *, single: bool
) -> None:
    """Whichever worker is asked shows the rows of this one, which may get no other request."""
    monitor, of = Monitor(Cells(), Clock()), served()
    row = {"gre": 700, "gpa": 3.7, "rank": 2}

    def add() -> None:
        if single:
            monitor.add_row(of, row, 0.5, warned=False)
        else:
            columns = {field: np.array([value]) for field, value in row.items()}
            monitor.add(of, columns, np.array([0.5]), warned=False)

    def counted() -> float:
        return drifts(monitor, of)["gre"][1]

    monkeypatch.setattr(module, "_FOLD_SECONDS", 0.0)
    for n_rows in (1, 2):
        add()
        assert counted() == n_rows - 1
        for _ in range(1000):
            await asyncio.sleep(0)
            if counted() == n_rows:
                break
        assert counted() == n_rows
    monkeypatch.setattr(module, "_FOLD_SECONDS", 3600.0)
    for most in ("_FOLD_SINGLES", "_FOLD_ROWS"):
        monkeypatch.setattr(module, most, 3)
    for expected in (2, 2, 5):
        add()
        assert counted() == expected
