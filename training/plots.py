"""Plots: gradient descent, loss curves, forecast against reality.

Drawn without pyplot, so that no state is shared and no screen is needed.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models import files
from models.arrays import FloatArray
from models.errors import SettingsError
from models.model import Prediction
from models.task import Task
from training.data import Dataset
from training.evaluate import Evaluation
from training.fit import Check
from training.trace import Descent, descend_bowl, descend_parabola

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#666666"
"""Colours that people with colour-blindness tell apart (Okabe and Ito 2008)."""

RATES = (0.15, 0.6, 1.9)
RATE_NAMES = ("small: it creeps", "good: there after a few steps", "large: it overshoots")

FORMATS = (".png", ".svg", ".pdf")


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's suffix, completely or not at all.

    Raises SettingsError for an unknown format, OSError if it cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise SettingsError(f"{path}: the name of a picture ends in {', '.join(FORMATS)}")
    drawn = io.BytesIO()
    figure.savefig(drawn, format=suffix[1:], dpi=120, metadata={})
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace_file(path, drawn.getvalue())


def blank(width: float, height: float) -> Figure:
    """An empty figure; width and height in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def bare(axes: Axes) -> None:
    """Remove the frame's top and right side."""
    axes.spines[["top", "right"]].set_visible(False)


def descent() -> Figure:
    """Gradient descent, w <- w - rate dL/dw: one weight at three rates, two weights of a unit."""
    figure = blank(11.0, 8.0)
    figure.suptitle(
        r"Gradient descent:  $w \leftarrow w - \alpha\,\partial L/\partial w$", fontsize=15
    )
    axes = figure.subplots(2, 2)
    for place, rate, name in zip(axes.flat, RATES, RATE_NAMES, strict=False):
        _draw_parabola(place, descend_parabola(rate), rf"rate $\alpha$ = {rate:g}, {name}")
    _draw_bowl(axes[1, 1], descend_bowl())
    return figure


def _draw_parabola(axes: Axes, path: Descent, title: str) -> None:
    weights = np.linspace(-0.8, 4.8, 200)
    axes.plot(weights, path.loss_at(weights[:, np.newaxis]), color=GREY)
    w, loss = path.weights[:, 0], path.losses
    axes.plot(w, loss, "o", color=BLUE, markersize=5, zorder=3)
    for i in range(len(w) - 1):
        axes.annotate(
            "",
            xy=(w[i + 1], loss[i + 1]),
            xytext=(w[i], loss[i]),
            arrowprops={"arrowstyle": "->", "color": ORANGE, "shrinkA": 3, "shrinkB": 3},
        )
    slope = path.gradients[0, 0]
    near = w[0] + np.array([-0.9, 0.9])
    axes.plot(near, loss[0] + slope * (near - w[0]), "--", color=GREEN)
    axes.text(1.7, 4.3, rf"slope $\partial L/\partial w$ = {slope:g}", color=GREEN)
    axes.set(
        title=title,
        xlabel="weight w",
        ylabel="loss L = ½ (y - w x)²",
        xlim=(-1.2, 5.3),
        ylim=(-0.3, 5.2),
    )
    bare(axes)


def _draw_bowl(axes: Axes, path: Descent) -> None:
    first, second = np.meshgrid(np.linspace(-1.5, 5.5, 120), np.linspace(-4.5, 2.0, 120))
    losses = path.loss_at(np.column_stack([first.ravel(), second.ravel()])).reshape(first.shape)
    lines = axes.contour(first, second, losses, 14, cmap="viridis", linewidths=0.9)
    axes.clabel(lines, fontsize=7)
    axes.plot(path.weights[:, 0], path.weights[:, 1], ".-", color=ORANGE, markersize=4)
    axes.plot(*path.weights[0], "o", color=BLUE, label=f"start, L = {path.losses[0]:.3f}")
    after = f"after {len(path.losses) - 1} steps, L = {path.losses[-1]:.3f}"
    axes.plot(*path.weights[-1], "*", color=GREEN, markersize=13, label=after)
    axes.set(title="a sigmoid unit: weight and bias", xlabel="weight w", ylabel="bias b")
    axes.legend(loc="lower left", fontsize=8, framealpha=1.0)


def losses(history: Sequence[Check], title: str, unit: str) -> Figure:
    """Training and validation loss over the epochs."""
    figure = blank(8.0, 4.5)
    axes = figure.subplots()
    epochs = [check.epoch for check in history]
    axes.plot(epochs, [check.training for check in history], color=BLUE, label="training")
    validation = [(c.epoch, c.validation) for c in history if c.validation is not None]
    if validation:
        axes.plot(*zip(*validation, strict=True), color=ORANGE, label="validation")
    axes.set(title=title, xlabel="epoch", ylabel=unit)
    every = [loss for c in history for loss in (c.training, c.validation) if loss is not None]
    if 0.0 <= min(every) < 0.5 * max(every):  # else the curve would be flat, or outside
        axes.set_ylim(0.0, 1.05 * max(every))
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    bare(axes)
    return figure


def forecast(
    task: Task,
    hours: NDArray[np.datetime64],
    actual: FloatArray,
    said: Prediction,
    title: str,
) -> Figure:
    """A forecast with its interval against reality, hour by hour.

    hours, actual : (n_rows,), datetime64[h] and what happened.
    """
    figure = blank(14.0, 5.0)
    axes = figure.subplots()
    axes.fill_between(
        hours, said.low, said.high, color=BLUE, alpha=0.18, linewidth=0, label="interval"
    )
    axes.plot(hours, actual, color=GREY, linewidth=1.2, label=task.target)
    axes.plot(hours, said.value, color=BLUE, linewidth=1.2, label="forecast")
    locator = AutoDateLocator(minticks=8, maxticks=22)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(formatter)
    axes.set(title=title, ylabel=task.unit)
    if task.bounds[0] == 0.0:
        axes.set_ylim(bottom=0.0)
    axes.set_xlim(hours.min(), hours.max())  # a tick after the last day would name another month
    axes.legend(frameon=False, ncols=3, loc="upper right")
    axes.grid(alpha=0.3)
    bare(axes)
    return figure


def save_evaluation(found: Evaluation, dataset: Dataset, folder: Path) -> list[Path]:
    """The loss curves of the first split and, for hours, its forecast against reality."""
    name, score = found.recipe.name, found.scores[0]
    saved = [folder / f"{name}-loss.png"]
    unit = f"loss ({found.recipe.fit.loss})"
    save(losses(score.history, f"{name}: loss by epoch", unit), saved[0])
    if score.prediction is not None and dataset.task.time_field:
        saved.append(folder / f"{name}-forecast.png")
        title = f"{name}: {found.protocol}, hours that the networks never saw"
        hours = dataset.hours[score.rows]
        figure = forecast(dataset.task, hours, score.target, score.prediction, title)
        save(figure, saved[1])
    return saved
