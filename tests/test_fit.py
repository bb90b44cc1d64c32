"""Fitting: batches, seeds, schedules, decay, averaging, early stopping, divergence, ensembles."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.arrays import FloatArray
from models.errors import DivergedError
from models.network import forward
from tests.nets import N_INPUTS, some_inputs, some_parameters, some_rows
from training.fit import Check, FitSettings, Fitted, Rows, batches, fit, loss_of
from training.parameters import Architecture, Parameters, initial, zeros

SETTINGS = FitSettings(epochs=4, batch_size=8, rate=0.01)


def some_start(seed: int = 0, **options: Any) -> Parameters:  # some_parameters' own
    """Initial parameters."""
    return some_parameters(np.random.default_rng(seed), **options)


def fit_some(settings: FitSettings, seed: int = 0) -> Fitted:
    """Fit a network to 50 rows."""
    return fit(some_start(), some_rows(50, 1), None, settings, np.random.default_rng(seed))


def bits(fitted: Fitted) -> bytes:
    """All weights and biases of a result."""
    layers = fitted.network.layers
    return b"".join(layer.weights.tobytes() + layer.biases.tobytes() for layer in layers)


def test_batches_visit_every_row_once() -> None:
    """An epoch is a random order of all rows, cut into batches; the last may be smaller."""
    made = list(batches(10, 4, np.random.default_rng(0)))
    assert [len(batch) for batch in made] == [4, 4, 2]
    order = np.concatenate(made)
    np.testing.assert_array_equal(np.sort(order), np.arange(10))
    assert not np.array_equal(order, np.arange(10))


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Two fits with one seed have equal weights to the last bit; another seed has others."""
    assert bits(fit_some(SETTINGS, 3)) == bits(fit_some(SETTINGS, 3))
    assert bits(fit_some(SETTINGS, 3)) != bits(fit_some(SETTINGS, 4))


@pytest.mark.parametrize("members", [1, 3])
def test_how_many_rows_are_drawn_at_once_changes_nothing(
    members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are copied some batches at a time; one at a time gives the same bytes and losses."""
    rows = some_rows(50, 1)
    weights = np.random.default_rng(2).exponential(size=(members, 50, 1))
    rows = replace(rows, weights=weights)
    found = []
    for drawn in (1, 20, 1024):
        monkeypatch.setattr("training.fit.GATHERED", drawn)
        start = some_start(members=members, skip=True)
        fitted = fit(start, rows, None, SETTINGS, np.random.default_rng(0))
        found.append((bits(fitted), fitted.history))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("batch_size", [0, 1, 8, 1000])
def test_every_way_of_batching_learns(optimizer: Any, batch_size: int) -> None:
    """Full batch, single rows and mini-batches all lower the loss, with either optimiser."""
    settings = FitSettings(
        optimizer=optimizer, rate=0.02, momentum=0.5, batch_size=batch_size, epochs=40
    )
    losses = [check.training for check in fit_some(settings).history]
    assert losses[-1] < 0.5 * losses[0]


def test_full_batch_is_one_step_of_the_whole_gradient() -> None:
    """W += rate * sum(dW) / n: a full-batch epoch of plain descent is a single such step."""
    rows, start = some_rows(6, 1), some_start(hidden=())
    assert rows.inputs.dense is not None
    layer = start.network.layers[0]
    error = rows.target - (rows.inputs.dense @ layer.weights[0] + layer.biases[0])
    expected = layer.weights[0] + 0.3 * (rows.inputs.dense.T @ error) / 6
    settings = FitSettings(optimizer="sgd", rate=0.3, batch_size=0, epochs=1)
    fitted = fit(start, rows, None, settings, np.random.default_rng(0))
    np.testing.assert_allclose(fitted.network.layers[0].weights[0], expected, rtol=1e-12)


def test_the_result_is_frozen_and_its_own() -> None:
    """What `fit` returns cannot be changed, not even through the parameters it started from."""
    start = some_start()
    fitted = fit(start, some_rows(20, 1), None, SETTINGS, np.random.default_rng(0))
    before = bits(fitted)
    start.flat[...] = 0.0
    assert bits(fitted) == before
    with pytest.raises(ValueError, match="read-only"):
        fitted.network.layers[0].weights[...] = 0.0


def test_history() -> None:
    """A check every so many epochs and after the last, each told as it happens."""
    told: list[Check] = []
    rows, validation = some_rows(50, 1), some_rows(20, 2)
    settings = replace(SETTINGS, epochs=7, check_every=3)
    start = some_start()
    fitted = fit(start, rows, validation, settings, np.random.default_rng(0), told.append)
    assert [check.epoch for check in fitted.history] == [3, 6, 7]
    assert told == list(fitted.history)
    assert fitted.history[-1].validation == loss_of(fitted.network, validation, "half_mse")


def test_without_validation_rows_there_is_no_validation_loss() -> None:
    """History says None where nothing was validated."""
    assert {check.validation for check in fit_some(SETTINGS).history} == {None}


def test_training_loss_weighs_batches_by_their_rows() -> None:
    """With a rate of 0 the epoch's loss is the mean over all rows, uneven batches and all."""
    start, rows = some_start(), some_rows(50, 1)
    expected = loss_of(start.network, rows, "half_mse")
    settings = FitSettings(optimizer="sgd", rate=0.0, batch_size=8, epochs=1)
    fitted = fit(start, rows, None, settings, np.random.default_rng(0))
    assert fitted.history[0].training == pytest.approx(expected)


def test_early_stopping_restores_the_best_weights() -> None:
    """The result has the weights of the best check, not those of the last."""
    settings = FitSettings(rate=0.05, batch_size=4, epochs=200, patience=5)
    validation = some_rows(20, 2)
    fitted = fit(some_start(), some_rows(12, 1), validation, settings, np.random.default_rng(0))
    losses = [check.validation for check in fitted.history if check.validation is not None]
    assert len(losses) < 200
    assert len(losses) == int(np.argmin(losses)) + 1 + 5
    assert loss_of(fitted.network, validation, "half_mse") == min(losses)
    assert losses[-1] > min(losses)


def test_averaging_gives_the_mean_of_the_last_epochs() -> None:
    """With `average_epochs` the result is the mean of the weights after each of those epochs."""
    start, seen = some_start(), list[FloatArray]()
    settings = replace(SETTINGS, epochs=6, average_epochs=3)

    def note(_: Check) -> None:
        seen.append(start.flat.copy())

    fitted = fit(start, some_rows(50, 1), None, settings, np.random.default_rng(0), note)
    expected = some_start()
    expected.flat[...] = np.mean(seen[-3:], axis=0)
    for got, of in zip(fitted.network.layers, expected.network.layers, strict=True):
        np.testing.assert_allclose(got.weights, of.weights, rtol=1e-12)
        np.testing.assert_allclose(got.biases, of.biases, rtol=1e-12)


@pytest.mark.parametrize(
    ("settings", "averaged"),
    [
        pytest.param({"epochs": 2, "average_epochs": 5}, 2, id="fewer epochs than are averaged"),
        pytest.param({"epochs": 8, "average_epochs": 8, "on_rise": "stop"}, 3, id="stopped"),
        pytest.param({"epochs": 8, "average_epochs": 2, "on_rise": "stop"}, 1, id="stopped before"),
    ],
)
def test_mean_is_of_the_epochs_that_there_were(settings: dict[str, Any], averaged: int) -> None:
    """A training that ends early has the mean of what it averaged, and its last weights before that."""
    start, seen = some_start(), list[FloatArray]()

    def note(_: Check) -> None:
        seen.append(start.flat.copy())

    rng = np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.fit.mean_loss", lambda *_: 3.0 if len(seen) == 2 else -len(seen))
        fitted = fit(start, some_rows(50, 1), None, replace(SETTINGS, **settings), rng, note)
    expected = some_start()
    expected.flat[...] = np.mean(seen[-averaged:], axis=0)
    assert len(seen) == min(3, settings["epochs"])
    for got, of in zip(fitted.network.layers, expected.network.layers, strict=True):
        np.testing.assert_allclose(got.weights, of.weights, rtol=1e-12)


def test_cosine_schedule() -> None:
    """The rate of step t of T is rate (1 + cos(pi t / T)) / 2, seen in steps of known gradient."""
    row = Rows(some_inputs(1, np.random.default_rng(0)), np.zeros((1, 1)))
    start = zeros(Architecture((N_INPUTS, 1)), np.float64)
    start.flat[-1] = 1.0  # the bias: the output is 1 and each step shrinks it by 1 - rate_t
    settings = FitSettings(optimizer="sgd", rate=1e-6, batch_size=1, epochs=4, schedule="cosine")
    outputs = [1.0]

    def note(_: Check) -> None:
        outputs.append(float(forward(start.network, row.inputs).item()))

    fit(start, row, None, settings, np.random.default_rng(0), note)
    assert row.inputs.dense is not None
    curvature = 1.0 + float(np.square(row.inputs.dense).sum())
    rates = (1.0 - np.divide(outputs[1:], outputs[:-1])) / curvature
    expected = 1e-6 * (1.0 + np.cos(np.pi * np.arange(4) / 4)) / 2
    np.testing.assert_allclose(rates, expected, rtol=1e-5)


def test_weight_decay_is_an_l2_penalty() -> None:
    """One step with decay differs from one without by rate * decay * w, and spares the biases."""
    options: dict[str, Any] = {"skip": True, "hidden": (4,)}
    plain = FitSettings(optimizer="sgd", rate=0.1, batch_size=0, epochs=1)
    decaying = replace(plain, weight_decay=0.5)
    rows, start = some_rows(10, 1), some_start(**options)
    without, with_decay = some_start(**options), some_start(**options)
    fit(without, rows, None, plain, np.random.default_rng(0))
    fit(with_decay, rows, None, decaying, np.random.default_rng(0))
    assert start.network.skip is not None
    for i in range(2):
        first, one, two = (p.network.layers[i] for p in (start, without, with_decay))
        shrunk = one.weights - 0.1 * 0.5 * first.weights
        np.testing.assert_allclose(two.weights, shrunk, rtol=1e-6)
        np.testing.assert_array_equal(one.biases, two.biases)
    assert without.network.skip is not None
    assert with_decay.network.skip is not None
    shrunk = without.network.skip - 0.1 * 0.5 * start.network.skip
    np.testing.assert_allclose(with_decay.network.skip, shrunk, rtol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_divergence_stops_with_advice(optimizer: Any, dtype: Any) -> None:
    """A training that diverges stops, says in which epoch, and which rate to try instead."""
    settings = FitSettings(optimizer=optimizer, rate=1e200, batch_size=8, epochs=50)
    start, rows = some_start(dtype=dtype, activation="relu"), some_rows(50, 1, dtype)
    with pytest.raises(DivergedError, match=r"diverged in epoch \d+.*--set rate=1e\+199"):
        fit(start, rows, None, settings, np.random.default_rng(0))


@pytest.mark.parametrize(("on_rise", "checks"), [("ignore", 20), ("warn", 20), ("stop", 3)])
def test_a_rise_of_the_training_loss(on_rise: Any, checks: int) -> None:
    """Where the training loss rises, a fit goes on, goes on with a remark, or stops: by choice."""
    settings = FitSettings(
        optimizer="sgd", rate=1.5, batch_size=0, epochs=20, on_rise=on_rise, loss="half_mse"
    )
    start = some_start(hidden=())
    fitted = fit(start, some_rows(10, 1), None, settings, np.random.default_rng(0))
    assert len(fitted.history) == checks
    rose = "the training loss rose at epoch 3"
    told = {
        "ignore": (),
        "warn": (f"{rose}, and at 17 later checks",),
        "stop": (f"{rose}, where the training stopped: lower the learning rate (it was 1.5)",),
    }
    assert fitted.remarks == told[on_rise]


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_an_ensemble_is_its_members_trained_alone(optimizer: Any) -> None:
    """Networks trained side by side are those trained one by one on the same batches."""
    settings = replace(SETTINGS, optimizer=optimizer, weight_decay=1e-3)
    together = some_start(members=3, skip=True)
    alone = [some_start(skip=True) for _ in range(3)]
    for k, single in enumerate(alone):
        for layer, copy in zip(together.network.layers, single.network.layers, strict=True):
            copy.weights[0], copy.biases[0] = layer.weights[k], layer.biases[k]
        assert together.network.skip is not None
        assert single.network.skip is not None
        single.network.skip[0] = together.network.skip[k]
    rows = some_rows(50, 1)
    ensemble = fit(together, rows, None, settings, np.random.default_rng(2)).network
    for k, single in enumerate(alone):
        network = fit(single, rows, None, settings, np.random.default_rng(2)).network
        got, expected = forward(ensemble, rows.inputs)[k], forward(network, rows.inputs)[0]
        np.testing.assert_allclose(got, expected, rtol=1e-9)


def test_members_may_have_targets_of_their_own() -> None:
    """With a target a member each learns its own."""
    rows = some_rows(50, 1)
    both = Rows(rows.inputs, np.stack([rows.target, -rows.target]))
    settings = FitSettings(rate=0.02, batch_size=10, epochs=60)
    network = fit(some_start(members=2), both, None, settings, np.random.default_rng(0)).network
    one, other = forward(network, rows.inputs)
    assert np.square(one - rows.target).mean() < 0.2
    assert np.square(other + rows.target).mean() < 0.2


def test_row_weights_count_rows() -> None:
    """A row of weight 2 counts as two rows, and one of weight 0 as none."""
    rows = some_rows(4, 1)
    counts = np.array([2, 0, 1, 1])
    weighted = Rows(rows.inputs, rows.target, counts[np.newaxis, :, np.newaxis].astype(float))
    repeated = rows.take(np.repeat(np.arange(4), counts))
    settings = FitSettings(optimizer="sgd", rate=0.1, batch_size=0, epochs=5)
    one = fit(some_start(), weighted, None, settings, np.random.default_rng(0)).network
    two = fit(some_start(), repeated, None, settings, np.random.default_rng(0)).network
    np.testing.assert_allclose(one.layers[0].weights, two.layers[0].weights, rtol=1e-9)


def test_initial_weights_keep_the_signal() -> None:
    """Initial activations of a deep and wide network keep a variance of order 1, biases are 0."""
    rng = np.random.default_rng(0)
    inputs = some_inputs(500, rng)
    wide = Architecture((N_INPUTS, 200, 200, 200, 50), "silu", members=2)
    network = initial(wide, rng, np.float64).network
    assert all((layer.biases == 0).all() for layer in network.layers)
    assert 0.05 < forward(network, inputs).var() < 5.0


def test_fan_in_counts_the_inputs_that_are_not_zero() -> None:
    """One-hot columns are mostly 0: the first layer's scale follows `fan_in` where it is given."""
    architecture = Architecture((400, 300, 1), "tanh")
    weights = initial(architecture, np.random.default_rng(0), np.float64, fan_in=4).network.layers
    assert weights[0].weights.std() == pytest.approx(0.5, rel=0.02)
    assert weights[1].weights.std() == pytest.approx(1 / np.sqrt(300), rel=0.1)
