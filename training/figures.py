"""Plots for a report: reliability, errors by time, coverage by level and by group."""

from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.arrays import Columns, FloatArray, IntArray
from models.model import Model
from models.task import Task
from training import metrics
from training.evaluate import coverage_by_level
from training.plots import BLUE, GREY, ORANGE, bare, blank

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
GROUPS = {"hour": "hour of the day", "season": "season", "size": "size of the forecast"}
"""What the groups of the coverage are by, as the axes of a plot say it."""
_Z90 = NormalDist().inv_cdf(0.95)


def reliability(target: FloatArray, probability: FloatArray, decision: str) -> Figure:
    """The share of ones (`decision`) against the mean probability in ten bins of equally many rows."""
    figure = blank(6.5, 5.5)
    axes = figure.subplots()
    said, share, count = metrics.reliability(target, probability).T
    low, high = wilson(share, count)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect")
    errors = np.maximum([share - low, high - share], 0.0)
    axes.errorbar(said, share, yerr=errors, fmt="o", color=BLUE, capsize=3, label="out of fold")
    top = min(1.0, float(high.max()) + 0.05)
    axes.set(
        title="reliability",
        xlabel="mean probability",
        ylabel=f"share {decision}",
        xlim=(0.0, top),
        ylim=(0.0, top),
    )
    axes.legend(frameon=False, loc="upper left")
    bare(axes)
    return figure


def wilson(share: FloatArray, count: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The 90 % intervals of shares of `count` rows (Wilson 1927): low and high ends, (n,) each."""
    square = _Z90**2 / count
    centre = (share + square / 2.0) / (1.0 + square)
    half = _Z90 / (1.0 + square) * np.sqrt(share * (1.0 - share) / count + square / (4.0 * count))
    return centre - half, centre + half


def outcomes(task: Task, target: FloatArray, forecast: FloatArray) -> Figure:
    """The outcome of each row against its forecast, both (n_rows,)."""
    figure = blank(6.5, 5.5)
    axes = figure.subplots()
    ends = [float(target.min()), float(target.max())]
    axes.plot(ends, ends, color=GREY, linestyle="--", linewidth=1)
    axes.plot(forecast, target, ".", color=BLUE, alpha=0.5)
    axes.set(xlabel=f"forecast, {task.unit}", ylabel=f"{task.target}, {task.unit}")
    bare(axes)
    return figure


def errors_by_time(
    task: Task, hours: NDArray[np.datetime64], target: FloatArray, forecast: FloatArray
) -> Figure:
    """Mean absolute error beside the mean outcome, by hour of the day and by weekday."""
    figure = blank(11.0, 4.0)
    by_hour, by_day = figure.subplots(1, 2, width_ratios=(2, 1))
    numbers = hours.astype(np.int64)
    error = np.abs(forecast - target)
    words, hours_of_day = f"mean {task.target}", [str(hour) for hour in range(24)]
    _bars(by_hour, numbers % 24, error, target, hours_of_day, words)
    by_hour.set(title="by hour of the day", xlabel="hour", ylabel=task.unit)
    weekday = (numbers // 24 + 3) % 7  # 1970-01-01: a Thursday
    _bars(by_day, weekday, error, target, WEEKDAYS, words)
    by_day.set(title="by weekday")
    by_hour.legend(frameon=False, loc="upper left")
    return figure


def _bars(  # noqa: PLR0913  # two series by group, and what they are called
    axes: Axes,
    group: IntArray,
    error: FloatArray,
    target: FloatArray,
    names: Sequence[str],
    words: str,
) -> None:
    counts = np.maximum(np.bincount(group, minlength=len(names)), 1)
    places = np.arange(len(names))
    mean = np.bincount(group, target, len(names)) / counts
    axes.bar(places, mean, color=GREY, alpha=0.3, label=words)
    mae = np.bincount(group, error, len(names)) / counts
    axes.bar(places, mae, width=0.5, color=ORANGE, label="mean absolute error")
    axes.set_xticks(places, names, fontsize=8)
    bare(axes)


def coverage(model: Model, columns: Columns, target: FloatArray) -> Figure:
    """The share of outcomes inside the interval, at every level."""
    figure = blank(6.5, 5.0)
    axes = figure.subplots()
    levels, found = zip(*coverage_by_level(model, columns, target), strict=True)
    axes.plot([0.5, 1.0], [0.5, 1.0], color=GREY, linestyle="--", linewidth=1, label="as promised")
    axes.plot(levels, found, ".-", color=BLUE, label="measured")
    axes.set(
        title="coverage of the intervals",
        xlabel="level that was asked for",
        ylabel="share of outcomes inside",
    )
    axes.legend(frameon=False, loc="upper left")
    bare(axes)
    return figure


def coverage_by_group(groups: Mapping[str, Mapping[str, tuple[int, int]]], level: float) -> Figure:
    """The share of outcomes inside the interval, by group: hour, season and size of the forecast.

    groups : kind -> name -> (rows, rows inside). The bars are 90 % intervals of a share (Wilson). They take
        rows as independent; those of one day are not, so the truth is a little wider.
    """
    widths = [max(len(names), 8) for names in groups.values()]
    figure = blank(13.0, 3.8)
    places = figure.subplots(1, len(groups), sharey=True, width_ratios=widths, squeeze=False)[0]
    for axes, (kind, counted) in zip(places, groups.items(), strict=True):
        rows, inside = np.array(list(counted.values()), dtype=np.float64).T
        share = inside / rows
        low, high = wilson(share, rows)
        at = np.arange(len(share))
        errors = np.maximum([share - low, high - share], 0.0)
        axes.errorbar(at, share, yerr=errors, fmt="o", color=BLUE, markersize=4)
        axes.axhline(level, color=GREY, linestyle="--", linewidth=1)
        names = [name.removeprefix("from ") for name in counted]
        axes.set_xticks(at, names, fontsize=8)
        axes.set(xlabel=GROUPS[kind], xlim=(-0.7, len(share) - 0.3))
        bare(axes)
    places[0].set(ylabel="share of outcomes inside")
    return figure
