"""Results as JSON lines: a file that only grows, so that a run can stop and go on at any time."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
METRICS = ("mae", "rmse", "rmsle")
CRITERIA: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "RMSE": lambda trial: trial["rmse"],
    "RMSE x RMSLE": lambda trial: trial["rmse"] * trial["rmsle"],
}
"""By what a peer's best trial is chosen: each gives a line of the table."""


class Lines:
    """A JSON-lines file that only grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text() if path.exists() else ""
        self.lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]

    def add(self, **line: object) -> None:
        """Append a line and write it through."""
        self.lines.append(line)
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def replace(self, lines: Sequence[dict[str, Any]], **keys: object) -> None:
        """Put `lines` in the place of those that have these values."""
        old = self.where(**keys)
        self.lines = [line for line in self.lines if line not in old] + list(lines)
        self.path.write_text("".join(json.dumps(line) + "\n" for line in self.lines))

    def where(self, **keys: object) -> list[dict[str, Any]]:
        """The lines that have these values."""
        return [line for line in self.lines if all(line.get(k) == v for k, v in keys.items())]


def winners(trials: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The best trial by each criterion; none where there are no trials."""
    if not trials:
        return {}
    return {name: min(trials, key=of) for name, of in CRITERIA.items()}
