"""Fitting a network to rows: epochs, mini-batches, early stopping, weight averaging, loss history."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from models.arrays import FloatArray, IntArray
from models.errors import DivergedError
from models.features import Inputs
from models.network import Network, Tape, forward
from training import monotone
from training.backprop import gradient_step
from training.losses import LOSSES, mean_loss
from training.optimizers import Adam, Optimizer, Sgd
from training.parameters import Parameters, architecture_of, frozen, plain, zeros
from training.prior import Penalty, weight_decay

GATHERED = 1024
"""Rows that are gathered at once, in the order of the batches: several small batches share one gather."""


@dataclass(frozen=True)
class FitSettings:
    """How a network is fitted.

    loss : a name in `training.losses.LOSSES`.
    optimizer, rate, momentum : "adam" or "sgd", its learning rate, and the momentum of "sgd".
    batch_size : rows of a mini-batch; 0 for full batch, 1 for one row at a time.
    schedule : "constant", or "cosine": the rate falls to 0 along a half cosine over all steps
        (Loshchilov and Hutter 2017).
    weight_decay : adds weight_decay / 2 * |w|^2 to the mean loss, for all weights but not for biases.
    signs : for each network input whether the answer must rise (1) or fall (-1) with it or is free (0),
        see `training.monotone`; empty for no constraint.
    average_epochs : the result is the mean of the weights after each of the last `average_epochs` epochs
        (stochastic weight averaging, Izmailov et al. 2018), or of all epochs if there were fewer; 0 or 1
        for the last weights.
    patience : stop after so many checks without a better validation loss, and restore the best weights;
        0 for never.
    check_every : epochs between two checks of the losses.
    on_rise : what to do when the training loss is higher than at the previous check.
    """

    loss: str = "half_mse"
    optimizer: Literal["adam", "sgd"] = "adam"
    rate: float = 3e-3
    momentum: float = 0.0
    batch_size: int = 256
    epochs: int = 15
    schedule: Literal["constant", "cosine"] = "constant"
    weight_decay: float = 0.0
    signs: tuple[int, ...] = ()
    average_epochs: int = 0
    patience: int = 0
    check_every: int = 1
    on_rise: Literal["ignore", "warn", "stop"] = "ignore"
    rate_key: ClassVar[str] = "rate"
    """The key by which `--set` changes the rate."""


@dataclass(frozen=True)
class Rows:
    """Rows to learn from or to be judged by.

    inputs : the encoded rows; with `dense` if they are learned from.
    target : (n_rows, n_outputs), or (n_members, n_rows, n_outputs).
    weights : (n_members, n_rows, 1) or None: the weight of each row for each member.
    """

    inputs: Inputs
    target: FloatArray
    weights: FloatArray | None = None

    def take(self, rows: IntArray, into: "Rows | None" = None) -> "Rows":
        """The given rows; written to `into` where it is given, see `Inputs.take`."""
        if into is None:
            weights = None if self.weights is None else self.weights.take(rows, axis=-2)
            return Rows(self.inputs.take(rows), self.target.take(rows, axis=-2), weights)
        self.inputs.take(rows, into.inputs)
        self.target.take(rows, axis=-2, out=into.target, mode="clip")
        if self.weights is not None:
            self.weights.take(rows, axis=-2, out=into.weights, mode="clip")
        return into

    def part(self, where: slice) -> "Rows":
        """Consecutive rows, as views."""
        weights = None if self.weights is None else self.weights[..., where, :]
        return Rows(self.inputs.part(where), self.target[..., where, :], weights)

    def plain(self) -> "Rows":
        """The rows for a single member, without the members' axis."""
        target = self.target[0] if self.target.ndim > 2 else self.target  # noqa: PLR2004
        return Rows(self.inputs, target, None if self.weights is None else self.weights[0])


@dataclass(frozen=True)
class Check:
    """The losses after an epoch. `validation` is None where there are no validation rows."""

    epoch: int
    training: float
    validation: float | None


@dataclass(frozen=True)
class Fitted:
    """The result of `fit`: a frozen network, the history of its losses, and remarks on the way."""

    network: Network
    history: tuple[Check, ...]
    remarks: tuple[str, ...] = ()


def batches(n_rows: int, size: int, rng: np.random.Generator) -> Iterator[IntArray]:
    """The indices 0 .. n_rows - 1 in random order, `size` at a time; the last batch may be smaller."""
    order = rng.permutation(n_rows)
    for start in range(0, n_rows, size):
        yield order[start : start + size]


@np.errstate(over="ignore", invalid="ignore")  # a divergence is reported once, as DivergedError
def fit(  # noqa: PLR0913  # parameters, data, settings, randomness, callback
    parameters: Parameters,
    train: Rows,
    validation: Rows | None,
    settings: FitSettings,
    rng: np.random.Generator,
    on_check: Callable[[Check], None] | None = None,
    penalty: Penalty | None = None,
) -> Fitted:
    """Fit `parameters` (changed in place) and return the frozen result.

    on_check : is called after every check. penalty : replaces that of `settings.weight_decay`.
    Raises DivergedError when a loss or a weight is no longer finite.
    """
    if penalty is None and settings.weight_decay:
        penalty = weight_decay(architecture_of(parameters.network), settings.weight_decay)
    descent = _Descent(parameters, train, settings, rng, penalty)
    stopping = _Stopping(settings, parameters.flat)
    mean, averaged = np.zeros_like(parameters.flat), 0
    first_averaged = settings.epochs - settings.average_epochs
    history: list[Check] = []
    for epoch in range(1, settings.epochs + 1):
        training_loss = descent.epoch()
        _require_finite(training_loss, parameters.flat, epoch, settings)
        if epoch > first_averaged:
            mean += parameters.flat / settings.average_epochs
            averaged += 1
        if epoch % settings.check_every and epoch != settings.epochs:
            continue
        check = Check(epoch, training_loss, loss_of(parameters.network, validation, settings.loss))
        history.append(check)
        if on_check is not None:
            on_check(check)
        if stopping.after(check):
            break
    if stopping.best is not None:
        parameters.flat[...] = stopping.best
    elif settings.average_epochs > 1 and averaged:
        if averaged < settings.average_epochs:  # stopped early, or fewer epochs than that
            mean *= settings.average_epochs / averaged
        parameters.flat[...] = mean
    return Fitted(frozen(parameters.network), tuple(history), stopping.remarks())


def loss_of(network: Network, rows: Rows | None, loss: str) -> float | None:
    """The mean loss of a network on rows; None without rows."""
    if rows is None:
        return None
    return mean_loss(LOSSES[loss], forward(network, rows.inputs), rows.target)


class _Descent:
    """The steps of gradient descent: one call of `epoch` sees every training row once."""

    def __init__(
        self,
        parameters: Parameters,
        train: Rows,
        settings: FitSettings,
        rng: np.random.Generator,
        penalty: Penalty | None,
    ) -> None:
        self.parameters, self.train, self.settings, self.rng = parameters, train, settings, rng
        self.penalty = penalty
        self.loss = LOSSES[settings.loss]
        architecture = architecture_of(parameters.network)
        flat = parameters.flat
        self.gradient = zeros(architecture, flat.dtype.type)
        alone = architecture.members == 1
        self.rows = train.plain() if alone else train
        self.network, self.into = (
            plain(network) if alone else network
            for network in (parameters.network, self.gradient.network)
        )
        self.signs = monotone.signs_of(architecture, settings.signs) if settings.signs else None
        if self.signs is not None:
            monotone.project(flat, self.signs)
        self.optimizer: Optimizer = (
            Adam() if settings.optimizer == "adam" else Sgd(settings.momentum)
        )
        self.size = settings.batch_size or len(train.inputs)
        self.tapes: dict[int, Tape] = {}
        n_rows = len(train.inputs)
        self.outputs = np.empty((architecture.members, n_rows, architecture.sizes[-1]), flat.dtype)
        self.at_once = self.size * max(1, GATHERED // self.size)
        self.gathered = self.rows.take(np.arange(min(n_rows, self.at_once)))
        self.gathered_outputs = np.empty_like(self.outputs[:, : self.at_once])
        self.parts: dict[tuple[int, int], tuple[Rows, FloatArray]] = {}
        self.step = 0
        self.steps = settings.epochs * math.ceil(len(train.inputs) / self.size)

    def epoch(self) -> float:
        """One epoch; returns the mean of the batches' losses, each before its step."""
        for chosen in batches(len(self.train.inputs), self.at_once, self.rng):
            gathered, outputs = self._part(0, len(chosen))
            self.rows.take(chosen, gathered)
            for start in range(0, len(chosen), self.size):
                rows, output = self._part(start, min(start + self.size, len(chosen)))
                output[...] = self._batch(rows)
            self.outputs[:, chosen] = outputs
        return mean_loss(self.loss, self.outputs, self.train.target)

    def _part(self, start: int, stop: int) -> tuple[Rows, FloatArray]:
        """A slice of the gathered rows and of the buffer of their outputs: views, made once."""
        where = start, stop
        if where not in self.parts:
            self.parts[where] = (
                self.gathered.part(slice(*where)),
                self.gathered_outputs[:, slice(*where)],
            )
        return self.parts[where]

    def _batch(self, rows: Rows) -> FloatArray:
        """One step; returns the output before it, in a buffer that the next step writes to."""
        n_rows = len(rows.inputs)
        if n_rows not in self.tapes:
            self.tapes[n_rows] = Tape.for_rows(self.network, n_rows)
        tape = self.tapes[n_rows]
        output = gradient_step(
            self.network, rows.inputs, rows.target, self.loss, tape, self.into, rows.weights
        )
        flat, gradient = self.parameters.flat, self.gradient.flat
        if self.penalty is not None:
            gradient += self.penalty.gradient(flat)
        self.optimizer.update(flat, gradient, self._rate())
        if self.signs is not None:
            monotone.project(flat, self.signs)
        self.step += 1
        return output

    def _rate(self) -> float:
        if self.settings.schedule == "constant":
            return self.settings.rate
        return self.settings.rate * 0.5 * (1.0 + math.cos(math.pi * self.step / self.steps))


class _Stopping:
    """Early stopping: when to stop, and the best weights so far."""

    def __init__(self, settings: FitSettings, flat: FloatArray) -> None:
        self.settings, self.flat = settings, flat
        self.best: FloatArray | None = None
        self.best_loss = math.inf
        self.bad_checks = 0
        self.last_training = math.inf
        self.rises: list[int] = []

    def after(self, check: Check) -> bool:
        """Whether to stop after this check."""
        return self._rises(check) | self._no_longer_improves(check)

    def _no_longer_improves(self, check: Check) -> bool:
        if not self.settings.patience or check.validation is None:
            return False
        if check.validation < self.best_loss:
            self.best_loss, self.best, self.bad_checks = check.validation, self.flat.copy(), 0
            return False
        self.bad_checks += 1
        return self.bad_checks >= self.settings.patience

    def _rises(self, check: Check) -> bool:
        rises = check.training > self.last_training
        self.last_training = check.training
        if not rises or self.settings.on_rise == "ignore":
            return False
        self.rises.append(check.epoch)
        return self.settings.on_rise == "stop"

    def remarks(self) -> tuple[str, ...]:
        """What is to be known of the epochs at which the training loss had risen."""
        if not self.rises:
            return ()
        rose = f"the training loss rose at epoch {self.rises[0]}"
        if self.settings.on_rise == "stop":
            lower = f"lower the learning rate (it was {self.settings.rate:g})"
            return (f"{rose}, where the training stopped: {lower}",)
        more = len(self.rises) - 1
        return (f"{rose}, and at {more} later checks" if more else rose,)


def _require_finite(loss: float, flat: FloatArray, epoch: int, settings: FitSettings) -> None:
    if math.isfinite(loss) and bool(np.isfinite(flat).all()):
        return
    raise DivergedError(
        f"training diverged in epoch {epoch}: the loss is {loss:g}. Lower the learning rate "
        f"(it was {settings.rate:g}): try --set {settings.rate_key}={settings.rate / 10:g}"
    )
