"""From a recipe and a data set to a model: encode, fit, calibrate.

dataset -> task.derive -> fit_encoder (training rows) -> encode -> fit -> (kriging ->) Head -> calibrate
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from models.arrays import FloatArray, IntArray
from models.errors import TrainingError
from models.features import Encoder, Inputs, Number, fit_encoder
from models.links import LINKS
from models.model import Head
from models.network import forward
from training.catalogue import unknown
from training.data import Dataset
from training.fit import Check, Fitted, Rows, fit
from training.kriging import with_left_over
from training.parameters import Architecture, Parameters, initial
from training.prior import Penalty, anchored
from training.recipes import Recipe


@dataclass(frozen=True)
class Regressor:
    """Networks fitted to some rows, before their intervals are calibrated.

    encoder : of `head`; with kriging it has one more category than the recipe, the hours.
    fitted : the network as it was fitted, with the history of its losses.
    """

    encoder: Encoder
    head: Head
    fitted: Fitted


@dataclass(frozen=True)
class Targets:
    """The targets on the scale of the networks' outputs.

    values : (n_members, n_rows, n_targets); mean, scale : (n_members, 1, n_targets).
    """

    values: FloatArray
    mean: FloatArray
    scale: FloatArray


def linked_targets(recipe: Recipe, dataset: Dataset, rows: IntArray) -> Targets:
    """The targets of every row, standardised by those of the training rows `rows`.

    Raises TrainingError for a target that is the same in all of them, or somewhere outside of a link.
    """
    raw = np.stack([dataset.targets[name] for name in recipe.targets], axis=-1)
    shape = (len(recipe.links), 1, len(recipe.targets))
    if not recipe.standardise_target:
        values = np.broadcast_to(raw, (len(recipe.links), *raw.shape))
        return Targets(values.astype(np.float32), np.zeros(shape), np.ones(shape))
    # rounding can make the standard deviation of equal numbers a little more than 0
    constant = np.ptp(raw[rows], axis=0) == 0.0
    if constant.any():
        name = recipe.targets[int(np.argmax(constant))]
        raise TrainingError(f"{dataset.source}: {name} is the same in every row to learn from")
    for link in recipe.links:
        require_positive("links", link, float(raw.min()))
    values = np.stack([LINKS[link].to_link(raw) for link in recipe.links])
    mean = values[:, rows].mean(axis=1, keepdims=True)
    scale = values[:, rows].std(axis=1, keepdims=True)
    return Targets(((values - mean) / scale).astype(np.float32), mean, scale)


def require_positive(setting: str, link: str, lowest: float) -> None:
    """Raise TrainingError for a link, the value of `setting`, that does not reach down to `lowest`."""
    if lowest < 0.0 and not LINKS[link].holds(lowest, lowest):
        words = f"{link} takes no number below 0, and there may be some"
        raise TrainingError(f"{setting}: {words}; identity takes every number")


def fit_rows(  # noqa: PLR0913  # recipe, data, which rows, randomness, and who watches
    recipe: Recipe,
    dataset: Dataset,
    train: IntArray,
    validation: IntArray | None,
    rng: np.random.Generator,
    on_check: Callable[[Check], None] | None = None,
) -> Regressor:
    """Fit the recipe's networks to the rows `train`, with early stopping by the rows `validation`.

    Raises TrainingError for a constant target, a name in the recipe that the task does not have, a category
    of the wrong size, or hours that the recipe's kriging cannot tell apart, DivergedError if the losses do
    not stay finite.
    """
    task = dataset.task
    _check_names(recipe, dataset)
    variables = task.derive(dataset.columns)
    _check_variables(recipe, dataset, variables)
    encoder = fit_encoder(task.variables, recipe.columns, variables[train])
    _check_hours(recipe, encoder, dataset, variables)
    inputs = encoder.encode(variables)
    targets = linked_targets(recipe, dataset, train)
    learned = _rows(inputs.with_dense(encoder.n_inputs), targets, train)
    if recipe.bootstrap:
        learned = replace(learned, weights=bootstrap_weights(len(recipe.links), len(train), rng))
    parameters, penalty = _start(recipe, encoder, learned, rng)
    judged = None if validation is None else _rows(inputs, targets, validation)
    fitted = fit(parameters, learned, judged, recipe.fit, rng, on_check, penalty)
    whole, network = encoder, fitted.network
    if recipe.kriging is not None:
        residual = learned.target - forward(network, learned.inputs)
        whole, network = with_left_over(
            recipe.kriging, encoder, network, variables[train], residual
        )
    head = Head(network, recipe.links, targets.mean, targets.scale, recipe.crossover)
    return Regressor(whole, head, fitted)


def _check_names(recipe: Recipe, dataset: Dataset) -> None:
    read: list[str] = []
    for column in recipe.columns:
        read += [column.variable] if isinstance(column, Number) else column.variables
    for kind, names, known in (
        ("variable", read, dataset.task.variables),
        ("target", recipe.targets, tuple(dataset.targets)),
    ):
        for name in names:
            if name not in known:
                raise TrainingError(f"recipe {recipe.name}: {unknown(kind, name, list(known))}")


def _check_variables(recipe: Recipe, dataset: Dataset, variables: FloatArray) -> None:
    """Every variable has a value in every row, and one that is within the size of each category.

    One beyond it would pick a weight of the next category, and a NaN makes a NaN of every code of its row.
    """
    finite = np.isfinite(variables).all(axis=0)
    if not finite.all():
        name = dataset.task.variables[int(np.argmin(finite))]
        raise TrainingError(
            f"{dataset.source}: the variable {name} of {dataset.task.name} is no number in some row; its "
            "task's derive must fill what is not given"
        )
    for column in recipe.columns:
        if isinstance(column, Number):
            continue
        for name, size in zip(column.variables, column.sizes, strict=True):
            values = variables[:, dataset.task.variables.index(name)]
            wrong = ~((values >= 0.0) & (values < size) & (values == np.floor(values)))
            if wrong.any():
                raise TrainingError(
                    f"recipe {recipe.name}: as a category of size {size} {name} must be a whole number "
                    f"from 0 to {size - 1}, and {dataset.source} has {values[wrong][0]:g}"
                )


def _check_hours(recipe: Recipe, encoder: Encoder, dataset: Dataset, variables: FloatArray) -> None:
    """Days that the recipe does not know count as the nearest: their hours would overwrite each other."""
    if recipe.kriging is None:
        return
    codes = recipe.kriging.codes(recipe.kriging.extended(encoder), variables)
    if len(np.unique(codes)) < len(codes):
        days = recipe.kriging.over.sizes[0]
        raise TrainingError(
            f"recipe {recipe.name}: it has a level for each hour of {days} days, and {dataset.source} has "
            "rows of other days; choose another recipe"
        )


def bootstrap_weights(n_members: int, n_rows: int, rng: np.random.Generator) -> FloatArray:
    """The weight of each row for each member, (n_members, n_rows, 1), exponential with mean 1."""
    return rng.exponential(size=(n_members, n_rows, 1)).astype(np.float32)


def _start(
    recipe: Recipe, encoder: Encoder, learned: Rows, rng: np.random.Generator
) -> tuple[Parameters, Penalty | None]:
    architecture = Architecture(
        (encoder.n_inputs, *recipe.hidden, len(recipe.targets)),
        recipe.activation,
        recipe.output_activation,
        len(recipe.links),
        recipe.skip,
    )
    penalty: Penalty | None = None
    if recipe.prior is None:
        parameters = initial(architecture, rng, fan_in=encoder.fan_in, input_gain=recipe.input_gain)
    else:
        n_rows = len(learned.inputs)
        parameters, penalty = anchored(
            architecture, recipe.prior, n_rows, rng, signs=recipe.fit.signs
        )
    if recipe.fit.loss == "cross_entropy":  # start at the base rate, not at even odds
        weights = np.ones(1) if learned.weights is None else learned.weights
        rate = (learned.target * weights).mean(axis=1) / np.broadcast_to(
            weights, learned.target.shape
        ).mean(axis=1)
        parameters.network.layers[-1].biases[:, 0] = LINKS["logit"].to_link(rate)
    return parameters, penalty


def _rows(inputs: Inputs, targets: Targets, rows: IntArray) -> Rows:
    return Rows(inputs.take(rows), targets.values.take(rows, axis=1))


def answers(regressor: Regressor, dataset: Dataset, rows: IntArray) -> FloatArray:
    """The networks' answers for some rows, clipped to the task's bounds: (n_rows,)."""
    task = dataset.task
    inputs = regressor.encoder.encode(task.derive(dataset.take(rows)))
    value = regressor.head.value_of(regressor.head.member_values(inputs))
    return np.clip(value, *task.bounds, out=value)
