"""Who watches a training: nobody, a terminal with bars, or a log with plain lines."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from training.fit import Check

OnCheck = Callable[[Check], None]


class Watch(Protocol):
    """Is told of every fit."""

    def stage(self, title: str, epochs: int) -> AbstractContextManager[OnCheck]:
        """A fit of at most `epochs`; what it gives is called after every check of the losses."""


class Nobody:
    """Watches nothing."""

    @contextmanager
    def stage(self, title: str, epochs: int) -> Iterator[OnCheck]:
        """See `Watch`."""
        del title, epochs
        yield lambda _: None


class Lines:
    """A line at the end of every fit, for a log."""

    def __init__(self, say: Callable[[str], object] | None = None) -> None:
        self.say = say or (lambda text: print(text, file=sys.stderr, flush=True))  # noqa: T201

    @contextmanager
    def stage(self, title: str, epochs: int) -> Iterator[OnCheck]:
        """See `Watch`."""
        checks: list[Check] = []
        yield checks.append
        last = f"epoch {checks[-1].epoch} of {epochs}: {losses(checks[-1])}" if checks else "done"
        self.say(f"{title}: {last}")


class Bars:
    """A bar a fit, with its losses and the time left."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def stage(self, title: str, epochs: int) -> Iterator[OnCheck]:
        """See `Watch`."""
        columns = (
            TextColumn("{task.description:<32}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[losses]:<34}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console) as progress:
            bar = progress.add_task(title, total=epochs, losses="")

            def on_check(check: Check) -> None:
                progress.update(bar, completed=check.epoch, losses=losses(check))

            yield on_check
            progress.update(bar, total=progress.tasks[bar].completed or epochs)


def losses(check: Check) -> str:
    """The losses of a check in words."""
    said = f"loss {check.training:.4f}"
    return said if check.validation is None else f"{said}, validation {check.validation:.4f}"


def watch_for(console: Console) -> Watch:
    """Bars in a terminal, plain lines elsewhere."""
    return Bars(console) if console.is_terminal else Lines()
