"""Kriging: the networks' residuals of hours that were seen, interpolated to the hours between them.

Something that no input tells (a shower, a match) makes an hour busier than the networks predict, and its
neighbours, too. So the expected residual of an hour, given those of the training rows around it, is a
weighted sum of them. The weights follow from how fast the correlation of two residuals falls with the hours
between them. So does the remaining deviation of the residual, by which the spread of the interval shrinks.
The method is called kriging (Krige 1951; Matheron 1963) or Gaussian process regression (Rasmussen and
Williams 2006, section 2.2).

The result is one number for each hour, member and output. It is stored where a linear model would have it:
as the weight of the hour's one-hot column in the skip. The hidden layers' weights for these columns are 0.
"""

from dataclasses import dataclass, replace

import numpy as np

from models.arrays import BoolArray, FloatArray, IntArray
from models.features import Category, Encoder
from models.network import Network
from training.parameters import frozen

NEAR = 6
"""Hours considered on either side; on validation rows more distant ones add nothing."""
AT_ONCE = 2048
"""Hours whose equations are solved at once, to bound the memory."""


@dataclass(frozen=True)
class Kriging:
    """The correlation of two hours' residuals: shared * exp(-hours between / fades).

    over : numbers the hours one after the other.
    shared : the share of a residual's variance that is not the hour's own noise.
    fades : hours over which the correlation falls to 1/e.
    """

    over: Category
    shared: float
    fades: float

    def extended(self, encoder: Encoder) -> Encoder:
        """The encoder with the hours as one more category, the last."""
        return replace(encoder, categories=(*encoder.categories, self.over))

    def codes(self, encoder: Encoder, variables: FloatArray) -> IntArray:
        """The number of each row's hour, (n_rows,), by an encoder whose last category is `over`.

        variables : (n_rows, n_variables).
        """
        return encoder.encode(variables).codes[:, -1] - (encoder.n_inputs - self.over.size)

    def correlation(self, hours: IntArray) -> FloatArray:
        """The correlation of the residuals of two hours, `hours` apart; array of any shape."""
        likeness: FloatArray = self.shared * np.exp(-np.abs(hours) / self.fades)
        return likeness

    def weights(self, known: BoolArray) -> FloatArray:
        """The weights of the residuals from NEAR hours before to NEAR hours after, for each hour.

        known : (n_hours,), which hours' residuals are known. Returns (n_hours, 2 NEAR + 1), the solutions w
        of (C + noise I) w = c over the known ones, where C holds their correlations with each other and c
        those with the hour in the middle; an unknown one has weight 0.
        """
        off = np.arange(-NEAR, NEAR + 1)
        around = np.lib.stride_tricks.sliding_window_view(np.pad(known, NEAR), len(off))
        between = self.correlation(off[:, np.newaxis] - off)
        noise = np.eye(len(off)) * (1.0 - self.shared)
        found = np.empty(around.shape)
        for start in range(0, len(known), AT_ONCE):
            seen = around[start : start + AT_ONCE, :, np.newaxis].astype(np.float64)
            # an unknown hour's equation is w = 0
            equations = (between * seen + noise) * seen.swapaxes(1, 2) + np.eye(len(off)) * (
                1 - seen
            )
            right = self.correlation(off)[:, np.newaxis] * seen
            found[start : start + AT_ONCE] = np.linalg.solve(equations, right)[..., 0]
        return found

    def deviation(self, codes: IntArray) -> FloatArray:
        """The remaining standard deviation of every hour's residual, relative: 1 without known neighbours.

        codes : (n_rows,), the number of each hour whose residual is known. Returns (n_hours,).
        """
        off = np.arange(-NEAR, NEAR + 1)
        explained = self.weights(self._known(codes)) @ self.correlation(off)
        left: FloatArray = np.sqrt(1.0 - explained)
        return left

    def held_out_deviation(self, codes: IntArray, fold: IntArray) -> FloatArray:
        """`deviation` of each row's hour, (n_rows,), if only the rows of the other folds are known.

        codes, fold : (n_rows,), the number of each row's hour, and its fold.
        """
        found = np.empty(len(codes))
        for held_out in np.unique(fold):
            judged = fold == held_out
            found[judged] = self.deviation(codes[~judged])[codes[judged]]
        return found

    def _known(self, codes: IntArray) -> BoolArray:
        known = np.zeros(self.over.size, dtype=bool)
        known[codes] = True
        return known

    def levels(self, codes: IntArray, residual: FloatArray) -> FloatArray:
        """The expected residual of every hour, (n_members, n_hours, n_outputs).

        codes : (n_rows,), the number of each training row's hour.
        residual : (n_members, n_rows, n_outputs), of the networks on these rows.
        """
        n_members, _, n_outputs = residual.shape
        padded = np.zeros((n_members, self.over.size + 2 * NEAR, n_outputs))
        padded[:, codes + NEAR] = residual
        around = np.lib.stride_tricks.sliding_window_view(padded, 2 * NEAR + 1, axis=1)
        expected: FloatArray = np.einsum("hw,mhow->mho", self.weights(self._known(codes)), around)
        return expected


def with_left_over(
    kriging: Kriging,
    encoder: Encoder,
    network: Network,
    variables: FloatArray,
    residual: FloatArray,
) -> tuple[Encoder, Network]:
    """The encoder with the hours as one more category, and the network with their levels in its skip.

    variables : (n_rows, n_variables), and residual : (n_members, n_rows, n_outputs), of the training
        rows.
    """
    whole = kriging.extended(encoder)
    codes = kriging.codes(whole, variables)
    wide = widened(network, whole.n_inputs)
    assert wide.skip is not None, "levels need a skip"  # noqa: S101
    wide.skip[:, encoder.n_inputs :] = kriging.levels(codes, residual)
    return whole, frozen(wide)


def with_deviation(
    kriging: Kriging, encoder: Encoder, network: Network, codes: IntArray
) -> Network:
    """The network of the log spread, with the log of each hour's `deviation` added by its skip.

    encoder : `kriging.extended` of the network's own. codes : (n_rows,), the known hours.
    """
    skip = np.zeros((network.n_members, encoder.n_inputs, network.n_outputs), np.float32)
    skip[:, -kriging.over.size :] = np.log(kriging.deviation(codes))[:, np.newaxis]
    return frozen(replace(widened(network, encoder.n_inputs), skip=skip))


def widened(network: Network, n_inputs: int) -> Network:
    """The network with more inputs, `n_inputs` in all, the new ones with weight 0."""
    more = ((0, 0), (0, n_inputs - network.n_inputs), (0, 0))
    first = replace(network.layers[0], weights=np.pad(network.layers[0].weights, more))
    skip = None if network.skip is None else np.pad(network.skip, more)
    return Network((first, *network.layers[1:]), skip)
