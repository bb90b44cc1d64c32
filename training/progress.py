"""How a training shows its progress: not at all, as bars in a terminal, or as lines in a log."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Lock
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from training.fit import Check

OnCheck = Callable[[Check], None]


class Watch(Protocol):
    """Shows the progress of fits; called from several threads if they run in parallel."""

    def stage(self, title: str, epochs: int) -> AbstractContextManager[OnCheck]:
        """A context for a fit of at most `epochs`; yields a function to call after every check."""


class Nobody:
    """Shows nothing."""

    @contextmanager
    def stage(self, title: str, epochs: int) -> Iterator[OnCheck]:
        """See `Watch`."""
        del title, epochs
        yield lambda _: None


class Lines:
    """A line at the end of every fit, for a log."""

    def __init__(self, say: Callable[[str], object] | None = None) -> None:
        # one write, so that threads do not mix lines
        self.say = say or (lambda text: sys.stderr.write(f"{text}\n"))

    @contextmanager
    def stage(self, title: str, epochs: int) -> Iterator[OnCheck]:
        """See `Watch`."""
        checks: list[Check] = []
        yield checks.append
        last = f"epoch {checks[-1].epoch} of {epochs}: {losses(checks[-1])}" if checks else "done"
        self.say(f"{title}: {last}")


class Bars:
    """A bar for each fit, with its losses and the time left; parallel fits share the screen."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._lock = Lock()
        self._shown: Progress | None = None
        self._running = 0

    @contextmanager
    def stage(self, title: str, epochs: int) -> Iterator[OnCheck]:
        """See `Watch`."""
        progress = self._begin()
        try:
            bar = progress.add_task(title, total=epochs, losses="")
            done = 0

            def on_check(check: Check) -> None:
                nonlocal done
                done = check.epoch
                progress.update(bar, completed=done, losses=losses(check))

            yield on_check
            progress.update(bar, total=done or epochs)
            progress.stop_task(bar)
        finally:
            self._end(progress)

    def _begin(self) -> Progress:
        """The set of bars on the screen; a console can only show one at a time."""
        with self._lock:
            self._running += 1
            if self._shown is None:
                self._shown = Progress(*_columns(), console=self.console)
                self._shown.start()
            return self._shown

    def _end(self, progress: Progress) -> None:
        with self._lock:
            self._running -= 1
            if not self._running:
                self._shown = None
                progress.stop()


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.description:<32}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[losses]:<34}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )


def losses(check: Check) -> str:
    """The losses of a check in words."""
    said = f"loss {check.training:.4f}"
    return said if check.validation is None else f"{said}, validation {check.validation:.4f}"


def watch_for(console: Console) -> Watch:
    """Bars in a terminal, plain lines elsewhere."""
    return Bars(console) if console.is_terminal else Lines()
