"""Metrics of the inputs and answers of models: counts, histograms, drift.

A request only appends its rows to a list. They are counted together, after some hundreds of requests or a
second, with a handful of NumPy calls.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from models import drift, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from models.arrays import Columns, FloatArray, Row
    from service.cells import Cells, Key
    from service.served import Served

ROWS, REJECTED, WARNED, OUTSIDE, ANSWERS, WINDOW = (
    "rows",
    "rejected",
    "warned",
    "outside",
    "answers",
    "window",
)
"""Families of cells; the labels that follow are model and version (and field, and slot)."""

OF_VERSIONS = frozenset({ROWS, REJECTED, WARNED, OUTSIDE, ANSWERS})
"""Families that count by version."""

BUCKETS = {
    "bikes": (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 300.0, 500.0, 700.0, 1000.0),
}
"""Task -> the upper bounds of the histogram of its answers; others have those of their kind."""
PROBABILITY_BUCKETS = tuple(i / 10 for i in range(1, 10))
_SIZES = tuple(float(f"{digit}e{power}") for power in range(-2, 7) for digit in (1, 2, 5))
QUANTITY_BUCKETS = (*(-size for size in reversed(_SIZES)), 0.0, *_SIZES)
"""1, 2 and 5 in every power of ten from 0.01 to 5 million, of either sign. They do not follow the data: the
buckets of all versions and workers must agree, or Prometheus cannot add them up."""

SLOT_SECONDS = 600
SLOTS = 6
"""Drift is measured over the last SLOTS * SLOT_SECONDS seconds, in steps of SLOT_SECONDS."""

_LEAST_CELLS = 16
"""The fewest cells for the bins of a field, so that versions with fewer bins can share them."""

_FOLD_SINGLES, _FOLD_ROWS = 512, 4096
"""The most requests for single rows, and rows of batches, that wait to be counted together."""
_FOLD_SECONDS = 1.0


def answer_buckets(served: Served) -> tuple[float, ...]:
    """The upper bounds of the histogram of a model's answers, within the bounds of its task."""
    task = served.model.task
    low, high = task.bounds
    of_kind = PROBABILITY_BUCKETS if (low, high) == (0.0, 1.0) else QUANTITY_BUCKETS
    return BUCKETS.get(task.name) or tuple(bound for bound in of_kind if low < bound < high)


def _mark(served: Served) -> float:
    """A number that identifies a version."""
    return float(zlib.crc32(served.version.encode()))


def bins_of(served: Served) -> dict[str, drift.Bins]:
    """The bins of the training rows; of the background rows if the manifest has none."""
    task = served.model.task
    made = served.manifest.get("reference") or drift.reference(task, served.model.background)
    return drift.bins_of(task, made)


@dataclass
class _Series:
    """The bins of one version, and the first cell of each of its blocks; without the model itself."""

    bins: dict[str, drift.Bins]
    buckets: FloatArray
    rows: int
    rejected: int
    warned: int
    answers: int
    outside: list[int]


class _Answered(NamedTuple):
    """Answered rows, see `Monitor.add`."""

    served: Served
    columns: Columns
    values: FloatArray
    warned: bool


def _together(parts: list[_Answered]) -> _Answered:
    """The rows of several, all of one version."""
    if len(parts) == 1:
        return parts[0]
    served = parts[0].served
    columns = {
        name: np.concatenate([part.columns[name] for part in parts])
        for name in served.model.task.field_names
    }
    values = np.concatenate([part.values for part in parts])
    return _Answered(served, columns, values, any(part.warned for part in parts))


class Monitor:
    """Counts rows and answers into cells; `clock` gives Unix time."""

    def __init__(self, cells: Cells, clock: Callable[[], float] = time.time) -> None:
        self._cells = cells
        self._clock = clock
        self._pending: list[_Answered] = []
        self._singles: list[tuple[Served, Row, float, bool]] = []
        self._pending_rows = 0
        self._series: dict[tuple[str, str], _Series] = {}

    def add(self, served: Served, columns: Columns, values: FloatArray, *, warned: bool) -> None:
        """Add answered rows: columns and `values`, (n_rows,) each.

        warned : whether any of them may lie outside the training ranges.
        """
        if self._pending_rows == 0:
            self._fold_later()
        self._pending.append(_Answered(served, columns, values, warned))
        self._pending_rows += len(values)
        if self._pending_rows >= _FOLD_ROWS:
            self.fold()

    def add_row(self, served: Served, row: Row, value: float, *, warned: bool) -> None:
        """Add a single answered row; `warned` as in `add`."""
        singles = self._singles
        singles.append((served, row, value, warned))
        if len(singles) == 1:
            self._fold_later()
        elif len(singles) >= _FOLD_SINGLES:
            self.fold()

    def _fold_later(self) -> None:
        asyncio.get_running_loop().call_later(_FOLD_SECONDS, self.fold)

    def prepare(self, served: Served) -> None:
        """Make the cells of a version before its first request needs them."""
        self._of(served)

    def cells_of_rows(self, served: Served) -> tuple[int, int]:
        """The cells that count answered rows, and rows with a warning."""
        series = self._of(served)
        return series.rows, series.warned

    def count(self, served: Served, rows: int, answered: int, warned: int) -> None:
        """Count the rows of a request, those that were answered, and those with a warning."""
        series, values = self._of(served), self._cells.values
        values[series.rows] += answered
        values[series.warned] += warned
        if rows != answered:
            values[series.rejected] += rows - answered

    def fold(self) -> None:
        """Count the rows that were added since the last time."""
        pending, self._pending, self._pending_rows = self._pending, [], 0
        singles, self._singles = self._singles, []
        for served in {id(entry[0]): entry[0] for entry in singles}.values():
            same = [entry for entry in singles if entry[0] is served]
            columns = rows.columns_of([row for _, row, _, _ in same], served.model.task)
            answers = np.array([value for _, _, value, _ in same])
            warned = any(entry[3] for entry in same)
            pending.append(_Answered(served, columns, answers, warned))
        while pending:
            served = pending[0].served
            of_served = [entry for entry in pending if entry.served is served]
            pending = [entry for entry in pending if entry.served is not served]
            self._count_rows(_together(of_served))

    def _of(self, served: Served) -> _Series:
        key = (served.name, served.version)
        series = self._series.get(key)
        if series is None:
            block, buckets = self._cells.block, np.array(answer_buckets(served))
            series = self._series[key] = _Series(
                bins_of(served),
                buckets,
                rows=block((ROWS, *key)),
                rejected=block((REJECTED, *key)),
                warned=block((WARNED, *key)),
                answers=block((ANSWERS, *key), len(buckets) + 2),
                outside=[block((OUTSIDE, *key, name)) for name in served.judged],
            )
        return series

    def _count_rows(self, answered: _Answered) -> None:
        served, columns, values, warned = answered
        series, cells = self._of(served), self._cells.values
        if warned:
            bits = served.outside(columns)
            for i, cell in enumerate(series.outside):
                cells[cell] += int(np.count_nonzero(bits >> 2 * i & 3))
        slot = int(self._clock() // SLOT_SECONDS)
        for name, bins in series.bins.items():
            counts = bins.count(columns[name])
            start = self._window(served, name, slot, len(counts))
            for i, count in enumerate(counts.tolist(), start + 2):
                cells[i] += count
        self._count_answers(series, values)

    def _window(self, served: Served, field: str, slot: int, width: int) -> int:
        """The cells of a field in a slot of the drift window: the slot, the version, then the counts.

        All versions of a model share them; otherwise a service that takes a new version every hour would
        run out of cells within weeks.
        """
        values = self._cells.values
        key = (WINDOW, served.name, field, str(slot % SLOTS))
        width = max(width, _LEAST_CELLS)
        start = self._cells.block(key, width + 2)
        mark = float(slot), _mark(served)
        if (values[start], values[start + 1]) != mark:  # an hour old, or another version's
            for i in range(start + 2, start + 2 + width):
                values[i] = 0.0
            values[start], values[start + 1] = mark
        return start

    def _count_answers(self, series: _Series, values: FloatArray) -> None:
        cells, start, n_buckets = self._cells.values, series.answers, len(series.buckets)
        places = series.buckets.searchsorted(values, side="left")
        counts = np.bincount(places, minlength=n_buckets + 1)
        for i, count in enumerate(counts.tolist(), start):
            cells[i] += count
        cells[start + n_buckets + 1] += float(values.sum())

    def drifts(
        self, served: Served, read: Iterable[tuple[Key, list[float]]]
    ) -> dict[str, tuple[float, float]]:
        """(PSI, rows) of each field over the window. read : the cells of all processes."""
        now = int(self._clock() // SLOT_SECONDS)
        bins = bins_of(served)
        counts = {name: np.zeros(len(of_field.shares)) for name, of_field in bins.items()}
        for key, values in read:
            if key[:2] == (WINDOW, served.name) and values[1] == _mark(served):
                of_field = counts.get(key[2])
                if of_field is not None and now - values[0] < SLOTS:
                    of_field += values[2 : 2 + len(of_field)]
        return {name: (bins[name].psi(c), float(c.sum())) for name, c in counts.items()}
