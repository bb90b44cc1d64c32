"""Distillation: one small network that answers what an ensemble would (Hinton, Vinyals and Dean 2015).

An ensemble forecasts better than each of its networks, and every answer costs as much as all of them. But
the function that it has learned is smooth, and a single network can learn it from any number of examples:
rows are made up, and labelled by the ensemble (Bucila, Caruana and Niculescu-Mizil 2006). Such labels have
no noise, so the student does not overfit, and a few seconds of training suffice.

The made-up rows cover whatever a request can ask: days of every kind before, within and after the training
rows, with the weather of some hour of about the same season, sometimes with fields of other hours, and with
numbers that are jittered.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import calendar
from models.arrays import Columns, FloatArray, IntArray
from models.features import Encoder, Inputs
from models.links import LINKS
from models.model import Head
from models.task import Field
from training.data import Dataset
from training.fit import FitSettings, Rows, fit
from training.parameters import Architecture, initial
from training.progress import Watch

YEARS = 28
"""Made-up days reach this many years before and after the training rows: a full cycle of the calendar."""
SHARES = (0.1, 0.5, 0.4)
"""The shares of the made-up days before, within and after the training rows."""
SPECIAL = ("holiday", "day_off", "federal_only", "away")
SPECIAL_WEIGHT = 5.0
"""How much more often a special day is drawn: they are few, and each kind has its own daily pattern."""
NEAR_DAYS = 20.0
"""Standard deviation of the days of the year between a made-up day and the day that its weather is from."""
LONGEST_YEAR = 366
MIXED = 0.25
"""The probability that a field is taken from an hour of any season instead."""
ODD = 0.1
"""The probability that it is drawn evenly: from the lowest to the highest seen, or from all choices."""
MOVED = 0.25
"""Standard deviation of the jitter of numbers, in standard deviations of the field."""
NOT_GIVEN = 0.1
"""The probability that an optional number is left out."""
GIVEN = 0.2
"""The probability that an optional boolean is given."""

GAIN = 0.25
AVERAGED = 0.125
"""The share of the epochs over whose weights the student is averaged."""
JUDGED = 10_000
"""Made-up rows, not learned from, on which student and ensemble are compared."""
CHUNK = 4096
"""Rows that the ensemble answers at once, to bound the memory of its activations."""


@dataclass(frozen=True)
class Student:
    """The single network that is to answer for an ensemble, and how it learns.

    hidden : units of each hidden layer. link : of its output, a name in `models.links.LINKS`.
    rows : how many rows are made up; the training rows are added to them.
    rate, batch_size, epochs : as in `training.fit.FitSettings`; the rate falls along a half cosine.
    """

    hidden: tuple[int, ...] = (64, 32)
    link: str = "sqrt"
    rows: int = 60_000
    rate: float = 7e-3
    batch_size: int = 256
    epochs: int = 40


@dataclass(frozen=True)
class Distilled:
    """A student's head, and how far its answers are from the ensemble's.

    networks : members of the ensemble. rows : made-up rows, not learned from, that both answered.
    difference : the root mean square of the difference of their answers, in the target's unit.
    answer : the mean of the ensemble's answers.
    """

    head: Head
    networks: int
    rows: int
    difference: float
    answer: float

    def as_json(self) -> dict[str, float]:
        """For the manifest."""
        return {
            "networks": self.networks,
            "rows": self.rows,
            "difference": self.difference,
            "answer": self.answer,
        }


def distil(  # noqa: PLR0913  # student, ensemble (encoder and head), rows, randomness, who watches
    student: Student,
    encoder: Encoder,
    head: Head,
    dataset: Dataset,
    rows: IntArray,
    rng: np.random.Generator,
    watch: Watch,
) -> Distilled:
    """A student of the ensemble `head`, which was trained on `rows` of the data set.

    Raises DivergedError if its losses do not stay finite.
    """
    seen = dataset.take(rows)
    task = dataset.task

    def asked(columns: Columns) -> tuple[Inputs, FloatArray]:
        inputs = encoder.encode(task.derive(columns))
        return inputs, np.clip(_answers(head, inputs), *task.bounds)

    made = made_up(dataset, rows, student.rows, rng)
    inputs, answer = asked({name: np.concatenate([made[name], seen[name]]) for name in made})
    with watch.stage("one network for all", student.epochs) as on_check:
        target, mean, scale = _standardised(LINKS[student.link].to_link(answer))
        sizes = (encoder.n_inputs, *student.hidden, 1)
        start = initial(Architecture(sizes, skip=True), rng, fan_in=encoder.fan_in, input_gain=GAIN)
        learned = Rows(inputs.with_dense(encoder.n_inputs), target)
        network = fit(start, learned, None, _settings(student), rng, on_check).network
    shape = (1, 1, 1)
    one = Head(network, (student.link,), np.full(shape, mean), np.full(shape, scale))
    inputs, answer = asked(made_up(dataset, rows, JUDGED, rng))
    off = _answers(one, inputs) - answer
    difference = float(np.sqrt(np.square(off).mean()))
    return Distilled(one, len(head.links), JUDGED, difference, float(answer.mean()))


class _Settings(FitSettings):
    rate_key = "student_rate"


def _settings(student: Student) -> FitSettings:
    return _Settings(
        rate=student.rate,
        batch_size=student.batch_size,
        epochs=student.epochs,
        schedule="cosine",
        average_epochs=round(AVERAGED * student.epochs),
    )


def _standardised(linked: FloatArray) -> tuple[FloatArray, float, float]:
    """`linked`, (n_rows,), standardised to a target (n_rows, 1), and the mean and scale."""
    mean, scale = float(linked.mean()), float(linked.std()) or 1.0
    return ((linked - mean) / scale).astype(np.float32)[:, np.newaxis], mean, scale


def _answers(head: Head, inputs: Inputs) -> FloatArray:
    """The head's value of each row, (n_rows,)."""
    starts = range(0, len(inputs), CHUNK)
    parts = [inputs.take(np.arange(s, min(s + CHUNK, len(inputs)))) for s in starts]
    return np.concatenate([head.value_of(head.member_values(part)) for part in parts])


def made_up(
    dataset: Dataset, rows: IntArray, n_rows: int, rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """`n_rows` rows, by column, that a request might contain, made from those numbered `rows`."""
    seen, task = dataset.take(rows), dataset.task
    when = task.field_of[task.time_field]
    days = _days(seen[when.name].astype("datetime64[D]"), when, n_rows, rng)
    source = _near(seen[when.name], days, rng)
    made = {name: values[source] for name, values in seen.items()}
    hour = rng.integers(24, size=n_rows).astype("timedelta64[h]")
    made[when.name] = days.astype("datetime64[h]") + hour
    for field in task.fields:
        if field is not when:
            _disturb(field, made[field.name], seen[field.name], rng)
    return made


def _days(
    seen: NDArray[np.datetime64], field: Field, n_rows: int, rng: np.random.Generator
) -> NDArray[np.datetime64]:
    """`n_rows` days before, within and after those `seen`; special days are drawn more often."""
    around = np.timedelta64(round(365.25 * YEARS), "D")
    earliest, latest = (np.datetime64(str(year)) for year in (field.low, field.high))
    start = max(seen.min() - around, earliest.astype("datetime64[D]"))
    end = latest + np.timedelta64(1, "Y")
    stop = min(seen.max() + around, end.astype("datetime64[D]"))
    pool = np.arange(start, stop)
    variables = calendar.day_rows(pool)
    named = [calendar.DAY_VARIABLES.index(name) for name in SPECIAL]
    weights = np.where((variables[:, named] > 0).any(axis=1), SPECIAL_WEIGHT, 1.0)
    part = (pool >= seen.min()).astype(np.int64) + (pool > seen.max())
    weights *= np.array(SHARES)[part] / np.bincount(part, weights, len(SHARES))[part]
    return rng.choice(pool, n_rows, p=weights / weights.sum())


def _near(
    seen: NDArray[np.datetime64], days: NDArray[np.datetime64], rng: np.random.Generator
) -> IntArray:
    """For each of `days` the index of an hour of `seen` of about the same day of the year, in any year."""
    # the fraction puts the hours of a day in random order
    of_seen = _day_of_year(seen) + rng.random(len(seen))
    wanted = (_day_of_year(days) + rng.normal(0.0, NEAR_DAYS, len(days))) % LONGEST_YEAR
    order = np.argsort(of_seen)
    return order[np.searchsorted(of_seen, wanted, sorter=order) % len(order)]


def _day_of_year(moments: NDArray[np.datetime64]) -> IntArray:
    """0 to 365."""
    days: IntArray = moments.astype("datetime64[D]") - moments.astype("datetime64[Y]")
    return days.astype(np.int64)


def _disturb(
    field: Field, values: NDArray[Any], seen: NDArray[Any], rng: np.random.Generator
) -> None:
    """Perturb `values`, (n_rows,), of a field in place, with the probabilities defined above."""

    def some(share: float) -> IntArray:
        return np.flatnonzero(rng.random(len(values)) < share)

    mixed = some(MIXED)
    values[mixed] = rng.choice(seen, len(mixed))
    odd = some(ODD)
    if field.kind == "number" and np.isnan(seen).all():
        return  # an optional field that no row gives: the student is not asked about it, either
    if field.kind == "number":
        values += rng.normal(0.0, MOVED * np.nanstd(seen), len(values))
        values[odd] = rng.uniform(np.nanmin(seen), np.nanmax(seen), len(odd))
        np.clip(values, field.low, field.high, out=values)
        if not field.required:
            values[some(NOT_GIVEN)] = np.nan
    elif field.kind == "category":
        values[odd] = rng.integers(len(field.choices), size=len(odd))
    elif field.kind == "boolean":
        given = some(GIVEN)
        values[:] = -1
        values[given] = rng.integers(2, size=len(given))
