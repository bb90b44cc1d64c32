"""Small networks and inputs for the tests of the network code."""

from typing import Any

import numpy as np

from models.arrays import FloatArray
from models.features import Inputs
from training.fit import Rows
from training.parameters import Architecture, Parameters, initial

N_NUMBERS = 3
CODE_SIZES = (2, 4)
N_INPUTS = N_NUMBERS + sum(CODE_SIZES)


def some_inputs(
    n_rows: int, rng: np.random.Generator, dtype: type[np.floating[Any]] = np.float64
) -> Inputs:
    """Rows of three numbers and two categories, with `dense`."""
    numbers = rng.normal(size=(n_rows, N_NUMBERS)).astype(dtype)
    offsets = N_NUMBERS + np.cumsum((0, *CODE_SIZES[:-1]))
    codes = np.column_stack([rng.integers(size, size=n_rows) for size in CODE_SIZES]) + offsets
    return Inputs(numbers, codes).with_dense(N_INPUTS)


def some_parameters(
    rng: np.random.Generator,
    hidden: tuple[int, ...] = (5, 4),
    activation: str = "tanh",
    outputs: int = 2,
    members: int = 1,
    *,
    skip: bool = False,
    dtype: type[np.floating[Any]] = np.float64,
) -> Parameters:
    """A network over `some_inputs` with no parameter at 0, biases and skip included."""
    sizes = (N_INPUTS, *hidden, outputs)
    architecture = Architecture(sizes, hidden=activation, members=members, skip=skip)
    parameters = initial(architecture, rng, dtype)
    flat = parameters.flat
    flat += 0.1 * rng.normal(size=flat.shape)
    return parameters


def some_target(loss: str, n_rows: int, rng: np.random.Generator, outputs: int = 2) -> FloatArray:
    """Targets that suit a loss: 0 or 1 for cross_entropy, counts for poisson, else any number."""
    if loss == "cross_entropy":
        return rng.integers(2, size=(n_rows, outputs)).astype(np.float64)
    if loss == "poisson":
        return rng.poisson(2.0, size=(n_rows, outputs)).astype(np.float64)
    return rng.normal(size=(n_rows, outputs))


def some_rows(n_rows: int, seed: int, dtype: type[np.floating[Any]] = np.float64) -> Rows:
    """Rows of a function that a small network can learn, with a little noise."""
    rng = np.random.default_rng(seed)
    inputs = some_inputs(n_rows, rng, dtype)
    x = inputs.numbers
    target = np.column_stack([np.sin(x[:, 0]) + x[:, 1], x[:, 2] * x[:, 0]])
    return Rows(inputs, (target + 0.05 * rng.normal(size=target.shape)).astype(dtype))
