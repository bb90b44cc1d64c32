"""Fits that do not need one another, side by side on the cores that there are, or on a cluster's.

joblib's threads: NumPy lets go of the interpreter while it multiplies, so two of them fit 1.9 times as fast
as one does. They share the rows, need no file, no lock and no copy of anything, and an interruption reaches
all of them. Within `training.cluster.backend` the same fits go to the workers of a Dask cluster. Each fit
has a random generator of its own, so that it gives the same bits wherever it runs and however many run
beside it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar

import joblib

from training.fit import Check
from training.progress import Nobody, OnCheck, Watch

P = ParamSpec("P")
T = TypeVar("T")


class Stopped(Exception):  # noqa: N818  # no error: what ends a fit that nobody waits for any more
    """Another fit failed, or the training was interrupted."""


class Job(Generic[T]):
    """A call that a crew does; `result` waits for it, and for all that its crew has been given."""

    def __init__(self, crew: "Crew", title: str, call: tuple[Any, ...]) -> None:
        self.title, self.call = title, call
        self._crew = crew
        self._results: list[T] = []

    def done(self, result: T) -> None:
        """Note what the call has returned."""
        self._results.append(result)

    def result(self) -> T:
        """What the call returns. Raises what it raises, or what another one raised before."""
        if not self._results:
            self._crew.work()
        return self._results[0]


class Crew:
    """Does what it is given side by side; with the first failure all the rest is given up.

    watch : to be handed to every fit: at its next check a fit that nobody waits for any more ends. Of a fit
        in another process it is told when that is done.
    """

    def __init__(self, watch: Watch) -> None:
        self._stop = Event()
        self._waiting: list[Job[Any]] = []
        self.watch = _Stoppable(watch, self._stop)

    def start(
        self, title: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> Job[T]:
        """`function(*args, **kwargs)`, with all that is started until a `result()` is asked for.

        title : of the first stage of which the function tells the watch.
        """
        job: Job[T] = Job(self, title, joblib.delayed(function)(*args, **kwargs))
        self._waiting.append(job)
        return job

    def work(self) -> None:
        """Do all that was started and is not done."""
        jobs, self._waiting = self._waiting, []
        parallel = joblib.Parallel(
            n_jobs=-1, prefer="threads", batch_size=1, pre_dispatch="all", return_as="generator"
        )
        for job, result in zip(jobs, parallel(job.call for job in jobs), strict=True):
            job.done(result)
            self.watch.tell(job.title)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Stop the fits that still run after an error, and do what nobody has asked for without one."""
        if error is not None:
            self._stop.set()
        elif self._waiting:
            self.work()


class _Stoppable:
    """A watch that ends a fit once `stop` is set. In another process nobody watches."""

    def __init__(self, watch: Watch, stop: Event) -> None:
        self._watch, self._stop = watch, stop
        self._told: set[str] = set()

    def __reduce__(self) -> tuple[type[Nobody], tuple[()]]:
        return Nobody, ()

    @contextmanager
    def stage(self, title: str, epochs: int) -> Iterator[OnCheck]:
        """See `Watch`."""
        self._go_on()
        self._told.add(title)
        with self._watch.stage(title, epochs) as told:

            def on_check(check: Check) -> None:
                self._go_on()
                told(check)

            yield on_check

    def tell(self, title: str) -> None:
        """A fit is done: what was not seen of it is told now."""
        if title not in self._told:
            with self._watch.stage(title, 1):
                self._told.add(title)

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Stopped
