"""Networks that rise or fall with an input by construction.

If every path from an input to the output has weights whose product is not negative, and the
activations rise, the output never falls when the input rises (Sill 1998). Here the first layer's
weights of an input carry that input's sign and all later weights are not negative.
"""

import numpy as np

from models.arrays import FloatArray
from training.parameters import Architecture, zeros


def signs_of(architecture: Architecture, signs: tuple[int, ...]) -> FloatArray:
    """The sign that each parameter must have, (n_parameters,); 0 where it is free (biases).

    signs : one a network input: 1 where the answer must rise with it, -1 where it must fall.
    """
    layout = zeros(architecture)
    by_input = np.array(signs, dtype=np.float32)[:, np.newaxis]
    for i, layer in enumerate(layout.network.layers):
        layer.weights[...] = by_input if i == 0 else 1.0
    if layout.network.skip is not None:
        layout.network.skip[...] = by_input
    return layout.flat


def project(flat: FloatArray, signs: FloatArray) -> None:
    """Set every weight of the wrong sign to 0, in place: projected gradient descent."""
    flat[flat * signs < 0.0] = 0.0
