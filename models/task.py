"""What a model is asked, and what it answers: the declaration of a task.

One declaration serves the request schema (a test holds them equal), the model card, the reading of a
CSV and the table of fields in the documentation.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from models.arrays import Columns, FloatArray, Row

Kind = Literal["timestamp", "number", "integer", "category", "boolean"]


@dataclass(frozen=True)
class Field:
    """One field of a request.

    Its column in `Columns`: timestamp, datetime64[h] in local time; number, float64 (NaN: not given);
    integer, int64; category, int8 index into `choices`; boolean, int8 (-1: not given).
    low, high : the range that is accepted, in `unit`; None for a kind without one.
    """

    name: str
    kind: Kind
    description: str
    example: str | float | int | bool
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    required: bool = True

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest number that it takes."""
        low, high = self.low, self.high
        return -np.inf if low is None else low, np.inf if high is None else high


@dataclass(frozen=True)
class Task:
    """One question to a model.

    variables : names of the columns of what `derive` returns.
    derive : rows by column -> (n_rows, n_variables), float64.
    recurring : the fields whose values come again and again: what one row is split by, see `models.few`.
    varying : the variables that are a number of the row as it is. All others follow from `recurring`.
    split : one row -> the values of `recurring` and those of `varying`.
    target, unit : what the answer is, and in which unit.
    bounds : no answer and no end of an interval lies outside.
    threshold : the probability from which on the answer is "yes"; None for a quantity.
    decision : the name under which an answer says that yes or no; "" for a quantity.
    """

    name: str
    title: str
    fields: tuple[Field, ...]
    variables: tuple[str, ...]
    derive: Callable[[Columns], FloatArray]
    recurring: tuple[str, ...]
    varying: tuple[str, ...]
    split: Callable[[Row], tuple[tuple[Any, ...], tuple[float, ...]]]
    target: str
    unit: str
    bounds: tuple[float, float]
    limits_of_use: tuple[str, ...]
    threshold: float | None = None
    decision: str = ""

    @cached_property
    def field_names(self) -> tuple[str, ...]:
        """The names of the request's fields, in order."""
        return tuple(field.name for field in self.fields)

    @cached_property
    def field_of(self) -> Mapping[str, Field]:
        """The request's fields by name, in order."""
        return {field.name: field for field in self.fields}

    @cached_property
    def numbers(self) -> tuple[Field, ...]:
        """The fields that are numbers, in order."""
        return tuple(field for field in self.fields if field.kind in {"number", "integer"})

    @cached_property
    def number_ends(self) -> tuple[FloatArray, FloatArray]:
        """The lowest and the highest value that each of `numbers` takes: (n_numbers, 1) both."""
        ends = np.array([field.ends for field in self.numbers], np.float64).reshape(-1, 2)
        return ends[:, :1], ends[:, 1:]
