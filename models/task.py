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
    low, high : the accepted range, in `unit` (of a timestamp in years); None for a kind without one.
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
        """The accepted range, infinite where there is no limit."""
        low, high = self.low, self.high
        return -np.inf if low is None else low, np.inf if high is None else high


@dataclass(frozen=True)
class Task:
    """One question to a model.

    variables : the names of the columns that `derive` returns.
    derive : rows by column -> (n_rows, n_variables), float64.
    recurring : the fields whose values come back in request after request, so that `models.few` can cache
        what follows from them.
    varying : the variables that are fields taken as they are. All others follow from `recurring`.
    split : one row -> the values of `recurring` and those of `varying`.
    target, unit : what the answer is, and in which unit.
    bounds : every answer, and both ends of every interval, lie within.
    threshold : the smallest probability that counts as "yes"; None for a quantity.
    decision : the name of that yes or no in an answer; "" for a quantity.
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
    def answer_names(self) -> tuple[str, ...]:
        """The columns of an answer in a table: target, decision (if any), and the ends of the interval."""
        decision = () if self.threshold is None else (self.decision,)
        return (self.target, *decision, "low", "high")

    @cached_property
    def time_field(self) -> str:
        """The name of the (first) field that is a timestamp; "" for a task without one."""
        return next((field.name for field in self.fields if field.kind == "timestamp"), "")

    @cached_property
    def numbers(self) -> tuple[Field, ...]:
        """The fields that are numbers, in order."""
        return tuple(field for field in self.fields if field.kind in {"number", "integer"})

    @cached_property
    def number_ends(self) -> tuple[FloatArray, FloatArray]:
        """The accepted range of each of `numbers`, as two arrays (n_numbers, 1)."""
        ends = np.array([field.ends for field in self.numbers], np.float64).reshape(-1, 2)
        return ends[:, :1], ends[:, 1:]
