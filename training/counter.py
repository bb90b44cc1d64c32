"""Progress of many similar things: a bar in a terminal, an occasional line elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 10.0
_WHOLE = 10.0

_console = Console(stderr=True, highlight=False, markup=False)


@dataclass
class Counter:
    """Counts `what` up to `total`, of which `before` were done by an earlier run."""

    what: str
    total: int
    before: int
    done: int = 0
    began: float = field(default_factory=time.monotonic)
    said: float = 0.0
    bar: Progress | None = None

    def advance(self, count: int = 1) -> None:
        """Count `count` more, and show the progress."""
        self.done += count
        rate = self.done / max(time.monotonic() - self.began, 1e-9)
        speed = f"{rate:,.0f}" if rate >= _WHOLE else f"{rate:.2g}"
        if self.bar is not None:
            so_far = self.before + self.done
            self.bar.update(self.bar.task_ids[0], completed=so_far, rate=f"{speed} {self.what}/s")
            return
        now, left = time.monotonic(), self.total - self.before - self.done
        if not self.done:
            return  # a file without rows: there is no rate yet
        if now - self.said >= SECONDS_BETWEEN_LINES or not left:
            self.said = now
            self._say(
                f"{self.before + self.done:,} of {self.total:,} {self.what}, "
                f"{speed} {self.what}/s, {left / rate:.0f} s left"
            )

    def begin(self) -> None:
        """Show how many an earlier run has done."""
        if self.before:
            self._say(f"goes on: {self.before:,} of {self.total:,} {self.what} are there")

    @staticmethod
    def _say(line: str) -> None:
        _console.print(line, soft_wrap=True)


@contextmanager
def counting(what: str, total: int, before: int = 0) -> Iterator[Counter]:
    """A counter of `what` that shows its progress."""
    counter = Counter(what, total, before)
    counter.begin()
    if not _console.is_terminal:
        yield counter
        return
    columns = (
        BarColumn(bar_width=40),
        TextColumn(f"{{task.completed:,.0f}} of {{task.total:,.0f}} {what}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_console) as progress:
        progress.add_task(what, total=total, completed=before, rate="")
        counter.bar = progress
        yield counter
