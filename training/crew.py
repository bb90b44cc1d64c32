"""Independent fits of one training in parallel, on the cores of this machine or of a cluster.

They run in joblib's threads: NumPy releases the interpreter's lock while it multiplies, so two threads are
1.9 times as fast as one. Threads share the rows without files, locks or copies, and an interruption reaches
all of them. Within `training.cluster.backend` the same fits go to the workers of a Dask cluster. Each fit
has its own random generator, so its result has the same bits wherever it runs and whatever runs beside it.
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


class Stopped(Exception):  # noqa: N818  # not an error: it ends a fit whose result is no longer needed
    """Another fit failed, or the training was interrupted."""


class Job(Generic[T]):
    """A call handed to a crew; `result` runs everything that the crew was given, and returns its result."""

    def __init__(self, crew: "Crew", title: str, call: tuple[Any, ...]) -> None:
        self.title, self.call = title, call
        self._crew = crew
        self._results: list[T] = []

    def done(self, result: T) -> None:
        """Store what the call has returned."""
        self._results.append(result)

    def result(self) -> T:
        """The call's return value. Raises what the call raises, or what another one raised before it."""
        if not self._results:
            self._crew.work()
        return self._results[0]


class Crew:
    """Runs calls in parallel; after the first failure all others are abandoned.

    watch : to be passed to every fit. It ends an abandoned fit at its next check, and reports a fit that
        ran in another process when that is done.
    """

    def __init__(self, watch: Watch) -> None:
        self._stop = Event()
        self._waiting: list[Job[Any]] = []
        self._failure: BaseException | None = None
        self.watch = _Stoppable(watch, self._stop)

    def start(
        self, title: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> Job[T]:
        """Hand over `function(*args, **kwargs)`, to run in parallel with whatever else is handed over.

        title : of the first stage that the function reports to the watch.
        """
        job: Job[T] = Job(self, title, joblib.delayed(function)(*args, **kwargs))
        self._waiting.append(job)
        return job

    def work(self) -> None:
        """Run all calls that were handed over and are not done. Raises the first failure, also later on."""
        if self._failure is not None:
            raise self._failure
        jobs, self._waiting = self._waiting, []
        parallel = joblib.Parallel(
            n_jobs=-1, prefer="threads", batch_size=1, pre_dispatch="all", return_as="generator"
        )
        try:
            for job, result in zip(jobs, parallel(job.call for job in jobs), strict=True):
                job.done(result)
                self.watch.tell(job.title)
        except BaseException as error:
            self._failure = error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """After an error stop the fits that still run; otherwise run what is left."""
        if error is not None:
            self._stop.set()
        elif self._waiting:
            self.work()


class _Stoppable:
    """A watch that ends a fit once `stop` is set. Pickled it is `Nobody`: other processes have no watch."""

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
        """Report a fit as done, if its watch was in another process."""
        if title not in self._told:
            with self._watch.stage(title, 1):
                self._told.add(title)

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Stopped
