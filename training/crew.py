"""Fits that do not need one another, side by side on the cores that there are.

Threads: NumPy lets go of the interpreter while it multiplies, so two of them fit 1.9 times as fast as one
does. They share the rows, need no file, no lock and no copy of anything, and an interruption reaches all of
them. Each fit has a random generator of its own, so that it gives the same bits however many run beside it.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

import joblib

from training.fit import Check
from training.progress import OnCheck, Watch

P = ParamSpec("P")
T = TypeVar("T")


class Stopped(Exception):  # noqa: N818  # no error: what ends a fit that nobody waits for any more
    """Another fit failed, or the training was interrupted."""


class Crew:
    """Does what it is given on so many threads; with the first failure all the rest is given up.

    watch : to be handed to every fit: at its next check a fit that nobody waits for any more ends.
    workers : threads; by default the cores that this process may use.
    """

    def __init__(self, watch: Watch, workers: int | None = None) -> None:
        self._stop = Event()
        self._first: BaseException | None = None
        self._threads = ThreadPoolExecutor(workers or joblib.cpu_count())
        self.watch: Watch = _Stoppable(watch, self._stop)

    def start(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """`function(*args, **kwargs)` as soon as a thread is free; its `result()` waits for it."""

        def work() -> T:
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                if not self._stop.is_set():
                    self._first = error
                self._stop.set()
                raise

        return self._threads.submit(work)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Wait for the threads. Raises what failed first, whichever result was waited for."""
        if error is not None:
            self._stop.set()
        self._threads.shutdown(cancel_futures=error is not None)
        if isinstance(error, Stopped) and self._first is not None:
            raise self._first from None


class _Stoppable:
    """A watch that ends a fit once `stop` is set."""

    def __init__(self, watch: Watch, stop: Event) -> None:
        self.watch, self.stop = watch, stop

    @contextmanager
    def stage(self, title: str, epochs: int) -> Iterator[OnCheck]:
        """See `Watch`."""
        self._go_on()
        with self.watch.stage(title, epochs) as told:

            def on_check(check: Check) -> None:
                self._go_on()
                told(check)

            yield on_check

    def _go_on(self) -> None:
        if self.stop.is_set():
            raise Stopped
