"""Monotone networks: the output rises, or falls, with an input by construction (Sill 1998).

If the activations are increasing and the product of the weights along every path from an input to the
output is non-negative, the output never falls when the input rises. Here the first layer's weights of an
input have that input's sign, and all later weights are non-negative.
"""

import numpy as np

from models.arrays import FloatArray
from training.parameters import Architecture, zeros


def signs_of(architecture: Architecture, signs: tuple[int, ...]) -> FloatArray:
    """The sign that each parameter must have, (n_parameters,); 0 for biases, which are free.

    signs : for each network input 1 if the answer must rise with it, -1 if it must fall.
    """
    layout = zeros(architecture)
    by_input = np.array(signs, dtype=np.float32)[:, np.newaxis]
    for i, layer in enumerate(layout.network.layers):
        layer.weights[...] = by_input if i == 0 else 1.0
    if layout.network.skip is not None:
        layout.network.skip[...] = by_input
    return layout.flat


def project(flat: FloatArray, signs: FloatArray) -> None:
    """Set every weight of the wrong sign to 0, in place: projected gradient descent.

    flat, signs : (n_parameters,), see `signs_of`.
    """
    flat[flat * signs < 0.0] = 0.0
