"""Shapley values of one answer: what each field of a request added to it.

The fields are the players of a game. The worth of a coalition S of fields is the mean answer over
*hybrids*, one for each background row: the fields in S as the caller sent them, the others as the
background row has them,

    v(S) = 1/m sum_j f(x_S, b_j without S)

(the interventional, or marginal, game: Lundberg and Lee 2017; Janzing et al. 2020). A field's
contribution is the mean, over all orders in which the fields can join, of what it adds to the worth
(Shapley 1953):

    phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! * (v(S + i) - v(S))

All 2^n coalitions are evaluated, so the values are exact for the given background, and

    answer = v(all) = v(none) + sum_i phi_i = baseline + sum of the contributions

holds up to rounding in float64. (Only the forward pass is in float32.)

Fields, not the networks' inputs, are what is explained: whatever a task derives from a field (hour,
weekday and season from the timestamp) is derived anew from every hybrid, so its effect is the field's.

A field that the caller left out is no player: it is missing in every hybrid, too, and filled by the
task's rule from the other fields. So its effect counts as theirs, its own contribution is 0, and the
baseline is the mean answer over the background rows without that field.
"""

from collections.abc import Generator
from dataclasses import dataclass
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.arrays import BoolArray, Columns, FloatArray, IntArray
from models.model import Model
from models.task import Field

STEP_ROWS = 512
"""Hybrids that are answered between two yields of `steps`: a millisecond or two of work."""


@dataclass(frozen=True)
class Explanation:
    """What each field, by name, added to the baseline; all in the unit of the answer."""

    baseline: float
    contributions: dict[str, float]


def explain(model: Model, row: Columns, answer: float) -> Explanation:
    """The Shapley values of the `answer` that the model gave to `row` (one row by column)."""
    work = steps(model, row, answer)
    while True:
        try:
            next(work)
        except StopIteration as done:
            explanation: Explanation = done.value
            return explanation


def steps(model: Model, row: Columns, answer: float) -> Generator[None, None, Explanation]:
    """`explain` as a generator that yields every millisecond or two, so that a server can do other work."""
    fields = model.task.fields
    given = [field.name for field in fields if _is_given(field, row[field.name])]
    game = _Game(given, row, model.background)
    worths = np.empty(len(game))
    for start in range(0, len(game), STEP_ROWS):
        hybrids = game.hybrids(start, start + STEP_ROWS)
        worths[start : start + STEP_ROWS] = model.value(hybrids)
        yield
    worth = game.worth(worths, answer)
    contributions = dict.fromkeys(model.task.field_names, 0.0)
    contributions |= zip(given, shapley_values(worth).tolist(), strict=True)
    return Explanation(worth[0].item(), contributions)


def shapley_values(worth: FloatArray) -> FloatArray:
    """The Shapley value of each of n players, (n,), from the worth of every coalition, (2^n,).

    Coalition number S has player i if bit i of S is set.
    """
    n = len(worth).bit_length() - 1
    weights = np.array([factorial(s) * factorial(n - s - 1) / factorial(n) for s in range(n)])
    has = _members(n)
    sizes = has.sum(axis=1)
    values = np.empty(n)
    for i in range(n):
        without = np.flatnonzero(~has[:, i])
        values[i] = weights[sizes[without]] @ (worth[without | 1 << i] - worth[without])
    return values


def _members(n: int) -> BoolArray:
    """Which players each coalition has: (2^n, n)."""
    return (np.arange(2**n)[:, np.newaxis] >> np.arange(n)) & 1 > 0


def _is_given(field: Field, column: NDArray[Any]) -> bool:
    """Whether the one row of a column has a value, see `models.task.Field`."""
    if field.kind == "number":
        return not np.isnan(column[0])
    return field.kind != "boolean" or bool(column[0] >= 0)


class _Game:
    """The distinct hybrids of a row and the background rows.

    A field in which the row and a background row agree changes nothing by joining. So for each background
    row only the coalitions of the fields in which the two differ need an answer, which saves more than
    half of the hybrids. A coalition is a number whose bit i says whether field i is a member.
    """

    def __init__(self, given: list[str], row: Columns, background: Columns) -> None:
        self._row = row
        self._others = {
            name: column if name in given else np.broadcast_to(row[name], column.shape)
            for name, column in background.items()
        }
        self._has = _members(len(given))
        self._given = given
        differs = np.array([self._others[name] != row[name] for name in given])
        # of each background row the coalition of all fields that differ
        self._most: IntArray = (differs.T << np.arange(len(given))).sum(axis=1)
        coalitions = np.arange(len(self._has))
        self._coalitions = coalitions[:, np.newaxis]
        self._asked = (self._coalitions & ~self._most) == 0
        self._asked &= self._coalitions != self._most  # that hybrid is the row itself
        self._at, self._of = np.nonzero(self._asked)

    def __len__(self) -> int:
        return len(self._at)

    def hybrids(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """The hybrids from number `start` to `stop`, by column."""
        of = self._of[start:stop]
        has = self._has[self._at[start:stop]]
        hybrids = {name: column[of] for name, column in self._others.items()}
        for i, name in enumerate(self._given):
            np.copyto(hybrids[name], self._row[name], where=has[:, i])
        return hybrids

    def worth(self, values: FloatArray, answer: float) -> FloatArray:
        """The worth of each coalition (2^n,), from the answers to the hybrids and to the row."""
        known = np.full(self._asked.shape, answer)
        known[self._asked] = values
        of = np.arange(known.shape[1])
        worth: FloatArray = known[self._coalitions & self._most, of].mean(axis=1)
        worth[-1] = answer
        return worth
