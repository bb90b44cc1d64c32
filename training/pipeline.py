"""From a recipe and a data set to a model: encode, fit, calibrate.

    dataset -> task.derive -> fit_encoder (training rows) -> encode -> fit -> Head -> calibrate -> Model
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.arrays import FloatArray, IntArray
from models.features import Encoder, Inputs, fit_encoder
from models.links import LINKS
from models.model import Head
from models.tasks import TASKS
from training.data import Dataset
from training.fit import Check, Fitted, Rows, fit
from training.parameters import Architecture, initial
from training.recipes import Recipe


@dataclass(frozen=True)
class Regressor:
    """Networks fitted to some rows, before their intervals are calibrated.

    fitted : the network with the history of its losses.
    """

    encoder: Encoder
    head: Head
    fitted: Fitted


@dataclass(frozen=True)
class Targets:
    """What the networks are fitted to, on the scale of their outputs.

    values : (n_members, n_rows, n_targets); mean, scale : (n_members, 1, n_targets).
    """

    values: FloatArray
    mean: FloatArray
    scale: FloatArray


def linked_targets(recipe: Recipe, dataset: Dataset, rows: IntArray) -> Targets:
    """The targets of every row, standardised by those of the training rows `rows`."""
    raw = np.stack([dataset.targets[name] for name in recipe.targets], axis=-1)
    values = np.stack([LINKS[link].to_link(raw) for link in recipe.links])
    shape = (len(recipe.links), 1, len(recipe.targets))
    mean, scale = np.zeros(shape), np.ones(shape)
    if recipe.standardise_target:
        mean = values[:, rows].mean(axis=1, keepdims=True)
        scale = values[:, rows].std(axis=1, keepdims=True)
    return Targets(((values - mean) / scale).astype(np.float32), mean, scale)


def fit_rows(  # noqa: PLR0913  # recipe, data, which rows, randomness, and who watches
    recipe: Recipe,
    dataset: Dataset,
    train: IntArray,
    validation: IntArray | None,
    rng: np.random.Generator,
    on_check: Callable[[Check], None] | None = None,
) -> Regressor:
    """Fit the recipe's networks to the rows `train`, judged on the rows `validation`."""
    task = TASKS[recipe.task]
    variables = task.derive(dataset.columns)
    encoder = fit_encoder(task.variables, recipe.columns, variables[train])
    inputs = encoder.encode(variables)
    targets = linked_targets(recipe, dataset, train)
    sizes = (encoder.n_inputs, *recipe.hidden, len(recipe.targets))
    architecture = Architecture(
        sizes, recipe.activation, recipe.output_activation, len(recipe.links), recipe.skip
    )
    fan_in = len(encoder.numbers) + len(encoder.categories)
    fitted = fit(
        initial(architecture, rng, fan_in=fan_in),
        _rows(inputs.with_dense(encoder.n_inputs), targets, train),
        None if validation is None else _rows(inputs, targets, validation),
        recipe.fit,
        rng,
        on_check,
    )
    head = Head(fitted.network, recipe.links, targets.mean, targets.scale)
    return Regressor(encoder, head, fitted)


def _rows(inputs: Inputs, targets: Targets, rows: IntArray) -> Rows:
    return Rows(inputs.take(rows), targets.values.take(rows, axis=1))
