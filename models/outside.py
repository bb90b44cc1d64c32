"""What an input lies outside of that a model was trained on, and the warnings that its answer has."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import drift
from models.arrays import Columns, FloatArray, Row, any_of
from models.model import Model
from models.task import Field

_Limit = tuple[str, Any, Any, int, int]


@dataclass(frozen=True)
class Edge:
    """The training range of a field, and the warnings for an input below or above it.

    low, high : in the form of the field's column; a timestamp as hours since 1970.
    """

    name: str
    low: float
    high: float
    below: str
    above: str


@dataclass(frozen=True)
class Unseen:
    """The choices of a field that no training row had, and the warning for an input that has one of them.

    codes : (n_choices,), whether each choice is one of them.
    """

    name: str
    choices: frozenset[str]
    codes: NDArray[np.bool]
    words: str


class TrainingRange:
    """Judges inputs by the training rows: a base of what holds a model and the manifest of its bundle."""

    model: Model
    manifest: Mapping[str, Any]

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """The training ranges, in the order of the task's fields."""
        ranges = self.model.ranges
        return tuple(
            _edge(field, *ranges[field.name])
            for field in self.model.task.fields
            if field.name in ranges
        )

    @cached_property
    def unseen(self) -> tuple[Unseen, ...]:
        """The fields of which the training rows lack a choice; none if the manifest does not tell."""
        task, made = self.model.task, self.manifest.get("reference")
        bins = drift.bins_of(task, made) if made else {}
        lacking = [
            name for name, of in bins.items() if task.field_of[name].choices and not of.shares.all()
        ]
        return tuple(_unseen(task.field_of[name], bins[name].shares == 0.0) for name in lacking)

    @property
    def judged(self) -> tuple[str, ...]:
        """The fields that `outside` judges, by the number of their two bits."""
        return (*(edge.name for edge in self.edges), *(unseen.name for unseen in self.unseen))

    def outside(self, columns: Columns) -> NDArray[np.int64]:
        """Which training data each row lies outside: (n_rows,) bits.

        Bit 2i: below edge i, bit 2i + 1: above it. The edges are followed by the fields of `unseen`, which
        have two bits as well and set the first.
        """
        edges = self.edges
        n_rows = len(next(iter(columns.values())))
        bits = np.zeros(n_rows, dtype=np.int64)
        for i, unseen in enumerate(self.unseen, len(edges)):
            bits |= unseen.codes[columns[unseen.name]].astype(np.int64) << 2 * i
        if not edges:
            return bits
        values = np.empty((len(edges), n_rows))
        for row, edge in zip(values, edges, strict=True):
            row[:] = columns[edge.name]
        below, above = values < self._lows, values > self._highs
        for outside, first in ((below, 0), (above, 1)):
            if any_of(outside):  # seldom
                for i, rows in enumerate(outside):
                    bits |= rows.astype(np.int64) << 2 * i + first
        return bits

    @cached_property
    def _lows(self) -> FloatArray:
        return np.array([[edge.low] for edge in self.edges])

    @cached_property
    def _highs(self) -> FloatArray:
        return np.array([[edge.high] for edge in self.edges])

    def outside_of_one(self, row: Row) -> int:
        """`outside` for a single row."""
        bits = 0
        limits, choices = self._judges
        for name, low, high, below, above in limits:
            value = row[name]
            if value is not None:
                if value < low:
                    bits |= below
                if value > high:
                    bits |= above
        for name, unseen, bit in choices:
            if row[name] in unseen:
                bits |= bit
        return bits

    @cached_property
    def _judges(self) -> tuple[list[_Limit], list[tuple[str, frozenset[str], int]]]:
        """Of each edge its name, low and high in the form of a row, and its two bits; then of `unseen`."""
        timestamps = {field.name for field in self.model.task.fields if field.kind == "timestamp"}

        def in_row(name: str, end: float) -> Any:
            return np.datetime64(int(end), "h").astype(datetime) if name in timestamps else end

        limits = [
            (e.name, in_row(e.name, e.low), in_row(e.name, e.high), 1 << 2 * i, 2 << 2 * i)
            for i, e in enumerate(self.edges)
        ]
        return limits, [
            (of.name, of.choices, 1 << 2 * i) for i, of in enumerate(self.unseen, len(limits))
        ]

    def warnings(self, bits: int) -> list[str]:
        """The warnings for a row, from its bits of `outside`."""
        if not bits:  # nearly always
            return []
        words = [text for edge in self.edges for text in (edge.below, edge.above)]
        words += [text for unseen in self.unseen for text in (unseen.words, "")]
        return [text for i, text in enumerate(words) if bits >> i & 1]


def _edge(field: Field, low: float, high: float) -> Edge:
    if field.kind == "timestamp":
        first, last = (str(np.datetime64(int(hours), "h")) for hours in (low, high))
        trained = f"what the model was trained on ({first} to {last})"
        words = ("earlier than", "later than")
    else:
        unit = f" {field.unit}" if field.unit else ""
        trained = f"what the model was trained on ({low:g} to {high:g}{unit})"
        words = ("below", "above")
    below, above = (f"{field.name} is {word} {trained}" for word in words)
    return Edge(field.name, low, high, below, above)


def _unseen(field: Field, codes: NDArray[np.bool]) -> Unseen:
    seen = [choice for choice, lacks in zip(field.choices, codes, strict=True) if not lacks]
    words = f"{field.name} is none of what the model was trained on ({', '.join(seen)})"
    return Unseen(field.name, frozenset(field.choices) - {*seen}, codes, words)
