"""Parallel fits: the same results as one after the other, and the first failure ends all."""

import _thread
import copy
from collections.abc import Callable
from threading import Event, Lock

import pytest

from models.errors import DivergedError
from training.crew import Crew, Stopped
from training.fit import Check
from training.progress import Lines, Nobody, Watch

CHECK = Check(1, 0.5, None)
CORES = "joblib._parallel_backends.cpu_count"
PATIENCE = 30.0
"""Seconds after which a test gives up on another thread."""


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine has."""
    monkeypatch.setattr(CORES, lambda: 2)


def endless(watch: Watch, begun: Event, ended: Event) -> None:
    """A fit that ends only where it is stopped."""
    try:
        with watch.stage("endless", 1) as on_check:
            begun.set()
            while True:
                on_check(CHECK)
    except Stopped:
        ended.set()
        raise


def beside_endless(function: Callable[[], None], begun: Event, ended: Event) -> None:
    """Wait for a fit that does not end, and run something beside it."""
    with Crew(Nobody()) as crew:
        waited_for = crew.start("endless", endless, crew.watch, begun, ended)
        crew.start("beside it", function)
        waited_for.result()


def test_what_is_started_runs_side_by_side_and_keeps_its_place() -> None:
    """Two calls that wait for each other both finish, and each returns its own result."""
    here, there = Event(), Event()

    def meet(mine: Event, other: Event, answer: int) -> int:
        mine.set()
        assert other.wait(PATIENCE)
        return answer

    with Crew(Nobody()) as crew:
        one = crew.start("one", meet, here, there, 1)
        two = crew.start("two", meet, there, here, 2)
        assert (one.result(), two.result()) == (1, 2)


def test_no_more_run_than_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one core the calls run one after the other, in the order in which they were started."""
    monkeypatch.setattr(CORES, lambda: 1)
    lock, order = Lock(), []

    def work(number: int) -> None:
        assert lock.acquire(blocking=False)
        order.append(number)
        lock.release()

    with Crew(Nobody()) as crew:
        for number in range(5):
            crew.start(str(number), work, number)
    assert order == list(range(5))


def test_what_was_not_seen_of_a_fit_is_told_when_it_is_done() -> None:
    """The watch of a fit in another process is silent; its end is reported here."""
    said: list[str] = []
    with Crew(Lines(said.append)) as crew:
        crew.start("far away", copy.copy(crew.watch).stage, "far away", 3)
    assert said == ["far away: done"]


def test_a_failure_ends_the_others_and_is_what_is_raised() -> None:
    """The error of the fit that failed is raised, whichever result is waited for, and all others stop."""
    begun = Event()

    def fail() -> None:
        assert begun.wait(PATIENCE)
        raise DivergedError("the loss is nan")

    ended = Event()
    with pytest.raises(DivergedError, match="the loss is nan"):
        beside_endless(fail, begun, ended)
    assert ended.wait(PATIENCE)


def test_a_failure_is_raised_for_every_result_that_there_is_not() -> None:
    """Who waits for another call after the failure is told of it, and a result from before it is kept."""

    def fail() -> None:
        raise DivergedError("the loss is nan")

    crew = Crew(Nobody())
    before = crew.start("before", int, "1")
    assert before.result() == 1
    failed, beside = crew.start("fails", fail), crew.start("beside it", int, "2")
    for job in (failed, beside):
        with pytest.raises(DivergedError, match="the loss is nan"):
            job.result()
    after = crew.start("after", int, "3")
    with pytest.raises(DivergedError, match="the loss is nan"):
        after.result()
    assert before.result() == 1


def test_an_interruption_ends_every_fit() -> None:
    """Ctrl-C in the thread that waits stops those that work at their next check."""
    begun, ended = Event(), Event()

    def interrupt() -> None:
        assert begun.wait(PATIENCE)
        _thread.interrupt_main()

    with pytest.raises(KeyboardInterrupt):
        beside_endless(interrupt, begun, ended)
    assert ended.wait(PATIENCE)
