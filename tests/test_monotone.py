"""Networks that rise or fall with an input by construction."""

from dataclasses import replace

import numpy as np

from models.network import forward
from tests.nets import N_INPUTS, some_rows
from training import monotone
from training.admission import ADMISSION
from training.data import read
from training.fit import FitSettings, Rows, fit
from training.parameters import Architecture, initial
from training.pipeline import fit_rows


def test_signs_of() -> None:
    """The first layer and the skip carry the sign of their input, later weights rise, biases are free."""
    signs = monotone.signs_of(Architecture((2, 2, 1), "tanh", skip=True), (1, -1))
    assert signs.tolist() == [1, 1, -1, -1, 0, 0, 1, 1, 0, 1, -1]


def test_project() -> None:
    """Weights of the wrong sign become 0; the others stay, the free ones whatever they are."""
    flat = np.array([0.5, -0.5, 0.5, -0.5, -3.0, 0.0])
    monotone.project(flat, np.array([1.0, 1.0, -1.0, -1.0, 0.0, 1.0]))
    assert flat.tolist() == [0.5, 0.0, 0.0, -0.5, -3.0, 0.0]


def test_a_monotone_fit_is_monotone() -> None:
    """With signs, the answer never falls (or rises) with an input, wherever it is asked."""
    rng = np.random.default_rng(0)
    signs = (1, -1, 1, *[1] * (N_INPUTS - 3))
    start = initial(Architecture((N_INPUTS, 6, 1), "tanh", members=2, skip=True), rng, np.float64)
    rows = some_rows(50, 1)
    fitted = fit(
        start,
        Rows(rows.inputs, rows.target[:, :1]),
        None,
        FitSettings(epochs=30, batch_size=8, rate=0.01, signs=signs),
        rng,
    )
    inputs = rows.inputs
    for i, sign in enumerate(signs[:3]):
        numbers = inputs.numbers.copy()
        numbers[:, i] += 0.5
        moved = forward(fitted.network, type(inputs)(numbers, inputs.codes))
        assert (sign * (moved - forward(fitted.network, inputs)) >= -1e-12).all()


def test_admission_rises_with_the_scores_and_falls_with_the_rank() -> None:
    """Over the whole range of every field: each point of GRE or GPA helps, each step of rank hurts."""
    dataset = read("admission")
    recipe = replace(ADMISSION, links=("logit",) * 16)
    fitted = fit_rows(recipe, dataset, np.arange(len(dataset)), None, np.random.default_rng(0))
    axes = (np.arange(200, 801, 10), np.linspace(0.0, 4.0, 41), np.arange(1, 5))
    gre, gpa, rank = (axis.ravel() for axis in np.meshgrid(*axes, indexing="ij"))
    rows = dataset.task.derive({"gre": gre, "gpa": gpa, "rank": rank})
    answers = fitted.head.member_values(fitted.encoder.encode(rows))
    grid = answers.reshape(16, *(len(axis) for axis in axes))
    rounding = 1e-6  # of float32
    assert (np.diff(grid, axis=1) > -rounding).all()
    assert (np.diff(grid, axis=2) > -rounding).all()
    assert (np.diff(grid, axis=3) < rounding).all()
    mean = grid.mean(axis=0)
    assert (mean[-1] > mean[0] + 0.01).all()
    assert (mean[:, -1] > mean[:, 0] + 0.01).all()
    assert (mean[:, :, 0] > mean[:, :, -1] + 0.01).all()
