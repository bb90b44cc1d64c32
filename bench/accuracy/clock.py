"""A deadline for long runs: what is finished by then is kept, the rest is left for the next run."""

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime


def add_deadline(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], float]:
    """Add `--until HH:MM`; the result reads the parsed option as seconds since the epoch."""
    parser.add_argument("--until", default="", help="HH:MM UTC of today: nothing starts after it")

    def deadline(options: argparse.Namespace) -> float:
        if not options.until:
            return float("inf")
        hour, minute = map(int, options.until.split(":"))
        return datetime.now(UTC).replace(hour=hour, minute=minute, second=0).timestamp()

    return deadline


def late(until: float) -> bool:
    """Whether the deadline has passed."""
    return time.time() > until
