"""Who watches a training: bars in a terminal, plain lines elsewhere."""

import io

from rich.console import Console

from training.fit import Check
from training.progress import Bars, Lines, Nobody, Watch, watch_for


def fit_for(watch: Watch) -> None:
    """A fit of three epochs that stops after the second."""
    with watch.stage("networks", 3) as on_check:
        on_check(Check(1, 0.5, 0.6))
        on_check(Check(2, 0.25, 0.375))


def test_a_log_gets_one_line_a_fit() -> None:
    """Without a terminal each fit is one line with its last losses."""
    said: list[str] = []
    fit_for(Lines(said.append))
    assert said == ["networks: epoch 2 of 3: loss 0.2500, validation 0.3750"]


def test_a_terminal_gets_a_bar_with_losses() -> None:
    """In a terminal the bar shows the losses, and a fit that stops early completes it."""
    screen = io.StringIO()
    fit_for(Bars(Console(file=screen, force_terminal=True, width=140)))
    assert "networks" in screen.getvalue()
    assert "loss 0.2500, validation 0.3750" in screen.getvalue()
    assert "2/2" in screen.getvalue()


def test_the_console_decides() -> None:
    """Bars where the console is a terminal, lines where it is not."""
    assert isinstance(watch_for(Console(file=io.StringIO(), force_terminal=True)), Bars)
    assert isinstance(watch_for(Console(file=io.StringIO())), Lines)


def test_nobody_watches() -> None:
    """A fit may go on unseen."""
    fit_for(Nobody())


def test_fits_side_by_side_stand_together() -> None:
    """A console shows one set of bars at a time: fits that overlap share it, and it ends with the last."""
    screen = io.StringIO()
    bars = Bars(Console(file=screen, force_terminal=True, width=140))
    with bars.stage("first", 1) as of_first:
        with bars.stage("second", 1) as of_second:
            of_second(Check(1, 0.25, None))
        of_first(Check(1, 0.5, None))
    fit_for(bars)
    for words in ("first", "second", "loss 0.2500 ", "loss 0.5000", "networks"):
        assert words in screen.getvalue()
