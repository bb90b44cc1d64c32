"""From a recipe to fitted networks: what a recipe says of their start and of their rows is done."""

from dataclasses import replace

import numpy as np
import pytest

from models.arrays import FloatArray
from training.admission import ADMISSION
from training.data import Dataset
from training.pipeline import fit_rows
from training.prior import Prior

NARROW = Prior(skip=1e-4, hidden=1e-4, hidden_bias=1e-4, output=1e-4)
"""All that is left to learn is the bias of the output, which is free."""


def members(dataset: Dataset, epochs: int, *, bootstrap: bool) -> FloatArray:
    """What each of 16 networks with that prior answers to every row, (16, n_rows)."""
    fit = replace(ADMISSION.fit, epochs=epochs)
    recipe = replace(ADMISSION, links=("logit",) * 16, prior=NARROW, bootstrap=bootstrap, fit=fit)
    rows = np.arange(len(dataset))
    fitted = fit_rows(recipe, dataset, rows, None, np.random.default_rng(0))
    inputs = fitted.encoder.encode(dataset.task.derive(dataset.columns))
    return fitted.head.member_values(inputs)


@pytest.mark.parametrize("epochs", [0, 40])
def test_prior_holds_the_weights_and_a_probability_starts_at_the_base_rate(
    admission: Dataset, epochs: int
) -> None:
    """Not at even odds; and with a narrow prior it ends there, too, whatever the rows say."""
    found = members(admission, epochs, bootstrap=False)
    np.testing.assert_allclose(found, admission.outcome.mean(), atol=0.01)


def test_bootstrap_gives_each_network_rows_of_its_own(admission: Dataset) -> None:
    """Their base rates differ by about the standard error of the share of those who were admitted."""
    share = admission.outcome.mean()
    error = np.sqrt(share * (1.0 - share) / len(admission))
    spread = members(admission, 40, bootstrap=True).mean(axis=1).std()
    assert 0.5 * error < spread < 2.0 * error
