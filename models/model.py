"""A model: what turns the fields of a request into an answer with its interval.

columns -> task.derive -> encoder.encode -> network.forward -> links -> value
                                 └-------> spread of each row -> interval
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

import numpy as np

from models.arrays import Columns, FloatArray, Row
from models.bulk import Bulk
from models.features import Encoder, Inputs
from models.few import Few, listed, times
from models.interval import DEFAULT_LEVEL, Interval, clipped
from models.links import LINKS, Link
from models.network import Network, forward
from models.task import Task


@dataclass(frozen=True)
class Head:
    """A network, and what its outputs mean.

    links : the link of each member, a name in `models.links.LINKS` (n_members entries).
    mean, scale : (n_members, 1, n_outputs), undo the standardisation of the targets.
    crossover : a quantity c of the target, or 0 for none.

    Each output (of bikes: casual and registered rentals) is mapped back through the link; a member's answer
    is the sum over its outputs, and the value is the mean over the members.

    With a crossover c, members that learned logarithms are weighed against the others: with the means a
    and b of the two groups, the value is (c a + b b) / (c + b). Fitting logarithms is best where answers
    are small, fitting square roots where they are large; at b = c both weigh the same.
    """

    network: Network
    links: tuple[str, ...]
    mean: FloatArray
    scale: FloatArray
    crossover: float = 0.0

    def member_values(self, inputs: Inputs) -> FloatArray:
        """What each member answers, in the unit of the target: (n_members, n_rows)."""
        return self.values_of(forward(self.network, inputs).transpose(0, 2, 1))

    def values_of(self, outputs: FloatArray) -> FloatArray:
        """What each member answers, (n_members, n_rows), from the network's outputs, see `linked`."""
        return self.values_of_linked(self.linked(outputs))

    def linked(self, outputs: FloatArray) -> FloatArray:
        """The network's outputs, their standardisation undone, on the scale of the links; float64.

        outputs and result : (n_members, n_outputs, n_rows), rows last for the sake of NumPy's inner loops.
        """
        z = outputs.astype(np.float64, order="C")
        if self.standardises:
            scale, mean = self._standardisation
            z *= scale
            z += mean
        return z

    def values_of_linked(self, z: FloatArray) -> FloatArray:
        """What each member answers, (n_members, n_rows), from the result of `linked`."""
        parts = [link.from_link(z[members]) for members, link in self._runs]
        values = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return values[:, 0] if values.shape[1] == 1 else np.add.reduce(values, axis=1)

    def value_of(self, members: FloatArray) -> FloatArray:
        """The value, (n_rows,), from the members' answers, (n_members, n_rows)."""
        if not self._blends:
            return _mean(members)
        low, high = _mean(members[self._low]), np.maximum(_mean(members[self._high]), 0.0)
        value: FloatArray = (self.crossover * low + high * high) / (self.crossover + high)
        return value

    def value_of_one(self, outputs: Sequence[float]) -> float:
        """The value of a single row, from the network's n_members * n_outputs outputs."""
        if len(outputs) == 1:
            ((scale, mean, back),) = self._numbers
            return back(outputs[0] * scale + mean)
        numbers = zip(outputs, self._numbers, strict=True)
        answers = [back(z * scale + mean) for z, (scale, mean, back) in numbers]
        if not self._blends:
            return sum(answers) / len(self.links)
        of_low = sum([answers[i] for i in self._low_numbers])
        low = of_low / len(self._low)
        high = max((sum(answers) - of_low) / len(self._high), 0.0)
        return (self.crossover * low + high * high) / (self.crossover + high)

    @cached_property
    def standardises(self) -> bool:
        """Whether the outputs are standardised, so that `linked` has something to undo."""
        return bool((self.scale != 1.0).any() or (self.mean != 0.0).any())

    @cached_property
    def _standardisation(self) -> tuple[FloatArray, FloatArray]:
        """Scale and mean for `linked`: (n_members, n_outputs, 1) both."""
        return self.scale.transpose(0, 2, 1), self.mean.transpose(0, 2, 1)

    @cached_property
    def _blends(self) -> bool:
        return bool(self.crossover and self._low and self._high)

    @cached_property
    def _low(self) -> list[int]:
        """The members on logarithms."""
        return [i for i, link in enumerate(self.links) if link == "log"]

    @cached_property
    def _high(self) -> list[int]:
        """The other members."""
        return [i for i, link in enumerate(self.links) if link != "log"]

    @cached_property
    def _low_numbers(self) -> list[int]:
        """The positions, among all outputs, of those of the members on logarithms."""
        n_outputs = self.network.n_outputs
        return [i * n_outputs + k for i in self._low for k in range(n_outputs)]

    @cached_property
    def _numbers(self) -> list[tuple[float, float, Callable[[float], float]]]:
        """Scale, mean and inverse link of each output of each member."""
        backs = [
            LINKS[link].number_from_link
            for link in self.links
            for _ in range(self.network.n_outputs)
        ]
        return list(
            zip(self.scale.ravel().tolist(), self.mean.ravel().tolist(), backs, strict=True)
        )

    @cached_property
    def _runs(self) -> list[tuple[slice, Link]]:
        """Runs of neighbouring members with the same link, each with that link."""
        runs, start = [], 0
        for name, run in groupby(self.links):
            stop = start + len(list(run))
            runs.append((slice(start, stop), LINKS[name]))
            start = stop
        return runs


@dataclass(frozen=True)
class Prediction:
    """Answers, one a row, all of shape (n_rows,), in the task's unit."""

    value: FloatArray
    low: FloatArray
    high: FloatArray


class Answer(NamedTuple):
    """The answer to a single row, as in `Prediction`."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Model:
    """A trained model of a task.

    head : what answers.
    spread : a head whose value is the uncertainty of each answer, on the scale of the interval's link; or
        None, for the standard deviation over the members of `head` on that scale.
    ranges : the lowest and the highest value in the training rows, for each field that is ordered;
        of a timestamp in hours since 1970.
    threshold : the smallest probability that counts as "yes"; None for a quantity.
    background : the rows, by column, that an explanation compares with.
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
        outputs, *_ = self._outputs(columns)
        return self._bounded(self.head.values_of(outputs))

    def predict(self, columns: Columns, level: float = DEFAULT_LEVEL) -> Prediction:
        """The answers with their intervals at `level` (0.5 to 0.99).

        columns : every field of the task, see `models.task.Field` for the form of each.
        Raises InputError for a level outside its range.
        """
        outputs, *others = self._outputs(columns)
        linked = self.head.linked(outputs)
        members = self.head.values_of_linked(linked)
        value = self._bounded(members)
        if self.spread is not None:
            spread = self.spread.value_of(self.spread.values_of(*others))
        elif self._members_on_interval_link:
            spread = _deviation(linked[:, 0])
        else:
            spread = self._deviation(members)
        low, high = self.interval.ends(value, spread, level, self.task.bounds)
        return Prediction(value, low, high)

    def _outputs(self, columns: Columns) -> list[FloatArray]:
        """The outputs of the head's and the spread's network: (n_members, n_outputs, n_rows) each."""
        return self._bulk.outputs(self._bulk.encode(self.task.derive(columns)))

    @cached_property
    def _bulk(self) -> Bulk:
        return Bulk(self.encoder, [head.network for head in self._heads])

    def predict_few(self, asked: Sequence[tuple[Row, float]]) -> list[Answer]:
        """The answers of `predict` to a few rows, each with its own level, in a fraction of the time.

        They agree with `predict` up to float32 rounding. A row gets the same bits whatever other rows are
        asked for with it. Raises InputError for a level outside its range.
        """
        outputs = self._few([row for row, _ in asked])
        if self._is_plain_ensemble:
            values, spreads = self._of_plain_ensemble(np.asarray(outputs[0], np.float64))
        elif self.spread is None:
            shape = (len(self.head.links), self.head.network.n_outputs, 1)
            of_rows = [self.head.values_of(np.reshape(numbers, shape)) for numbers in outputs[0]]
            values = [self.head.value_of(members).item() for members in of_rows]
            spreads = [self._deviation(members).item() for members in of_rows]
        else:
            values = [self.head.value_of_one(numbers) for numbers in listed(outputs[0])]
            spreads = [self.spread.value_of_one(numbers) for numbers in listed(outputs[1])]
        low, high = bounds = self.task.bounds
        answers = []
        for value, spread, (_, level) in zip(values, spreads, asked, strict=True):
            value = low if value < low else (high if value > high else value)  # noqa: FURB136, PLW2901 - as in `few`
            ends = self.interval.ends_of_one(value, spread, level, bounds)
            answers.append(Answer(value, *ends))
        return answers

    def predict_one(self, row: Row, level: float = DEFAULT_LEVEL) -> Answer:
        """The answer of `predict_few` to one row."""
        (answer,) = self.predict_few([(row, level)])
        return answer

    @cached_property
    def _is_plain_ensemble(self) -> bool:
        """Whether value and spread are simply mean and deviation over members on the interval's link."""
        head = self.head
        return self.spread is None and self._members_on_interval_link and not head.standardises

    def _of_plain_ensemble(self, linked: FloatArray) -> tuple[list[float], list[float]]:
        """Values and spreads of a few rows, from the members' outputs (n_rows, n_members) on the link."""
        answers = LINKS[self.interval.link].from_link(linked)
        off = linked - times(linked, self._share)[:, np.newaxis]
        variances = times(off * off, self._share)
        return times(answers, self._share).tolist(), np.sqrt(variances).tolist()

    @cached_property
    def _share(self) -> FloatArray:
        """1 / n_members for each member: a product with it is the mean, at a third of the cost of a sum."""
        return np.full(self.head.network.n_members, 1.0 / self.head.network.n_members)

    @cached_property
    def _few(self) -> Few:
        return Few(self.task, self.encoder, [head.network for head in self._heads])

    @property
    def _heads(self) -> tuple[Head, ...]:
        return (self.head,) if self.spread is None else (self.head, self.spread)

    def _bounded(self, members: FloatArray) -> FloatArray:
        """The head's value, kept inside the task's bounds: (n_rows,)."""
        return clipped(self.head.value_of(members), *self.task.bounds)

    @cached_property
    def _members_on_interval_link(self) -> bool:
        """Whether the members' outputs are on the interval's link already, one output each."""
        return {*self.head.links} == {self.interval.link} and self.head.network.n_outputs == 1

    def _deviation(self, members: FloatArray) -> FloatArray:
        """The standard deviation over the members on the interval's link: (n_rows,)."""
        return _deviation(LINKS[self.interval.link].to_link(members))


def _deviation(linked: FloatArray) -> FloatArray:
    """The standard deviation over the members: (n_members, n_rows) -> (n_rows,)."""
    off = linked - _mean(linked)
    squares: FloatArray = np.einsum("mr,mr->r", off, off)
    squares /= len(linked)
    return np.sqrt(squares, out=squares)


def _mean(members: FloatArray) -> FloatArray:
    """The mean over the members: (n_members, n_rows) -> (n_rows,). `ndarray.mean` is slow for one row."""
    if len(members) == 1:
        of_one: FloatArray = members[0]
        return of_one
    mean: FloatArray = np.add.reduce(members, axis=0)
    mean /= len(members)
    return mean
