"""One loaded version of a model, with everything that requests need worked out beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from models.arrays import Columns
from models.bundle import Bundle
from models.model import Model
from models.task import Field


@dataclass(frozen=True)
class Edge:
    """The training range of a field, and the words for an input below and above it.

    low, high : in the form of the field's column; a timestamp as hours since 1970.
    """

    name: str
    low: float
    high: float
    below: str
    above: str


@dataclass(frozen=True)
class Served:
    """A model under its name and version.

    manifest : what the bundle says about the model: recipe, metrics, digests.
    """

    name: str
    version: str
    model: Model
    manifest: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, version: str, bundle: Bundle) -> "Served":
        """What a bundle of the store is as a served version."""
        return cls(name, version, bundle.model, bundle.manifest)

    @cached_property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The headers of every answer of this version."""
        return ((b"x-model-version", f"{self.name}/{self.version}".encode()),)

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
    def model_json(self) -> bytes:
        """The `model` member of an answer."""
        return orjson.dumps({"name": self.name, "version": self.version})

    def outside(self, columns: Columns) -> NDArray[np.int64]:
        """Which edges each row passes: (n_rows,) bits, two an edge, below before above."""
        bits = np.zeros(len(next(iter(columns.values()))), dtype=np.int64)
        for i, edge in enumerate(self.edges):
            values = columns[edge.name]
            if values.dtype.kind == "M":
                values = values.astype(np.int64)
            bits |= (values < edge.low).astype(np.int64) << 2 * i
            bits |= (values > edge.high).astype(np.int64) << 2 * i + 1
        return bits

    def warnings(self, bits: int) -> list[str]:
        """The words for a row's bits of `outside`."""
        words = [text for edge in self.edges for text in (edge.below, edge.above)]
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
