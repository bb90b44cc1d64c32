"""From variables to the input of a network.

A task derives named *variables* from a request (hour, temperature, day of the year, ...), as a matrix
of shape (n_rows, n_variables). An `Encoder` turns it into `Inputs`. There are two kinds of column:

- `Number`: a variable clipped to a range, then standardised. By default the range is that of the
  training rows, so that nothing is extrapolated (a growth trend is held at the edge of the data). A
  narrower range makes it one segment of a piecewise-linear function.
- `Category`: one integer variable, or the cross product of several, as a single code. The code is the
  index of a one-hot column, and so of the row of the first layer's weights that a product with the
  one-hot vector would pick.

All columns of a kind are computed at once, so that a single row costs a handful of NumPy calls.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from models.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class Number:
    """`variable` clipped to [low, high] and standardised; None means the edge of the training rows."""

    variable: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Category:
    """The cross product of integer variables; variable i takes the values 0 .. sizes[i] - 1."""

    variables: tuple[str, ...]
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.sizes) != len(self.variables):
            found = f"{len(self.sizes)} for {len(self.variables)}"
            raise ValueError(f"a category has one size for each variable, and not {found}")

    @property
    def size(self) -> int:
        """The number of codes: one for each combination of values."""
        return math.prod(self.sizes)


Column = Number | Category


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the first layer of a network reads.

    numbers : (n_rows, n_numbers), standardised.
    codes : (n_rows, n_codes), each the index of a row of the first layer's weights.
    dense : (n_rows, n_inputs), the numbers and the one-hot columns of the codes, or None. Only the
        gradient of the first layer's weights needs it.
    """

    numbers: FloatArray
    codes: IntArray
    dense: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: IntArray, into: "Inputs | None" = None) -> "Inputs":
        """The given rows; with `into`, an `Inputs` of as many rows, they are written there.

        rows : indices from 0 on. With `into` they are not checked: one beyond the end gives the last row.
        """
        if into is not None:
            pairs = (self.codes, into.codes), (self.values, into.values)
            for source, target in pairs:  # "clip": with "raise" NumPy writes to a copy first
                source.take(rows, axis=0, out=target, mode="clip")
            return into
        codes, values = self.codes.take(rows, axis=0), self.values.take(rows, axis=0)
        if self.dense is None:
            return Inputs(values, codes)
        return Inputs(values[:, : self.numbers.shape[1]], codes, values)

    @property
    def values(self) -> FloatArray:
        """`dense`, of which `numbers` is a view, or `numbers` if there is no `dense`."""
        return self.numbers if self.dense is None else self.dense

    def part(self, where: slice) -> "Inputs":
        """Consecutive rows, as views."""
        dense = None if self.dense is None else self.dense[where]
        return Inputs(self.numbers[where], self.codes[where], dense)

    def with_dense(self, n_inputs: int) -> "Inputs":
        """The same rows with `dense`, for training."""
        n_rows, n_numbers = self.numbers.shape
        dense = np.zeros((n_rows, n_inputs), self.numbers.dtype)
        dense[:, :n_numbers] = self.numbers
        np.put_along_axis(dense, self.codes, 1.0, axis=1)
        return Inputs(dense[:, :n_numbers], self.codes, dense)


@dataclass(frozen=True)
class Encoder:
    """Columns fitted to training rows.

    variables : names of the columns of the matrix that `encode` takes.
    numbers, categories : the columns, in the order of the network's inputs.
    low, high, mean, scale : (n_numbers,), the clip's range and the standardisation of each number.
    """

    variables: tuple[str, ...]
    numbers: tuple[Number, ...]
    categories: tuple[Category, ...]
    low: FloatArray
    high: FloatArray
    mean: FloatArray
    scale: FloatArray

    def __post_init__(self) -> None:
        index = {name: i for i, name in enumerate(self.variables)}
        strides = np.zeros((len(self.variables), len(self.categories)))
        offsets = np.zeros(len(self.categories))
        start = len(self.numbers)
        for j, category in enumerate(self.categories):
            stride = 1
            for variable, size in zip(
                reversed(category.variables), reversed(category.sizes), strict=True
            ):
                strides[index[variable], j] = stride
                stride *= size
            offsets[j] = start
            start += category.size
        object.__setattr__(self, "_strides", strides)
        object.__setattr__(self, "_offsets", offsets)
        object.__setattr__(self, "_factor", 1.0 / np.asarray(self.scale))

    @property
    def n_inputs(self) -> int:
        """Rows of the first layer's weights: one for each number and one for each code of a category."""
        return len(self.numbers) + sum(category.size for category in self.categories)

    @property
    def fan_in(self) -> int:
        """How many inputs of a row may be other than 0: each number, and one code of each category."""
        return len(self.numbers) + len(self.categories)

    def encode(self, variables: FloatArray, dtype: type[np.floating[Any]] = np.float32) -> Inputs:
        """`variables` of shape (n_rows, n_variables) as the input of a network."""
        numbers = variables.take(self.source, axis=1)
        np.minimum(numbers, self.high, out=numbers)
        np.maximum(numbers, self.low, out=numbers)
        np.subtract(numbers, self.mean, out=numbers)
        np.multiply(numbers, self._factor, out=numbers)  # type: ignore[attr-defined]
        codes = variables @ self._strides  # type: ignore[attr-defined]
        codes += self._offsets  # type: ignore[attr-defined]
        return Inputs(numbers.astype(dtype), codes.astype(np.intp))

    @cached_property
    def source(self) -> IntArray:
        """The index of the variable of each number: (n_numbers,)."""
        index = [self.variables.index(number.variable) for number in self.numbers]
        return np.array(index, dtype=np.intp)


def fit_encoder(
    variables: tuple[str, ...], columns: tuple[Column, ...], rows: FloatArray
) -> Encoder:
    """An encoder for `columns` whose ranges, means and scales come from `rows`.

    rows : (n_rows, n_variables), the training rows and no others.
    """
    rows = np.ascontiguousarray(rows)  # the layout decides the order, and so the last bits, of sums
    numbers = tuple(column for column in columns if isinstance(column, Number))
    categories = tuple(column for column in columns if isinstance(column, Category))
    source = [variables.index(number.variable) for number in numbers]
    values = rows[:, source]
    edges_low, edges_high = values.min(axis=0), values.max(axis=0)
    low = np.array([e if n.low is None else n.low for n, e in zip(numbers, edges_low, strict=True)])
    high = np.array(
        [e if n.high is None else n.high for n, e in zip(numbers, edges_high, strict=True)]
    )
    clipped = np.clip(values, low, high)
    mean, scale = clipped.mean(axis=0), clipped.std(axis=0)
    # A column that is constant in training has taught nothing: it is held where it was, at 0. Rounding can
    # make the standard deviation of equal numbers a little more than 0.
    constant = np.ptp(clipped, axis=0) == 0.0
    if constant.any():
        # else the arrays stay as they are, to the byte: a bundle's digest is over them
        low, high, mean = (np.where(constant, clipped[0], of) for of in (low, high, mean))
        scale[constant] = 1.0
    return Encoder(variables, numbers, categories, low, high, mean=mean, scale=scale)
