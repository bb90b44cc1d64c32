"""Backpropagation: the chain rule, layer by layer, from the loss back to the first weights.

Symbols as in `docs/backpropagation.md`. Layer l computes z(l) = a(l-1) W(l) + b(l) and
a(l) = f(z(l)) from its input a(l-1); the last is layer K. With delta(l) = dL/dz(l):

    delta(K)    =  dL/da(K) * f'(z(K))               at the output
    dL/dW(l)    =  a(l-1)^T delta(l)                 a weight: its input times the error at its output
    dL/db(l)    =  sum of delta(l) over the rows
    delta(l-1)  =  (delta(l) W(l)^T) * f'(z(l-1))    one layer further back
"""

import numpy as np

from models.activations import ACTIVATIONS
from models.arrays import FloatArray
from models.features import Inputs
from models.network import Network, Tape, forward, product
from training.losses import Loss


def backward(
    network: Network, inputs: Inputs, tape: Tape, error: FloatArray, gradient: Network
) -> None:
    """Write dL/dW, dL/db (and dL/dskip) of every layer into the arrays of `gradient`.

    inputs : rows with `dense`.
    tape : what `forward` wrote for the same rows. Consumed: z is overwritten by f'(z).
    error : dL/da(K), (n_members, n_rows, n_outputs), the 1/n of the mean included. Overwritten.
    gradient : receives the result; a network of the same shape, see `training.parameters.zeros`.
    """
    times = product(network.layers[0].weights)
    assert inputs.dense is not None, "training needs inputs with `dense`"  # noqa: S101
    delta = error
    for i in reversed(range(len(network.layers))):
        layer, into = network.layers[i], gradient.layers[i]
        if layer.activation != "identity":  # whose slope is 1
            delta *= ACTIVATIONS[layer.activation].derivative(tape.z[i], tape.a[i], tape.z[i])
        came_in = inputs.dense if i == 0 else tape.a[i - 1]
        times(came_in.mT, delta, into.weights)
        times(tape.ones, delta, into.biases)
        if i == len(network.layers) - 1 and gradient.skip is not None:
            times(inputs.dense.mT, delta, gradient.skip)
        if i > 0:
            # with a single unit this is an outer product, for which np.matmul does not use BLAS
            outer = times is np.matmul and delta.shape[-1] == 1
            back = np.multiply if outer else times
            delta = back(delta, layer.weights.mT, tape.delta[i - 1])


def gradient_step(  # noqa: PLR0913  # one argument for each thing that a gradient depends on
    network: Network,
    inputs: Inputs,
    target: FloatArray,
    loss: Loss,
    tape: Tape,
    gradient: Network,
    row_weights: FloatArray | None = None,
) -> FloatArray:
    """Forward and backward pass of one batch; returns the output, (n_members, n_rows, n_outputs).

    target : (n_rows, n_outputs) or (n_members, n_rows, n_outputs).
    tape, gradient : buffers, as for `backward`.
    row_weights : (n_members, n_rows, 1) or None: the weight of each row for each member (bootstrap).
    """
    output = forward(network, inputs, tape)
    error = loss.derivative(output, target, tape.delta[-1])
    error *= tape.share
    if row_weights is not None:
        error *= row_weights
    backward(network, inputs, tape, error, gradient)
    return output
