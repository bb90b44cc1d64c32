"""What is believed of the weights beforehand, and the penalties that say so."""

import numpy as np
import pytest

from training.parameters import Architecture
from training.prior import Prior, anchored, weight_decay


def test_weight_decay_spares_the_biases() -> None:
    """Weights and the skip are penalised, biases are not."""
    penalty = weight_decay(Architecture((2, 3, 1), skip=True), 0.5)
    expected = [0.5] * 6 + [0.0] * 3 + [0.5] * 3 + [0.0] + [0.5] * 2
    assert penalty.strength.tolist() == expected
    np.testing.assert_array_equal(penalty.gradient(np.ones(15)), expected)


def test_an_anchored_member_is_pulled_back_to_its_start() -> None:
    """Each weight's penalty is that of its prior, 1 / (n sd^2), around where it was drawn."""
    prior = Prior(skip=0.5, hidden=0.25, hidden_bias=1.0, output=0.1)
    architecture = Architecture((2, 3, 1), "tanh", members=2, skip=True)
    rng = np.random.default_rng(0)
    start, penalty = anchored(architecture, prior, 10, rng, signs=(1, -1))
    hidden, output = start.network.layers
    np.testing.assert_array_equal(penalty.anchor, start.flat)
    np.testing.assert_array_equal(np.sign(hidden.weights[:, :, 0]), [[1, -1], [1, -1]])
    assert (output.weights == 0).all()
    assert sorted(set(penalty.strength.tolist())) == pytest.approx([0.0, 0.1, 0.4, 1.6, 10.0])
    np.testing.assert_array_equal(penalty.gradient(start.flat), 0.0)


def test_an_input_without_a_sign_is_drawn_as_it_comes() -> None:
    """Free is not 0: its weights start, and are anchored, where they would without any sign."""
    prior = Prior(skip=0.5, hidden=0.25, hidden_bias=1.0, output=0.1)
    drawn = [
        anchored(Architecture((3, 4, 1), "tanh"), prior, 10, np.random.default_rng(0), signs)
        for signs in ((), (0, 1, -1))
    ]
    free, signed = (start.network.layers[0].weights[0] for start, _ in drawn)
    np.testing.assert_array_equal(signed, [free[0], np.abs(free[1]), -np.abs(free[2])])
