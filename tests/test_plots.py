"""The pictures: they are drawn, labelled, and written where they should be."""

import resource
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from models.bikes import BIKES
from models.model import Prediction
from training import plots
from training.fit import Check

HISTORY = [Check(1, 1.0, 1.2), Check(2, 0.5, 0.9), Check(3, 0.3, 1.0)]


def labels(figure: Figure) -> list[str]:
    """The labels of what is drawn in the first axes."""
    return figure.axes[0].get_legend_handles_labels()[1]


def test_descent_shows_three_rates_and_a_bowl(tmp_path: Path) -> None:
    """The picture of gradient descent has four parts and is written as PNG."""
    figure = plots.descent()
    assert len(figure.axes) == 4
    path = tmp_path / "pictures" / "descent.png"
    plots.save(figure, path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_picture_that_cannot_be_written_is_named_and_leaves_the_old_one(tmp_path: Path) -> None:
    """A full disk neither cuts off a picture that was there, nor leaves a part of the new one."""
    path = tmp_path / "descent.png"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as told:
            plots.save(plots.losses(HISTORY, "losses", "loss"), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert told.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".svg", ".pdf"])
def test_other_formats(tmp_path: Path, suffix: str) -> None:
    """The path's suffix chooses the format."""
    path = tmp_path / f"losses{suffix}"
    plots.save(plots.losses(HISTORY, "losses", "loss"), path)
    assert path.stat().st_size > 1000


def test_losses_with_and_without_validation() -> None:
    """Both curves are drawn, or the one that there is."""
    assert labels(plots.losses(HISTORY, "losses", "loss")) == ["training", "validation"]
    alone = [Check(check.epoch, check.training, None) for check in HISTORY]
    assert labels(plots.losses(alone, "losses", "loss")) == ["training"]


def test_losses_below_zero_are_inside_the_axes() -> None:
    """The Poisson loss leaves out log(y!), and is below 0 for large counts."""
    for history in (HISTORY, [Check(1, -500.0, None), Check(2, -860.0, None)]):
        low, high = plots.losses(history, "losses", "loss").axes[0].get_ylim()
        assert low < min(check.training for check in history)
        assert high > max(check.training for check in history)


def test_month_below_a_forecast_is_that_of_its_days() -> None:
    """The last days of December stand above 2012-Dec: the axis ends before the next January."""
    hours = np.arange("2012-12-11", "2013-01-01", dtype="datetime64[h]")
    values = np.arange(len(hours), dtype=np.float64)
    said = Prediction(values, values - 5.0, values + 5.0)
    figure = plots.forecast(BIKES, hours, values, said, "the last 21 days")
    figure.draw_without_rendering()
    assert figure.axes[0].xaxis.get_offset_text().get_text() == "2012-Dec"


def test_forecast_stands_in_its_interval_beside_reality() -> None:
    """What is drawn, and what each is called."""
    hours = np.arange("2012-12-11", "2012-12-13", dtype="datetime64[h]")
    actual, value = np.arange(48.0), np.arange(48.0)[::-1]
    figure = plots.forecast(BIKES, hours, actual, Prediction(value, value - 5.0, value + 5.0), "t")
    assert labels(figure) == ["interval", "rentals", "forecast"]
