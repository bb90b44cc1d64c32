"""A model: what turns the fields of a request into an answer with its interval.

columns -> task.derive -> encoder.encode -> network.forward -> links -> value
                                 └-------> spread of each row -> interval
"""

from dataclasses import dataclass

import numpy as np

from models.arrays import Columns, FloatArray
from models.features import Encoder, Inputs
from models.interval import DEFAULT_LEVEL, Interval
from models.links import LINKS
from models.network import Network, forward
from models.task import Task


@dataclass(frozen=True)
class Head:
    """A network, and what its outputs mean.

    links : the link of each member, a name in `models.links.LINKS` (n_members entries).
    mean, scale : (n_members, 1, n_outputs), undo the standardisation of the targets.
    The value is the mean over the members of the sum over the outputs (casual and registered
    rentals), each mapped back through its link.
    """

    network: Network
    links: tuple[str, ...]
    mean: FloatArray
    scale: FloatArray

    def member_values(self, inputs: Inputs) -> FloatArray:
        """What each member answers, in the unit of the target: (n_members, n_rows)."""
        z = forward(self.network, inputs).astype(np.float64)
        z *= self.scale
        z += self.mean
        for link in dict.fromkeys(self.links):
            members = [i for i, name in enumerate(self.links) if name == link]
            z[members] = LINKS[link].from_link(z[members])
        values: FloatArray = z.sum(axis=2)
        return values


@dataclass(frozen=True)
class Prediction:
    """Answers, one a row, all of shape (n_rows,), in the task's unit."""

    value: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True)
class Model:
    """A trained model of a task.

    head : what answers.
    spread : what says how uncertain each answer is (a head whose value is the spread on the interval's
        link), or None: then it is the standard deviation over the head's members on that link.
    ranges : of each field that has one, the lowest and highest value of the training rows;
        a timestamp as hours since 1970.
    threshold : the probability from which on the answer is "yes"; None for a quantity.
    background : rows (by column) that an explanation compares with.
    """

    task: Task
    encoder: Encoder
    head: Head
    spread: Head | None
    interval: Interval
    ranges: dict[str, tuple[float, float]]
    threshold: float | None
    background: Columns

    def encode(self, columns: Columns) -> Inputs:
        """Rows by column as the networks' input."""
        return self.encoder.encode(self.task.derive(columns))

    def value(self, columns: Columns) -> FloatArray:
        """The answers alone: (n_rows,)."""
        return self._bounded(self.head.member_values(self.encode(columns)))

    def predict(self, columns: Columns, level: float = DEFAULT_LEVEL) -> Prediction:
        """The answers with their intervals at `level` (0.5 to 0.99).

        columns : every field of the task, see `models.task.Field` for the form of each.
        Raises InputError for a level outside its range.
        """
        inputs = self.encode(columns)
        members = self.head.member_values(inputs)
        value = self._bounded(members)
        if self.spread is None:
            spread = LINKS[self.interval.link].to_link(members).std(axis=0)
        else:
            spread = self.spread.member_values(inputs).mean(axis=0)
        low, high = self.interval.ends(value, spread, level, self.task.bounds)
        return Prediction(value, low, high)

    def _bounded(self, members: FloatArray) -> FloatArray:
        """The mean over the members, kept inside the task's bounds: (n_rows,)."""
        value: FloatArray = members.mean(axis=0)
        return np.clip(value, *self.task.bounds, out=value)
