"""Input drift: how far the rows of requests are from the training rows, field by field.

The measure is the population stability index. With the share e_i of the training rows and the share a_i
of the requests' rows in bin i of a field, it is

    PSI = sum_i (a_i - e_i) * ln(a_i / e_i)

It is 0 for equal shares; by convention a value above 0.1 is worth a look and one above 0.25 is a shift.
The bins of a number are the deciles of the training rows, those of a category or boolean its values, and
those of a timestamp three hours of the day each (the date itself always moves on). A missing value is in
no bin.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import rows
from models.arrays import Columns, FloatArray, IntArray
from models.errors import BundleError
from models.task import Field, Task

JSON = dict[str, dict[str, list[float]]]

_TENTHS = np.linspace(0.1, 0.9, 9)
_HOURS_A_BIN = 3
_SMALLEST_SHARE = 1e-4  # keeps the logarithm finite in a bin without training rows


@dataclass(frozen=True)
class Bins:
    """The bins of a field and the share of the training rows in each.

    edges : (n_bins - 1,), increasing, the edges between the bins of a number; empty for other kinds.
    shares : (n_bins,), adding up to 1.
    """

    field: Field
    edges: FloatArray
    shares: FloatArray

    def count(self, values: NDArray[np.generic]) -> FloatArray:
        """How many of `values` (n_rows,) fall in each bin: (n_bins,)."""
        return _count(self.field, self.edges, values)

    def psi(self, counts: FloatArray) -> float:
        """The population stability index of `counts` (n_bins,); 0 for no rows at all.

        Half a row is added to each bin, so that one that a small sample misses does not make it infinite.
        """
        total = counts.sum()
        if total == 0:
            return 0.0
        actual = (counts + 0.5) / (total + 0.5 * len(counts))
        expected = np.maximum(self.shares, _SMALLEST_SHARE)
        return float(np.sum((actual - expected) * np.log(actual / expected)))


def reference(task: Task, columns: Columns) -> JSON:
    """The bins of the training rows, for a manifest; a field without a single value has none."""
    made = {}
    for field in task.fields:
        values = columns[field.name]
        edges = _edges(field, values)
        counts = _count(field, edges, values)
        if counts.sum() > 0:
            shares = (counts / counts.sum()).round(6)
            made[field.name] = {"edges": edges.tolist(), "shares": shares.tolist()}
    return made


def bins_of(task: Task, made: object) -> dict[str, Bins]:
    """The bins in a manifest, by field. Raises BundleError for what `reference` does not write."""
    if not isinstance(made, dict):
        raise BundleError("manifest.json: reference: must be an object")
    return {
        field.name: _bins(field, made[field.name]) for field in task.fields if field.name in made
    }


def _bins(field: Field, made: Any) -> Bins:
    try:
        edges = np.array(made["edges"], dtype=np.float64)
        shares = np.array(made["shares"], dtype=np.float64)
        counts = _count(field, edges, np.empty(0, rows.DTYPES[field.kind]))
    except (IndexError, KeyError, OverflowError, TypeError, ValueError):
        counts = shares = edges = np.empty(0)  # every field has a bin
    if not len(counts) or shares.shape != counts.shape or not np.isfinite((*edges, *shares)).all():
        raise BundleError(
            f"manifest.json: reference.{field.name}: must have the edges of its bins, and a share "
            "for each bin"
        )
    return Bins(field, edges, shares)


def _edges(field: Field, values: NDArray[np.generic]) -> FloatArray:
    if field.kind not in {"number", "integer"}:
        return np.empty(0)
    given = values.astype(np.float64)
    given = given[~np.isnan(given)]
    return np.unique(np.quantile(given, _TENTHS)) if len(given) else np.empty(0)


def _count(field: Field, edges: FloatArray, values: NDArray[np.generic]) -> FloatArray:
    """How many of the values that are not missing fall in each bin: (n_bins,)."""
    if field.kind in {"number", "integer"}:
        counts = _count_numbers(edges, values.astype(np.float64, copy=False))
    elif field.kind == "timestamp":
        hours = values.astype("datetime64[h]", copy=False).view(np.int64) % 24
        counts = np.bincount(hours // _HOURS_A_BIN, minlength=24 // _HOURS_A_BIN)
    else:
        codes = values.astype(np.int64) + 1  # 0 where none is given
        counts = np.bincount(codes, minlength=1 + (len(field.choices) or 2))[1:]
    return counts.astype(np.float64)


def _count_numbers(edges: FloatArray, numbers: FloatArray) -> IntArray:
    counts = np.bincount(edges.searchsorted(numbers, side="right"), minlength=len(edges) + 1)
    counts[-1] -= np.count_nonzero(np.isnan(numbers))  # NaN sorts after every number
    return counts
