"""The forward pass for many rows, in a fraction of the time of `models.network.forward`.

For thousands of rows it is not the matrix products of these small networks that cost most, but every pass
over an array of activations, above all if the array has left the processor's cache. So this module
computes the same with fewer and shorter passes:

- Rows are processed in blocks small enough for all their intermediate results to stay in the cache.
- The *entrance*: the first layers of all networks, then the direct connections from the inputs to their
  outputs, side by side as the columns of one matrix. One product and one activation serve them all, and
  the biases are part of the product or of a table.
- Categories are crossed as long as their table of weights stays small: one look-up serves several.
- SiLU uses NumPy's exp, which takes two thirds of the time of its tanh.
- From the second layer on arrays are (units, rows), which makes NumPy's inner loops long ones.

All in float32, as in `forward`; a test holds the two equal up to rounding.
"""

import math
from collections.abc import Callable, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np

from models.activations import ACTIVATIONS
from models.arrays import FloatArray, IntArray
from models.features import Category, Encoder
from models.network import Layer, Network, side_by_side, spans

BLOCK_BYTES = 512 * 1024
"""The size of a block's array of units: about half of the level-2 cache of a current processor."""
MOST_CODES = 2048
"""The most codes of a cross of categories; its table has a row of units for each."""

Function = Callable[[FloatArray, FloatArray | None], FloatArray]
"""An activation, as `models.activations.Activation.function`."""

_ONE = np.array(1.0, np.float32)


class Encoded(NamedTuple):
    """Rows as the entrance reads them.

    numbers : (n_numbers, n_rows), clipped but not standardised. Without tables, which would hold the
        biases, a last row of ones multiplies them.
    codes : (n_rows, n_tables), the row to pick from each table.
    """

    numbers: FloatArray
    codes: IntArray


class Bulk:
    """The forward pass of many rows through networks that read the same inputs."""

    def __init__(self, encoder: Encoder, networks: Sequence[Network]) -> None:
        weights, biases = _of_raw_numbers(encoder, *_side_by_side(networks))
        firsts = spans(n.layers[0].biases.size if len(n.layers) > 1 else 0 for n in networks)
        directs = spans(network.layers[-1].biases.size for network in networks)
        self._n_first = firsts[-1].stop
        self._activations = _runs(networks, firsts)
        self._ways = [_Way(*each) for each in zip(networks, firsts, directs, strict=True)]
        self._source = encoder.source
        self._low, self._high = (
            end.astype(weights.dtype)[:, np.newaxis] for end in (encoder.low, encoder.high)
        )
        self._numbers = weights[: len(encoder.numbers)]
        self._tables, self._strides = _crosses(encoder, weights)
        if self._tables:
            self._tables[0] += biases
        else:
            self._numbers = np.concatenate([self._numbers, biases[np.newaxis]])
        self._rows = max(BLOCK_BYTES // (weights.itemsize * len(biases)), 1)

    def encode(self, variables: FloatArray) -> Encoded:
        """`variables`, (n_rows, n_variables), as the entrance reads them."""
        n_numbers = len(self._source)
        numbers = np.empty((len(self._numbers), len(variables)), self._numbers.dtype)
        inside = numbers[:n_numbers]
        rounded = variables.T.astype(numbers.dtype, order="C")
        rounded.take(self._source, axis=0, out=inside, mode="clip")  # "raise" makes a copy first
        np.minimum(inside, self._high, out=inside)
        np.maximum(inside, self._low, out=inside)
        if n_numbers < len(numbers):
            numbers[n_numbers:] = 1.0
        return Encoded(numbers, (variables @ self._strides).astype(np.intp))

    def outputs(self, encoded: Encoded) -> list[FloatArray]:
        """The outputs of each network: (n_members, n_outputs, n_rows)."""
        numbers, codes = encoded
        n_rows = len(codes)
        outputs = [np.empty((*way.shape, n_rows), numbers.dtype) for way in self._ways]
        n_blocks = math.ceil(n_rows / self._rows)
        ends = [n_rows * i // n_blocks for i in range(n_blocks + 1)] if n_blocks else []
        for start, stop in pairwise(ends):
            first, last = self._entrance(numbers[:, start:stop], codes[start:stop])
            for way, output in zip(self._ways, outputs, strict=True):
                output[:, :, start:stop] = way(first, last)
        return outputs

    def _entrance(self, numbers: FloatArray, codes: IntArray) -> tuple[FloatArray, FloatArray]:
        """The first layers' activations, and the direct connections' shares: (n_units, n_rows) each."""
        if not self._tables:
            z = np.matmul(self._numbers.T, numbers)
            first, last = z[: self._n_first], z[self._n_first :]
            for units, function in self._activations:
                function(first[units], first[units])
            return first, last
        z = self._tables[0].take(codes[:, 0], axis=0)
        for i, table in enumerate(self._tables[1:], 1):
            z += table.take(codes[:, i], axis=0)
        z += np.matmul(numbers.T, self._numbers)
        last = z[:, self._n_first :].T.copy()
        if len(self._activations) == 1:
            # on the whole array: on a part of each row it takes 3 times as long
            ((_, function),) = self._activations
            function(z, z)
        else:
            for units, function in self._activations:
                function(z[:, units], z[:, units])
        return z.T[: self._n_first], last


class _Way:
    """The layers after the entrance, for one network.

    first, last : where the entrance has the network's first layer (nowhere if that is the last, too) and,
        counted from the first of them, its direct connection.
    shape : (n_members, n_outputs).
    """

    def __init__(self, network: Network, first: slice, last: slice) -> None:
        layers = network.layers
        self._is_deep = len(layers) > 1
        self.shape = (network.n_members, network.n_outputs)
        self._first, self._last = first, last
        self._width = layers[0].weights.shape[2]
        self._hidden = [
            (layer.weights.transpose(0, 2, 1), layer.biases.transpose(0, 2, 1), _function(layer))
            for layer in layers[1:-1]
        ]
        self._output = layers[-1].weights.transpose(0, 2, 1)
        self._activation = ACTIVATIONS[layers[-1].activation].function

    def __call__(self, first: FloatArray, last: FloatArray) -> FloatArray:
        """The outputs, (*shape, n_rows), from the units of the entrance, (n_units, n_rows)."""
        n_rows = last.shape[1]
        out = last[self._last].reshape(*self.shape, n_rows)
        if self._is_deep:
            a = first[self._first].reshape(self.shape[0], self._width, n_rows)
            for weights, biases, function in self._hidden:
                a = np.matmul(weights, a)
                a += biases
                function(a, a)
            out += np.matmul(self._output, a)
        return self._activation(out, out)


def _of_raw_numbers(
    encoder: Encoder, weights: FloatArray, biases: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Weights and biases with the standardisation of the numbers folded in."""
    n_numbers = len(encoder.numbers)
    scaled = weights[:n_numbers] / encoder.scale[:, np.newaxis]
    raw = np.concatenate([scaled.astype(weights.dtype), weights[n_numbers:]])
    return raw, (biases - encoder.mean @ scaled).astype(weights.dtype)


def _function(layer: Layer) -> Function:
    return _silu if layer.activation == "silu" else ACTIVATIONS[layer.activation].function


def _silu(z: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """a = z / (1 + exp(-z)), which is 0 where exp overflows.

    `models.activations.silu` computes it by tanh, and stays so: trained weights depend on its bits.
    """
    divisor = np.negative(z)
    with np.errstate(over="ignore"):
        np.exp(divisor, out=divisor)
    divisor += _ONE
    return np.divide(z, divisor, out=out)


def _side_by_side(networks: Sequence[Network]) -> tuple[FloatArray, FloatArray]:
    """The entrance's weights (n_inputs, n_units) and its biases (n_units,).

    Its units are the first layers of the networks that have more than one, then the direct connections of
    all networks.
    """
    firsts = [n.layers[0] for n in networks if len(n.layers) > 1]
    blocks = [(side_by_side(layer.weights), layer.biases.ravel()) for layer in firsts]
    blocks += [(side_by_side(n.direct), n.layers[-1].biases.ravel()) for n in networks]
    return (
        np.concatenate([weights for weights, _ in blocks], axis=1),
        np.concatenate([biases for _, biases in blocks]),
    )


def _runs(networks: Sequence[Network], units: Sequence[slice]) -> list[tuple[slice, Function]]:
    """The first layers' units with their activations; neighbours with the same one are joined."""
    kinds = [pair for pair in zip(networks, units, strict=True) if len(pair[0].layers) > 1]
    runs = []
    for _, run in groupby(kinds, lambda pair: pair[0].layers[0].activation):
        members = list(run)
        covered = slice(members[0][1].start, members[-1][1].stop)
        runs.append((covered, _function(members[0][0].layers[0])))
    return runs


def _crosses(encoder: Encoder, weights: FloatArray) -> tuple[list[FloatArray], FloatArray]:
    """Tables of the categories' weights, neighbouring categories crossed up to MOST_CODES codes.

    Returns the tables, (n_codes, n_units) each, whose row is the sum of the weights that the crossed
    categories pick, and strides (n_variables, n_tables): variables @ strides are the codes.
    """
    crosses: list[tuple[dict[str, int], list[tuple[int, Category]]]] = []
    start = len(encoder.numbers)
    for category in encoder.categories:
        sizes = dict(zip(category.variables, category.sizes, strict=True))
        known = crosses[-1][0] if crosses else {}
        agree = all(known.get(name, size) == size for name, size in sizes.items())
        if crosses and agree and math.prod((known | sizes).values()) <= MOST_CODES:
            crosses[-1] = (known | sizes, [*crosses[-1][1], (start, category)])
        else:
            crosses.append((sizes, [(start, category)]))
        start += category.size
    strides = np.zeros((len(encoder.variables), len(crosses)))
    for j, (sizes, _) in enumerate(crosses):
        stride = 1
        for name, size in reversed(sizes.items()):
            strides[encoder.variables.index(name), j] = stride
            stride *= size
    return [_table(sizes, parts, weights) for sizes, parts in crosses], strides


def _table(
    sizes: dict[str, int], parts: Sequence[tuple[int, Category]], weights: FloatArray
) -> FloatArray:
    """The sum of the weights that each combination of values picks: (n_codes, n_units)."""
    grid = dict(zip(sizes, np.indices(tuple(sizes.values())).reshape(len(sizes), -1), strict=True))
    table = np.zeros((math.prod(sizes.values()), weights.shape[1]), weights.dtype)
    for start, category in parts:
        code = np.zeros(len(table), np.intp)
        for name, size in zip(category.variables, category.sizes, strict=True):
            code = code * size + grid[name]
        table += weights[start + code]
    return table
