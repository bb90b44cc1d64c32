"""Simulated applications with known probabilities, to measure how often an interval contains them.

Outcomes are 0 or 1, so no data set can tell how good an interval for a *probability* is. So applications
are drawn with replacement from the data set, and their outcomes from a known logistic model, the one that
fits the data best. The recipe learns from them as from real ones, and its answers are compared with the
probabilities of that model.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from models.arrays import FloatArray, IntArray
from models.links import LINKS
from training.baselines import logistic_probability
from training.data import Dataset
from training.fit import Check
from training.pipeline import fit_rows
from training.progress import Watch
from training.recipes import Recipe

SIMULATIONS = 20
CALIBRATED_AT = 0.9
"""The level at which `inflation` makes the coverage exact."""


@dataclass(frozen=True)
class Simulation:
    """The answers, for every application of the data set, of a recipe trained on one simulated data set.

    truth, value, spread : (n_rows,), the true probability, the answer, and the standard deviation over
        the members on the logit's scale.
    """

    truth: FloatArray
    value: FloatArray
    spread: FloatArray

    def distance(self) -> FloatArray:
        """How far the truth lies from the answer on the logit's scale, in spreads: (n_rows,)."""
        to_link = LINKS["logit"].to_link
        distance: FloatArray = np.abs(to_link(self.truth) - to_link(self.value)) / self.spread
        return distance


def simulations(  # noqa: PLR0913  # recipe, data, which rows, randomness, how often, who watches
    recipe: Recipe,
    dataset: Dataset,
    rows: IntArray,
    rng: np.random.Generator,
    count: int,
    on_check: Callable[[Check], None] | None = None,
) -> Iterator[Simulation]:
    """Fit a bootstrapped recipe to `count` simulated data sets of as many applications as `rows`.

    rows : (n_rows,), the numbers of those that are drawn from.
    on_check : is called after every fit, with its number as the epoch.
    """
    truth = logistic_probability(dataset, rows, rows)
    to_link = LINKS["logit"].to_link
    for number in range(1, count + 1):
        simulated = draw(dataset, rows, truth, rng)
        regressor = fit_rows(recipe, simulated, np.arange(len(rows)), None, rng)
        if on_check is not None:
            on_check(replace(regressor.fitted.history[-1], epoch=number))
        inputs = regressor.encoder.encode(dataset.task.derive(dataset.take(rows)))
        members = regressor.head.member_values(inputs)
        yield Simulation(truth, members.mean(axis=0), to_link(members).std(axis=0))


def draw(dataset: Dataset, rows: IntArray, truth: FloatArray, rng: np.random.Generator) -> Dataset:
    """As many applications as `rows`, drawn from them, with outcomes drawn from `truth`, (n_rows,)."""
    chosen = rng.integers(len(rows), size=len(rows))
    outcome = (rng.random(len(rows)) < truth[chosen]).astype(np.float64)
    (name,) = dataset.targets
    return replace(dataset, columns=dataset.take(rows[chosen]), targets={name: outcome})


def inflation(  # noqa: PLR0913  # as `simulations`
    recipe: Recipe,
    dataset: Dataset,
    rows: IntArray,
    rng: np.random.Generator,
    watch: Watch,
    count: int = SIMULATIONS,
) -> float:
    """The factor of the ensemble's spread that makes 90 % intervals hold 90 % of the true probabilities."""
    with watch.stage("interval, on simulated rows", count) as on_check:
        made = simulations(recipe, dataset, rows, rng, count, on_check)
        distances = np.concatenate([simulation.distance() for simulation in made])
    deviations = NormalDist().inv_cdf(0.5 + CALIBRATED_AT / 2.0)
    return float(np.quantile(distances, CALIBRATED_AT)) / deviations
