"""The networks' outputs for a few rows, in a fraction of the time that `models.network.forward` takes.

For a few rows the arithmetic of these networks is nothing; what costs is every call into NumPy, a third
to half a microsecond each, and several times that where the processor has done something else meanwhile.
So the same steps are taken here with as few calls as possible, for all rows together:

- The first layers of all networks stand side by side, then what is added to their last layers: one
  product serves them all, and one activation.
- The first layer is linear. What it makes of the fields whose values come again and again (the hour, the
  weather's code) is one vector for each combination of them, and is remembered. Left are the fields that
  take any value (temperature, humidity): a few numbers, clipped in Python, and one small product with
  the standardisation worked into its weights.
- Networks of one member go on side by side, too (`_Joined`): a product a layer for all of them, the biases
  in it, and what a network that ends earlier has found is handed through. Networks of many members go on
  each for itself (`_Ensemble`): side by side, most of the matrix would be zeros.
- SiLU is h + h tanh(h) with h = z / 2: the half is worked into the weights before it.

Each row is multiplied for itself (`times`): it is answered with the same bits whatever stands beside it.

In float32 as there; a test holds both equal up to its rounding.
"""

import math
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
from models.network import Layer, Network, affine_inputs, side_by_side
from models.task import Task

MOST_REMEMBERED = 1024
"""Combinations of recurring values; for the networks of this project about 2 kB each."""

Outputs = FloatArray | list[list[float]]
"""Of one network, member by member: (n_rows, n_members * n_outputs)."""


def listed(outputs: Outputs) -> list[list[float]]:
    """The outputs as numbers of Python's."""
    return outputs if isinstance(outputs, list) else outputs.tolist()


Steps = list[tuple[slice, Callable[[FloatArray], object]]]
"""Which columns a function is applied to, in place."""


class Few:
    """Passes of a few rows through networks that read the same inputs."""

    def __init__(self, task: Task, encoder: Encoder, networks: Sequence[Network]) -> None:
        self._split = task.split
        weights, biases, self._steps, self._ways, self._order = _entrance(networks)
        varying = [(j, n) for j, n in enumerate(encoder.numbers) if n.variable in task.varying]
        columns = [j for j, _ in varying]
        self._clips = [
            (task.varying.index(number.variable), float(encoder.low[j]), float(encoder.high[j]))
            for j, number in varying
        ]
        scaled = weights[columns] / encoder.scale[columns, np.newaxis]
        self._product = scaled.astype(weights.dtype)
        biases = (biases - encoder.mean[columns] @ scaled).astype(weights.dtype)
        recurring = _Recurring(task, encoder, weights[np.newaxis], biases, columns)
        self._remembered = lru_cache(MOST_REMEMBERED)(recurring)

    def __call__(self, rows: Sequence[Row]) -> list[Outputs]:
        """The outputs of each network."""
        split = [self._split(row) for row in rows]
        numbers = [
            [  # conditions: a call of min or max costs three times as much
                low if (v := values[i]) < low else (high if v > high else v)  # noqa: FURB136
                for i, low, high in self._clips
            ]
            for _, values in split
        ]
        z = times(np.array(numbers, self._product.dtype), self._product)
        recurring = [self._remembered(key) for key, _ in split]
        z += recurring if len(recurring) > 1 else recurring[0]  # a list is made an array first
        for columns, function in self._steps:
            function(z[:, columns])
        found = [outputs for way in self._ways for outputs in way(z)]
        return [found[i] for i in self._order]


def times(rows: FloatArray, weights: FloatArray) -> FloatArray:
    """rows @ weights, each row for itself; a product of all rows at once would add up in another order.

    rows : (n_rows, n); weights : (n, n_columns) or (n,).
    """
    if len(rows) == 1:  # the same routine of BLAS, and half the way to it
        product: FloatArray = rows.dot(weights)
    else:
        product = np.matmul(rows[:, np.newaxis], weights)[:, 0]
    return product


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


class _Joined:
    """What comes after the entrance for networks of one member each, all at once.

    Between two layers there is one vector: the units of all networks that go on, activated; a column
    for each output of every network, which holds what its last layer is to be added to and later the
    output itself; a one, for the biases.
    """

    def __init__(self, networks: Sequence[Network], columns: slice) -> None:
        self._columns = columns
        depth = max(len(network.layers) for network in networks)
        self._layers = [_joint(networks, k) for k in range(1, depth)]
        sizes = [network.n_outputs for network in networks]
        ends = np.cumsum([0, *sizes]).tolist()
        self._outputs = [
            (slice(*pair), _of_number(network.layers[-1].activation))
            for pair, network in zip(pairwise(ends), networks, strict=True)
        ]

    def __call__(self, z: FloatArray) -> list[Outputs]:
        """The outputs of each network, from the entrance with its first layers activated."""
        v = z[:, self._columns]
        for weights, steps in self._layers:
            v = times(v, weights)
            for columns, function in steps:
                function(v[:, columns])
        rows = v.tolist()
        return [
            [
                row[of_one] if function is None else [function(n) for n in row[of_one]]
                for row in rows
            ]
            for of_one, function in self._outputs
        ]


def _joint(networks: Sequence[Network], k: int) -> tuple[FloatArray, Steps]:
    """Layer `k` of all networks as one matrix, and what is applied to what it gives."""
    n_outputs = sum(network.n_outputs for network in networks)
    going_on = [network for network in networks if len(network.layers) > k + 1]
    n_units = sum(network.layers[k].biases.size for network in going_on)
    n_before = sum(n.layers[k].weights.shape[1] for n in networks if len(n.layers) > k)
    joint = np.zeros((n_before + n_outputs + 1, n_units + n_outputs + 1), np.float32)
    handed_on = np.arange(n_outputs + 1)
    joint[n_before + handed_on, n_units + handed_on] = 1.0
    top, left, out = 0, 0, n_units
    for network in networks:
        if len(network.layers) > k:
            n_in = network.layers[k].weights.shape[1]
            if len(network.layers) > k + 1:
                weights, biases = _hidden(network.layers[k])
                right = left + weights.shape[2]
                joint[top : top + n_in, left:right] = weights[0]
                joint[-1, left:right] = biases[0, 0]
                left = right
            else:  # its last biases are in its output's column from the entrance on
                joint[top : top + n_in, out : out + network.n_outputs] = network.layers[k].weights[
                    0
                ]
            top += n_in
        out += network.n_outputs
    if not going_on:
        joint = joint[:, :n_outputs]  # nothing comes after it that would need the one
    return np.ascontiguousarray(joint), _steps(going_on, k)


class _Ensemble:
    """What comes after the entrance for one network of several members."""

    def __init__(self, network: Network, first: slice, last: slice) -> None:
        layers = network.layers
        self._first, self._last = first, last
        self._shape = (network.n_members, 1, layers[0].weights.shape[2])
        self._hidden = [(*_hidden(layer), _in_place(layer)) for layer in layers[1:-1]]
        self._output = layers[-1].weights if len(layers) > 1 else None
        self._activation = _in_place(layers[-1])

    def __call__(self, z: FloatArray) -> list[Outputs]:
        """The outputs, in a list of one, from the entrance with its first layers activated."""
        out = z[:, self._last]
        if self._output is not None:
            a = z[:, self._first].reshape(len(z), *self._shape)
            for weights, biases, function in self._hidden:
                a = np.matmul(a, weights)
                a += biases
                if function is not None:
                    function(a)
            out += np.matmul(a, self._output).reshape(out.shape)
        if self._activation is not None:
            self._activation(out)
        return [out]


def _hidden(layer: Layer) -> tuple[FloatArray, FloatArray]:
    """Weights and biases of a hidden layer as `_in_place` wants them: for SiLU the half of them."""
    factor = np.float32(0.5 if layer.activation == "silu" else 1.0)
    return factor * layer.weights, factor * layer.biases


def _in_place(layer: Layer) -> Callable[[FloatArray], object] | None:
    """The activation of a hidden layer as a function that writes over its argument; None for none."""
    if layer.activation == "silu":
        return _silu_of_half
    if layer.activation == "identity":
        return None
    function = ACTIVATIONS[layer.activation].function
    return lambda z: function(z, z)


def _silu_of_half(h: FloatArray) -> None:
    t = np.tanh(h)
    t *= h
    h += t


def _of_number(activation: str) -> Callable[[float], float] | None:
    """The activation of an output for a single number; None for the identity."""
    match activation:
        case "identity":
            return None
        case "tanh":
            return math.tanh
    function = ACTIVATIONS[activation].function
    return lambda z: function(np.array([z]), None).item()


def _steps(networks: Sequence[Network], k: int) -> Steps:
    """The activations of layer `k` of networks whose units stand side by side."""
    steps, start = [], 0
    for _, run in groupby(networks, lambda network: network.layers[k].activation):
        alike = list(run)
        stop = start + sum(network.layers[k].biases.size for network in alike)
        function = _in_place(alike[0].layers[k])
        if function is not None:
            steps.append((slice(start, stop), function))
        start = stop
    return steps


def _entrance(
    networks: Sequence[Network],
) -> tuple[FloatArray, FloatArray, Steps, list[_Ensemble | _Joined], list[int]]:
    """All first layers side by side, then what is added to the last layers.

    The columns: the units of ensembles, those of networks of one member, what is added to the last layers
    of these, a one, what is added to the last layers of the ensembles.

    Its weights (n_inputs, n_columns) and biases (n_columns,), the activations of the units, the ways on
    from there, and where in what they find the outputs of each of the networks stand.
    """
    order = sorted(range(len(networks)), key=lambda i: networks[i].n_members == 1)
    ensembles = [networks[i] for i in order if networks[i].n_members > 1]
    alone = [networks[i] for i in order if networks[i].n_members == 1]
    deep = [n for n in (*ensembles, *alone) if len(n.layers) > 1]
    one = (np.zeros((1, networks[0].n_inputs, 1), np.float32), np.ones(1, np.float32))
    blocks = [
        *(_hidden(network.layers[0]) for network in deep),
        *((network.straight, network.layers[-1].biases) for network in alone),
        one,
        *((network.straight, network.layers[-1].biases) for network in ensembles),
    ]
    widths = [biases.size for _, biases in blocks]
    ends = np.cumsum([0, *widths]).tolist()
    slices = [slice(*pair) for pair in pairwise(ends)]
    n_deep = sum(len(network.layers) > 1 for network in ensembles)
    firsts = iter(slices[:n_deep])
    ways: list[_Ensemble | _Joined] = [
        _Ensemble(network, next(firsts) if len(network.layers) > 1 else slice(0), last)
        for network, last in zip(ensembles, slices[len(deep) + len(alone) + 1 :], strict=True)
    ]
    if alone:
        ways.append(_Joined(alone, slice(ends[n_deep], ends[len(deep) + len(alone) + 1])))
    weights = np.concatenate([side_by_side(weights) for weights, _ in blocks], axis=1)
    biases = np.concatenate([biases.ravel() for _, biases in blocks])
    return weights, biases, _steps(deep, 0), ways, [order.index(i) for i in range(len(networks))]
