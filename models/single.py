"""The networks' outputs for one row, in a fraction of the time that `models.network.forward` takes.

For a single row the arithmetic of these networks is nothing; what costs is every call into NumPy, about
half a microsecond each. So the same steps are taken here with as few calls as possible:

- The first layers of all networks stand side by side, then what is added to their last layers: one
  product serves them all, and one activation.
- The first layer is linear. What it makes of the fields whose values come again and again (the hour, the
  weather's code) is one vector for each combination of them, and is remembered. Left are the fields that
  take any value (temperature, humidity): a few numbers, clipped in Python, and one small product with
  the standardisation worked into its weights.

In float32 as there; a test holds both equal up to its rounding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from models import rows
from models.activations import ACTIVATIONS
from models.arrays import FloatArray, Row
from models.features import Encoder, Inputs
from models.network import Layer, Network, affine_inputs
from models.task import Task

MOST_REMEMBERED = 1024
"""Combinations of recurring values; for the networks of this project about 2 kB each."""

Activation = Callable[[FloatArray, FloatArray | None], FloatArray]


class Single:
    """Passes of one row at a time through networks that read the same inputs."""

    def __init__(self, task: Task, encoder: Encoder, networks: Sequence[Network]) -> None:
        self._split = task.split
        entrance, self._activations, self._ways = _side_by_side(networks)
        varying = [(j, n) for j, n in enumerate(encoder.numbers) if n.variable in task.varying]
        columns = [j for j, _ in varying]
        self._clips = [
            (task.varying.index(number.variable), float(encoder.low[j]), float(encoder.high[j]))
            for j, number in varying
        ]
        weights = entrance.weights[0]
        scaled = weights[columns] / encoder.scale[columns, np.newaxis]
        self._product = scaled.astype(weights.dtype)
        biases = (entrance.biases[0, 0] - encoder.mean[columns] @ scaled).astype(weights.dtype)
        recurring = _Recurring(task, encoder, entrance.weights, biases, columns)
        self._remembered = lru_cache(MOST_REMEMBERED)(recurring)

    def __call__(self, row: Row) -> list[FloatArray]:
        """The outputs of each network, member by member: (n_members * n_outputs,)."""
        key, values = self._split(row)
        numbers = [  # conditions: a call of min or max costs three times as much
            low if (v := values[i]) < low else (high if v > high else v)  # noqa: FURB136
            for i, low, high in self._clips
        ]
        z = np.dot(np.array(numbers, self._product.dtype), self._product)
        z += self._remembered(key)
        for columns, function in self._activations:
            part = z[columns]
            function(part, part)
        return [way(z) for way in self._ways]


@dataclass(frozen=True)
class _Recurring:
    """What the recurring fields and the biases give at the entrance, the varying numbers at 0.

    weights : (1, n_inputs, n_columns) of the entrance; biases : (n_columns,).
    varying : which of the encoder's numbers come from the varying variables.
    """

    task: Task
    encoder: Encoder
    weights: FloatArray
    biases: FloatArray
    varying: list[int]

    def __call__(self, key: tuple[Any, ...]) -> FloatArray:
        """The sum for these values of the recurring fields: (n_columns,)."""
        examples = {field.name: field.example for field in self.task.fields}
        row = examples | dict(zip(self.task.recurring, key, strict=True))
        inputs = self.encoder.encode(self.task.derive(rows.columns_of([row], self.task)))
        numbers = inputs.numbers.copy()
        numbers[:, self.varying] = 0.0
        z: FloatArray = affine_inputs(self.weights, Inputs(numbers, inputs.codes))[0, 0]
        z += self.biases
        return z


class _Way:
    """What comes after the entrance, for one network; a single member's are plain matrices."""

    def __init__(self, network: Network, first: slice, last: slice) -> None:
        layers, members = network.layers, network.n_members
        self._first, self._last = first, last
        width = layers[0].weights.shape[2]
        self._shape = (1, width) if members == 1 else (members, 1, width)
        self._times = np.dot if members == 1 else np.matmul
        self._hidden = [
            (_alone(layer.weights), _alone(layer.biases), _function(layer))
            for layer in layers[1:-1]
        ]
        self._output = _alone(layers[-1].weights) if len(layers) > 1 else None
        self._activation = None if layers[-1].activation == "identity" else _function(layers[-1])

    def __call__(self, z: FloatArray) -> FloatArray:
        """The outputs, (n_members * n_outputs,), from the entrance with its first layers activated."""
        out = z[self._last]
        if self._output is not None:
            a = z[self._first].reshape(self._shape)
            for weights, biases, function in self._hidden:
                a = self._times(a, weights)
                a += biases
                function(a, a)
            out += self._times(a, self._output).reshape(-1)
        if self._activation is not None:
            self._activation(out, out)
        return out


def _alone(array: FloatArray) -> FloatArray:
    """The weights or biases of a single member without the axis of members."""
    return array[0] if len(array) == 1 else array


def _function(layer: Layer) -> Activation:
    return ACTIVATIONS[layer.activation].function


def _side_by_side(
    networks: Sequence[Network],
) -> tuple[Layer, list[tuple[slice, Activation]], list[_Way]]:
    """The entrance: all first layers as one, then all that is added to the last layers.

    Beside it the columns that have an activation, and each network's way on from there.
    """
    deep = [network for network in networks if len(network.layers) > 1]
    firsts = [(n.layers[0].weights, n.layers[0].biases) for n in deep]
    lasts = [(_beside(network), network.layers[-1].biases) for network in networks]
    blocks = [(_columns(weights), biases.ravel()) for weights, biases in firsts + lasts]
    ends = np.cumsum([biases.size for _, biases in blocks]).tolist()
    slices = [slice(*pair) for pair in pairwise([0, *ends])]
    entrance = Layer(
        np.concatenate([weights for weights, _ in blocks], axis=1)[np.newaxis],
        np.concatenate([biases for _, biases in blocks])[np.newaxis, np.newaxis],
        "identity",
    )
    first_of = dict(zip(map(id, deep), slices, strict=False))
    ways = [
        _Way(network, first_of.get(id(network), slice(0, 0)), last)
        for network, last in zip(networks, slices[len(deep) :], strict=True)
    ]
    return entrance, _runs(deep, slices), ways


def _beside(network: Network) -> FloatArray:
    """The weights from the inputs straight to the last layer: (n_members, n_inputs, n_outputs)."""
    shape = (network.n_members, network.n_inputs, network.n_outputs)
    skip = np.zeros(shape, np.float32) if network.skip is None else network.skip
    return skip if len(network.layers) > 1 else skip + network.layers[0].weights


def _columns(weights: FloatArray) -> FloatArray:
    """(n_members, n_in, n_out) -> (n_in, n_members * n_out)."""
    return weights.transpose(1, 0, 2).reshape(weights.shape[1], -1)


def _runs(networks: Sequence[Network], columns: Sequence[slice]) -> list[tuple[slice, Activation]]:
    """The columns of the first layers with their activation, neighbours of one kind together."""
    kinds = zip(networks, columns, strict=False)
    runs = []
    for _, run in groupby(kinds, lambda pair: pair[0].layers[0].activation):
        members = list(run)
        covered = slice(members[0][1].start, members[-1][1].stop)
        runs.append((covered, _function(members[0][0].layers[0])))
    return runs
