"""All weights of a network in one flat vector, with views of it as layers.

So an optimiser updates all weights with a few calls on one array, however many layers there are. The
gradient has the same layout. This module also draws the initial weights.
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

    sizes : the numbers of inputs, of units in each hidden layer (there may be none), and of outputs.
    hidden, output : names of activations.
    members : networks of this shape that are trained side by side. skip : whether there is a linear skip.
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
    network : its weights, biases and skip are views of `flat`, so an update of `flat` changes the network.
    """

    flat: FloatArray
    network: Network


def zeros(architecture: Architecture, dtype: type[np.floating[Any]] = np.float32) -> Parameters:
    """Parameters of the given shape, all 0; also used for the gradient."""
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
    """A view of a network of one member without the members' axis, as plain matrices.

    Forward and backward pass only use the last two axes, and are faster on matrices, see
    `models.network.product`.
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

    A weight is normal with standard deviation gain / sqrt(n_in), with the gain of the layer's activation
    (LeCun 1998, He et al. 2015).

    fan_in : n_in of the first layer, where one-hot columns make fewer inputs non-zero than there are.
    input_gain : multiplies the first layer's weights.
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
