"""The forward pass for a few rows, in a fraction of the time of `models.network.forward`.

For a few rows the arithmetic of these small networks costs next to nothing. The time goes into the calls
of NumPy: a third to half a microsecond each, and several times that once the processor's caches have been
used for something else. So this module computes the same with as few calls as possible:

- The *entrance*: the first layers of all networks, then the direct connections from the inputs to their
  outputs, side by side as the columns of one matrix. One product and one activation serve them all.
- What the recurring fields (hour, weather code, holiday) contribute to the entrance is one vector for each
  combination of their values, and is cached. What is left are the varying numbers (temperature, humidity):
  they are clipped in Python and take one small product, into whose weights the standardisation is folded.
- After the entrance, networks of one member continue side by side as well (`_Joined`): one product a layer
  for all of them, biases included. The outputs of a network that has fewer layers are passed through.
  Ensembles continue one by one (`_Ensemble`): side by side most of the matrix would be zeros.
- SiLU is h + h tanh(h) with h = z / 2; the half is folded into the weights before it.

Rows are multiplied one at a time (`times`), so that a row's bits do not depend on the rows beside it.

All in float32, as in `forward`; a test holds the two equal up to rounding.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np

from models import rows
from models.activations import ACTIVATIONS
from models.arrays import Columns, FloatArray, Row
from models.features import Encoder, Inputs
from models.network import Layer, Network, affine_inputs, side_by_side, spans
from models.task import Task

MOST_REMEMBERED = 1024
"""Cached combinations of recurring values, of about 2 kB each with the networks of this project."""

Outputs = FloatArray | list[list[float]]
"""The outputs of one network, member by member: (n_rows, n_members * n_outputs)."""


def listed(outputs: Outputs) -> list[list[float]]:
    """The outputs as lists of Python floats."""
    return outputs if isinstance(outputs, list) else outputs.tolist()


Steps = list[tuple[slice, Callable[[FloatArray], object]]]
"""Activations, each with the columns that it is applied to in place."""


class Few:
    """The forward pass of a few rows through networks that read the same inputs."""

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
        """The outputs of each network, in the order in which the networks were given."""
        split = [self._split(row) for row in rows]
        numbers = [
            [  # min and max would cost three times as much
                low if (v := values[i]) < low else (high if v > high else v)  # noqa: FURB136
                for i, low, high in self._clips
            ]
            for _, values in split
        ]
        z = times(np.array(numbers, self._product.dtype), self._product)
        recurring = [self._remembered(key) for key, _ in split]
        # adding a list would copy it into an array first
        z += recurring if len(recurring) > 1 else recurring[0]
        for columns, function in self._steps:
            function(z[:, columns])
        found = [outputs for way in self._ways for outputs in way(z)]
        return [found[i] for i in self._order]


def times(rows: FloatArray, weights: FloatArray) -> FloatArray:
    """rows @ weights, row by row: BLAS would sum the product of several rows in another order.

    rows : (n_rows, n). weights : (n, n_columns) or (n,).
    """
    if len(rows) == 1:  # the same BLAS routine, with half the overhead
        product: FloatArray = rows.dot(weights)
    else:
        product = np.matmul(rows[:, np.newaxis], weights)[:, 0]
    return product


def fault(task: Task, columns: Columns) -> str | None:
    """Why single rows would be answered otherwise than the same rows in a batch, in words; None if not.

    They are if `split`, `recurring` and `varying` do not lead to the variables that `derive` makes.
    """
    given = [f.name for f in task.fields if f.kind == "timestamp" and f.name not in task.recurring]
    if given:
        return f"recurring must name {given[0]}, as it must every timestamp"
    unknown = [name for name in task.varying if name not in task.variables]
    if unknown:
        return f"varying names {unknown[0]}, which is no variable"
    parts = [task.split(row) for row in rows.rows_of(columns, task)]
    if {(len(key), len(numbers)) for key, numbers in parts} != {
        (len(task.recurring), len(task.varying))
    }:
        return "split must return a value for each name of recurring, and one for each of varying"
    examples = {field.name: field.example for field in task.fields}
    alike = [examples | dict(zip(task.recurring, key, strict=True)) for key, _ in parts]
    wanted, found = task.derive(columns), task.derive(rows.columns_of(alike, task)).copy()
    words = "does not follow from recurring: put the fields that it depends on there"
    for i, name in enumerate(task.variables):
        told = words
        if name in task.varying:
            found[:, i] = [numbers[task.varying.index(name)] for _, numbers in parts]
            told = "is not what split returns in its place, the order of varying"
        if not np.array_equal(found[:, i], wanted[:, i], equal_nan=True):
            return f"the variable {name} {told}"
    return None


@dataclass(frozen=True)
class _Recurring:
    """What the recurring fields and the biases contribute to the entrance.

    weights : (1, n_inputs, n_columns) of the entrance. biases : (n_columns,).
    varying : the indices of the encoder's numbers that read a varying variable; they count as 0 here.
    """

    task: Task
    encoder: Encoder
    weights: FloatArray
    biases: FloatArray
    varying: list[int]

    def __call__(self, key: tuple[Any, ...]) -> FloatArray:
        """The contribution of these values of the recurring fields: (n_columns,)."""
        examples = {field.name: field.example for field in self.task.fields}
        row = examples | dict(zip(self.task.recurring, key, strict=True))
        inputs = self.encoder.encode(self.task.derive(rows.columns_of([row], self.task)))
        numbers = inputs.numbers.copy()
        numbers[:, self.varying] = 0.0
        z: FloatArray = affine_inputs(self.weights, Inputs(numbers, inputs.codes))[0, 0]
        z += self.biases
        return z


class _Joined:
    """The layers after the entrance of networks of one member, all networks at once.

    Between two layers a row is one vector: the activations of all networks that have another layer; a
    column for each output of each network, which holds the direct connection's share until the last layer
    of that network is added, and then the output itself; and a 1 for the biases.
    """

    def __init__(self, networks: Sequence[Network], columns: slice) -> None:
        self._columns = columns
        depth = max(len(network.layers) for network in networks)
        self._layers = [_joint(networks, k) for k in range(1, depth)]
        places = spans(network.n_outputs for network in networks)
        self._outputs = [
            (place, _of_number(network.layers[-1].activation))
            for place, network in zip(places, networks, strict=True)
        ]

    def __call__(self, z: FloatArray) -> list[Outputs]:
        """The outputs of each network, from the entrance with its activations applied."""
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
    """Layer `k` of all networks as one matrix, and the activations of its result.

    A network without such a layer reads no activations, and for one whose last it is there are no units.
    """
    inputs = spans(n.layers[k].weights.shape[1] if len(n.layers) > k else 0 for n in networks)
    units = spans(n.layers[k].biases.size if len(n.layers) > k + 1 else 0 for n in networks)
    outputs = spans(network.n_outputs for network in networks)
    n_inputs, n_units, n_kept = inputs[-1].stop, units[-1].stop, outputs[-1].stop + 1
    joint = np.zeros((n_inputs + n_kept, n_units + n_kept), np.float32)
    kept = joint[:, n_units:]
    kept[n_inputs:] = np.eye(n_kept)
    for network, read, made, out in zip(networks, inputs, units, outputs, strict=True):
        if len(network.layers) > k + 1:
            weights, biases = _hidden(network.layers[k])
            joint[read, made] = weights[0]
            joint[-1, made] = biases[0, 0]
        elif len(network.layers) > k:  # the entrance has put its biases into the output's column
            kept[read, out] = network.layers[k].weights[0]
    going_on = [network for network in networks if len(network.layers) > k + 1]
    if not going_on:
        joint = joint[:, :-1]  # after the last layer nothing needs the 1
    return np.ascontiguousarray(joint), _steps(going_on, k)


class _Ensemble:
    """The layers after the entrance of one network of several members."""

    def __init__(self, network: Network, first: slice, last: slice) -> None:
        layers = network.layers
        self._first, self._last = first, last
        self._shape = (network.n_members, 1, layers[0].weights.shape[2])
        self._hidden = [(*_hidden(layer), _in_place(layer)) for layer in layers[1:-1]]
        self._output = layers[-1].weights if len(layers) > 1 else None
        self._activation = _in_place(layers[-1])

    def __call__(self, z: FloatArray) -> list[Outputs]:
        """The outputs, in a list of one, from the entrance with its activations applied."""
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
    """Weights and biases of a hidden layer as `_in_place` needs them: halved for SiLU."""
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
    """The activations of layer `k` of networks whose units are side by side."""
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
    """The entrance, see the module, and the ways on from there.

    Its columns are the first-layer units of the ensembles, those of the networks of one member, the direct
    connections of the latter, a 1, and the direct connections of the ensembles.

    Returns its weights (n_inputs, n_columns), its biases (n_columns,), the activations of the units, the
    ways on, and for each network the position of its outputs among the results of all ways.
    """
    order = sorted(range(len(networks)), key=lambda i: networks[i].n_members == 1)
    in_order = [networks[i] for i in order]
    n = sum(network.n_members > 1 for network in networks)
    ensembles, alone = in_order[:n], in_order[n:]
    one = (np.zeros((1, networks[0].n_inputs, 1), np.float32), np.ones(1, np.float32))
    blocks = [*map(_first, in_order), *map(_direct, alone), one, *map(_direct, ensembles)]
    places = spans(biases.size for _, biases in blocks)
    directs = len(blocks) - n
    ways: list[_Ensemble | _Joined]
    ways = [*map(_Ensemble, ensembles, places[:n], places[directs:])]
    if alone:
        ways.append(_Joined(alone, slice(places[n].start, places[directs - 1].stop)))
    weights = np.concatenate([side_by_side(weights) for weights, _ in blocks], axis=1)
    biases = np.concatenate([biases.ravel() for _, biases in blocks])
    deep = [network for network in in_order if len(network.layers) > 1]
    return weights, biases, _steps(deep, 0), ways, [order.index(i) for i in range(len(networks))]


def _first(network: Network) -> tuple[FloatArray, FloatArray]:
    """Weights and biases of the first hidden layer; without a column where there is none."""
    weights, biases = _hidden(network.layers[0])
    return (weights, biases) if len(network.layers) > 1 else (weights[..., :0], biases[..., :0])


def _direct(network: Network) -> tuple[FloatArray, FloatArray]:
    """Weights of the direct connection, and the biases of the output."""
    return network.direct, network.layers[-1].biases
