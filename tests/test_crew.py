"""Fits side by side: the results of one after the other, and an end to all with the first failure."""

from threading import Event, Lock

import joblib
import pytest

from models.errors import DivergedError
from training.crew import Crew, Stopped
from training.fit import Check
from training.progress import Nobody, Watch

CHECK = Check(1, 0.5, None)
PATIENCE = 30.0
"""Seconds after which a test gives up on another thread."""


def endless(watch: Watch, begun: Event) -> None:
    """A fit that ends only where it is stopped."""
    with watch.stage("endless", 1) as on_check:
        begun.set()
        while True:
            on_check(CHECK)


def test_what_is_started_runs_side_by_side_and_keeps_its_place() -> None:
    """Two tasks that wait for each other are both done, and each has its own result."""
    here, there = Event(), Event()

    def meet(mine: Event, other: Event, answer: int) -> int:
        mine.set()
        assert other.wait(PATIENCE)
        return answer

    with Crew(Nobody(), workers=2) as crew:
        one, two = crew.start(meet, here, there, 1), crew.start(meet, there, here, 2)
        assert (one.result(), two.result()) == (1, 2)


def test_no_more_run_than_there_are_workers() -> None:
    """One worker does one task after the other, in the order in which they were started."""
    lock, order = Lock(), []

    def work(number: int) -> None:
        assert lock.acquire(blocking=False)
        order.append(number)
        lock.release()

    with Crew(Nobody(), workers=1) as crew:
        for number in range(5):
            crew.start(work, number)
    assert order == list(range(5))


def test_as_many_workers_as_cores_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The share of a container is what counts, as joblib knows it."""
    monkeypatch.setattr(joblib, "cpu_count", lambda: 1)
    begun, alone = Event(), Event()
    with Crew(Nobody()) as crew:
        crew.start(alone.wait, 0.2)
        crew.start(begun.set)
        assert not begun.is_set()


def test_a_failure_ends_the_others_and_is_what_is_raised() -> None:
    """Whichever result was waited for: the error is that of the fit that failed, and no fit goes on."""
    begun = Event()

    def fail() -> None:
        assert begun.wait(PATIENCE)
        raise DivergedError("the loss is nan")

    crew = Crew(Nobody(), workers=2)
    waited_for = crew.start(endless, crew.watch, begun)
    crew.start(fail)
    with pytest.raises(DivergedError, match="the loss is nan"), crew:
        waited_for.result()
    assert isinstance(waited_for.exception(), Stopped)


def test_an_interruption_ends_every_fit() -> None:
    """Ctrl-C in the thread that waits stops those that work at their next check."""
    begun = Event()
    crew = Crew(Nobody(), workers=1)
    running, queued = (crew.start(endless, crew.watch, begun) for _ in range(2))
    assert begun.wait(PATIENCE)
    with pytest.raises(KeyboardInterrupt), crew:
        raise KeyboardInterrupt
    assert isinstance(running.exception(), Stopped)
    assert queued.cancelled()
