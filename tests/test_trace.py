"""The lecture's exercise and the drawn descents."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from training.cli import app
from training.trace import Descent, descend_bowl, descend_parabola, work


@pytest.mark.parametrize(
    ("symbol", "rounded", "exact"),
    [
        ("h", -0.02, -0.02),
        ("a", 0.495, 0.4950001667),
        ("ŷ", 0.512, 0.5123724780),
        ("δo", 0.122, 0.1218322354),
        ("δh", 0.003, 0.0030455013),
        ("ΔW", 0.0302, 0.0301534884),
        ("ΔWi1", 0.00015, 0.0001522751),
        ("ΔWi2", 0.00045, 0.0004568252),
    ],
)
def test_the_lectures_digits(symbol: str, rounded: float, exact: float) -> None:
    """Each quantity has the lecture's digits, and its full precision beside them."""
    step = {step.symbol: step for step in work().steps}[symbol]
    assert step.rounded == rounded
    assert step.exact == pytest.approx(exact, abs=5e-11)


def test_both_values_come_by_different_ways() -> None:
    """The formula in floats, unrounded, gives what the arrays of the training code give."""
    h = 0.4 * 0.1 - 0.2 * 0.3
    a = 1 / (1 + np.exp(-h))
    y = 1 / (1 + np.exp(-0.1 * a))
    output_error = (1 - y) * y * (1 - y)
    hidden_error = output_error * 0.1 * a * (1 - a)
    expected = {"δo": output_error, "δh": hidden_error, "ΔWi2": 0.5 * hidden_error * 0.3}
    exact = {step.symbol: step.exact for step in work().steps}
    for symbol, value in expected.items():
        assert exact[symbol] == pytest.approx(value, rel=1e-14)


def test_the_numbers_of_a_formula_give_its_value() -> None:
    """The substituted formula, worked out, is the lecture's value up to its rounding."""
    for step in work().steps:
        value = eval(step.numbers, {"f": lambda z: 1 / (1 + np.exp(-z))})  # noqa: S307
        assert round(value, step.decimals) == step.rounded


def test_the_step_lowers_the_loss() -> None:
    """One step of gradient descent makes the exercise's error smaller."""
    exercise = work()
    assert exercise.loss_before == pytest.approx(0.5 * (1 - 0.5123724780) ** 2)
    assert exercise.loss_after < exercise.loss_before


def assert_descends(path: Descent, rate: float) -> None:
    """Every step is w - rate * dL/dw, and the losses are those of the landscape."""
    np.testing.assert_allclose(
        path.weights[1:], path.weights[:-1] - rate * path.gradients[:-1], rtol=1e-12
    )
    np.testing.assert_allclose(path.loss_at(path.weights), path.losses, rtol=1e-12)


@pytest.mark.parametrize("rate", [0.1, 0.6, 1.9])
def test_the_parabola(rate: float) -> None:
    """On a parabola of curvature 1 the distance to the minimum shrinks by 1 - rate a step."""
    path = descend_parabola(rate)
    assert_descends(path, rate)
    expected = 2.0 + 2.5 * (1.0 - rate) ** np.arange(len(path.losses))
    np.testing.assert_allclose(path.weights[:, 0], expected, rtol=1e-12)


def test_the_bowl() -> None:
    """Weight and bias of a sigmoid unit go downhill all the way."""
    path = descend_bowl(rate=12.0)
    assert_descends(path, 12.0)
    assert (np.diff(path.losses) < 0).all()


def test_the_command_prints_every_digit_and_draws_the_descent(tmp_path: Path) -> None:
    """`train trace --plot FILE` shows each symbol with the lecture's digits, and writes the picture."""
    picture = tmp_path / "descent.png"
    result = CliRunner(env={"COLUMNS": "160"}).invoke(app, ["trace", "--plot", str(picture)])
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    for step in work().steps:
        (line,) = [words for words in lines if words[:1] == [step.symbol]]
        assert f"{step.rounded:.{step.decimals}f}" in line
        assert f"{step.exact:.6g}" in line
    assert picture.read_bytes().startswith(b"\x89PNG")
