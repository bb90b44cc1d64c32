"""All weights of a network in one flat vector, with views of it as layers.

An optimiser then updates every weight by a handful of calls on one array, however many layers there
are; the gradient has the same layout. This module also draws the initial weights.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from models.activations import ACTIVATIONS
from models.arrays import FloatArray
from models.network import Layer, Network


@dataclass(frozen=True)
class Architecture:
    """The shape of a network.

    sizes : inputs, units of each hidden layer, outputs; any number of hidden layers, none included.
    hidden, output : names of activations.
    """

    sizes: tuple[int, ...]
    hidden: str = "silu"
    output: str = "identity"
    members: int = 1
    skip: bool = False


@dataclass(frozen=True)
class Parameters:
    """A flat vector and the network whose arrays are views of it.

    flat : (n_parameters,)
    network : its weights, biases and skip are views: a change of `flat` changes the network.
    """

    flat: FloatArray
    network: Network


def zeros(architecture: Architecture, dtype: type[np.floating[Any]] = np.float32) -> Parameters:
    """Parameters of the given shape, all 0: also the layout of a gradient."""
    members, sizes = architecture.members, architecture.sizes
    shapes = [shape for a, b in pairwise(sizes) for shape in ((members, a, b), (members, 1, b))]
    if architecture.skip:
        shapes.append((members, sizes[0], sizes[-1]))
    flat = np.zeros(sum(math.prod(shape) for shape in shapes), dtype)
    views, start = [], 0
    for shape in shapes:
        end = start + math.prod(shape)
        views.append(flat[start:end].reshape(shape))
        start = end
    n_layers = len(sizes) - 1
    names = [architecture.hidden] * (n_layers - 1) + [architecture.output]
    layers = tuple(Layer(views[2 * i], views[2 * i + 1], names[i]) for i in range(n_layers))
    return Parameters(flat, Network(layers, views[-1] if architecture.skip else None))


def plain(network: Network) -> Network:
    """A network of one member as plain matrices: the same memory without the members' axis.

    The passes forward and back are written for the last two axes, and what they call is called
    faster with matrices, see `models.network.product`.
    """
    layers = tuple(Layer(la.weights[0], la.biases[0], la.activation) for la in network.layers)
    return Network(layers, None if network.skip is None else network.skip[0])


def initial(
    architecture: Architecture,
    rng: np.random.Generator,
    dtype: type[np.floating[Any]] = np.float32,
    fan_in: int | None = None,
    input_gain: float = 1.0,
) -> Parameters:
    """Random weights, zero biases, zero skip.

    A weight is normal with standard deviation gain / sqrt(fan_in), the gain being that of the layer's
    activation (LeCun 1998, He et al. 2015). `fan_in` is the number of inputs of the first layer that
    are not 0 in a row, where that differs from its size because of one-hot columns; `input_gain`
    multiplies the first layer's weights.
    """
    parameters = zeros(architecture, dtype)
    for i, layer in enumerate(parameters.network.layers):
        n_in = fan_in if i == 0 and fan_in else layer.weights.shape[1]
        gain = ACTIVATIONS[layer.activation].gain * (input_gain if i == 0 else 1.0)
        deviation = gain / np.sqrt(n_in)
        layer.weights[...] = rng.normal(0.0, deviation, layer.weights.shape)
    return parameters


def architecture_of(network: Network) -> Architecture:
    """The shape of a network."""
    sizes = (network.n_inputs, *(layer.weights.shape[2] for layer in network.layers))
    return Architecture(
        sizes,
        hidden=network.layers[0].activation,
        output=network.layers[-1].activation,
        members=network.n_members,
        skip=network.skip is not None,
    )


def frozen(network: Network) -> Network:
    """A copy of a network whose arrays are its own and cannot be written to."""

    def own(array: FloatArray) -> FloatArray:
        copy = array.copy()
        copy.setflags(write=False)
        return copy

    layers = tuple(Layer(own(la.weights), own(la.biases), la.activation) for la in network.layers)
    return Network(layers, None if network.skip is None else own(network.skip))
