"""The peers that are networks: scikit-learn's MLPRegressor and the same in PyTorch.

Both see the calendar as one-hot columns (with hour x effective working day), harmonics of the year,
standardised weather and special days, and the growth as a year flag or as a trend held at the last
training day.
"""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.neural_network import MLPRegressor
from torch import nn

from bench.accuracy.peer import SEED, TARGETS, Fit, Fitted, Peer, Settings, log_uniform, uniform
from bench.accuracy.rows import Hours
from models.arrays import FloatArray

SIZES = {"hour": 24, "weekday": 7, "month": 12, "season": 4, "weather": 4}
NUMBERS = (
    "temperature",
    "feels_like",
    "humidity",
    "wind_speed",
    "holiday",
    "working_day",
    "away",
    "thanksgiving",
    "sun",
)
EPOCHS, PATIENCE = 50, 8
N_DAYS = 731
NDArray32 = np.ndarray[tuple[int, int], np.dtype[np.float32]]


@dataclass(frozen=True)
class Inputs:
    """Hours as a dense matrix, standardised by the training rows."""

    fit: Fit
    last: float
    mean: FloatArray
    scale: FloatArray

    @classmethod
    def of(cls, fit: Fit) -> "Inputs":
        """Learn the scales from the training rows."""
        raw = cls(fit, float(fit.train.columns["trend"].max()), np.zeros(1), np.ones(1))
        numbers = raw.numbers(fit.train)
        scale = numbers.std(axis=0)
        return cls(fit, raw.last, numbers.mean(axis=0), np.where(scale > 0, scale, 1.0))

    def numbers(self, hours: Hours) -> FloatArray:
        """The numeric columns, (n_rows, n_numbers)."""
        values = hours.columns
        angle = 2 * np.pi * values["day_of_year"] / 365.25
        waves = [wave(k * angle) for k in (1, 2) for wave in (np.sin, np.cos)]
        growth = {"year": values["year"], "trend": np.minimum(values["trend"], self.last)}
        named = [values[name] for name in NUMBERS]
        return np.column_stack([*named, *waves, growth[str(self.fit.settings["growth"])]])

    def matrix(self, hours: Hours) -> NDArray32:
        """Every column, (n_rows, n_columns) float32."""
        values = hours.columns
        codes = [(values[name], size) for name, size in SIZES.items()]
        codes.append((values["hour"] + 24 * values["effective_working_day"], 48))
        if self.fit.day_category:
            codes.append((values["trend"], N_DAYS))
        numbers = (self.numbers(hours) - self.mean) / self.scale
        blocks = [np.eye(size, dtype=np.float32)[code.astype(np.intp)] for code, size in codes]
        return np.hstack([numbers.astype(np.float32), *blocks])


@dataclass(frozen=True)
class Target:
    """The target on the scale of a trial, standardised by the training rows."""

    name: str
    mean: float
    scale: float

    @classmethod
    def of(cls, fit: Fit) -> "Target":
        """Learn the scale from the training rows."""
        name = str(fit.settings["target"])
        scaled = TARGETS[name][0](fit.train.rentals)
        return cls(name, float(scaled.mean()), float(scaled.std()))

    def there(self, rentals: FloatArray) -> FloatArray:
        """Rentals -> what the network learns."""
        return (TARGETS[self.name][0](rentals) - self.mean) / self.scale

    def back(self, outputs: FloatArray) -> FloatArray:
        """What the network says -> rentals."""
        return TARGETS[self.name][1](outputs.astype(np.float64) * self.scale + self.mean)


class Stopping:
    """Keeps the best state over the epochs; `done` once there was no progress for PATIENCE."""

    def __init__(self) -> None:
        self.best, self.epoch = float("inf"), 0
        self.state: Any = None

    def done(self, epoch: int, loss: float, state: object) -> bool:
        """Take note of an epoch."""
        if loss < self.best:
            self.best, self.epoch, self.state = loss, epoch, copy.deepcopy(state)
        return epoch - self.epoch >= PATIENCE


def sample_sklearn(rng: np.random.Generator) -> Settings:
    """A trial of MLPRegressor."""
    return {
        "target": str(rng.choice(["count", "sqrt", "log"])),
        "growth": str(rng.choice(["year", "trend"])),
        "hidden": str(rng.choice(["64", "128", "64-32", "128-64"])),
        "activation": str(rng.choice(["relu", "tanh"])),
        "learning_rate": log_uniform(rng, 5e-4, 1e-2),
        "alpha": log_uniform(rng, 1e-5, 1e-1),
        "batch": int(rng.choice([128, 256])),
    }


def _hidden(settings: Settings) -> list[int]:
    return [int(width) for width in str(settings["hidden"]).split("-")]


def fit_sklearn(fit: Fit) -> Fitted:
    """MLPRegressor, an epoch at a time, stopped on the validation rows."""
    inputs, target = Inputs.of(fit), Target.of(fit)
    network = MLPRegressor(
        hidden_layer_sizes=_hidden(fit.settings),
        activation=fit.settings["activation"],
        learning_rate_init=fit.settings["learning_rate"],
        alpha=fit.settings["alpha"],
        batch_size=fit.settings["batch"],
        random_state=SEED,
    )
    x, y = inputs.matrix(fit.train), target.there(fit.train.rentals)
    stop = None if fit.stop is None else inputs.matrix(fit.stop)
    stopping = Stopping()
    for epoch in range(1, min(fit.rounds, EPOCHS) + 1):
        network.partial_fit(x, y)
        if fit.stop is None or stop is None:
            continue
        error = target.there(fit.stop.rentals) - network.predict(stop)
        if stopping.done(epoch, float(np.mean(error**2)), (network.coefs_, network.intercepts_)):
            break
    if stopping.state is not None:
        network.coefs_, network.intercepts_ = stopping.state
    return Fitted(lambda hours: target.back(network.predict(inputs.matrix(hours))), stopping.epoch)


def sample_torch(rng: np.random.Generator) -> Settings:
    """A trial of the PyTorch network."""
    return {
        "target": str(rng.choice(["count", "sqrt", "log"])),
        "growth": str(rng.choice(["year", "trend"])),
        "hidden": str(rng.choice(["64", "128", "128-64", "256-128", "128-128-64"])),
        "activation": str(rng.choice(["ReLU", "SiLU"])),
        "learning_rate": log_uniform(rng, 5e-4, 1e-2),
        "weight_decay": log_uniform(rng, 1e-5, 1e-1),
        "dropout": uniform(rng, 0.0, 0.2),
        "batch": int(rng.choice([128, 256])),
    }


def _build(settings: Settings, n_inputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in _hidden(settings):
        layers += [nn.Linear(n_inputs, width), getattr(nn, str(settings["activation"]))()]
        layers.append(nn.Dropout(float(settings["dropout"])))
        n_inputs = width
    return nn.Sequential(*layers, nn.Linear(n_inputs, 1), nn.Flatten(0))


def fit_torch(fit: Fit) -> Fitted:
    """A multilayer perceptron in PyTorch: AdamW, early stopping."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    inputs, target = Inputs.of(fit), Target.of(fit)
    x = torch.from_numpy(inputs.matrix(fit.train))
    y = torch.from_numpy(target.there(fit.train.rentals).astype(np.float32))
    network = _build(fit.settings, x.shape[1])
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=float(fit.settings["learning_rate"]),
        weight_decay=float(fit.settings["weight_decay"]),
    )

    def say(matrix: NDArray32) -> FloatArray:
        network.eval()
        with torch.no_grad():
            return network(torch.from_numpy(matrix)).numpy()

    stop = None if fit.stop is None else inputs.matrix(fit.stop)
    stopping = Stopping()
    for epoch in range(1, min(fit.rounds, EPOCHS) + 1):
        network.train()
        for rows in torch.randperm(len(y)).split(int(fit.settings["batch"])):
            optimizer.zero_grad(set_to_none=True)
            nn.functional.mse_loss(network(x[rows]), y[rows]).backward()
            optimizer.step()
        if fit.stop is None or stop is None:
            continue
        error = target.there(fit.stop.rentals) - say(stop)
        if stopping.done(epoch, float(np.mean(error**2)), network.state_dict()):
            break
    if stopping.state is not None:
        network.load_state_dict(stopping.state)
    return Fitted(lambda hours: target.back(say(inputs.matrix(hours))), stopping.epoch)


SKLEARN = Peer("sklearn-mlp", "scikit-learn MLPRegressor", sample_sklearn, fit_sklearn)
TORCH = Peer("torch-mlp", "PyTorch MLP", sample_torch, fit_torch)
