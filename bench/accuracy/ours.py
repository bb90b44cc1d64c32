"""Our own side of the tables: what `train evaluate` says of every protocol, as lines of a file.

python -m bench.accuracy.ours                    # everything, in the place of what was there
python -m bench.accuracy.ours --only p1 rolling
"""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from bench.accuracy.lines import RESULTS, Lines


@dataclass(frozen=True)
class Run:
    """One call of `train evaluate`; recipe None is the task's own, partitions is how often cv is done."""

    task: str
    protocol: str
    recipe: str | None = None
    partitions: int = 1

    def command(self) -> list[str]:
        """The command line."""
        recipe = [] if self.recipe is None else ["--recipe", self.recipe]
        call = [sys.executable, "-m", "training", "evaluate", self.task]
        often = [] if self.partitions == 1 else ["--partitions", str(self.partitions)]
        return [*call, "--protocol", self.protocol, *recipe, *often, "--json"]


RUNS = (
    Run("bikes", "p1"),
    Run("bikes", "p1_refit"),
    Run("bikes", "p2", recipe="bikes-days"),
    Run("bikes", "p3"),
    Run("bikes", "rolling"),
    Run("admission", "cv", partitions=50),
)


def evaluate(run: Run) -> list[dict[str, Any]]:
    """A line a split: its metrics and, where there is one, its interval."""
    done = subprocess.run(run.command(), check=True, capture_output=True, text=True)
    answer = json.loads(done.stdout)
    key = {"task": run.task, "protocol": run.protocol, "recipe": answer.get("recipe", run.recipe)}
    return [
        {**key, "split": split["name"], **split["metrics"], "interval": split.get("interval")}
        for split in answer["splits"]
    ]


def main() -> None:
    """Run `train evaluate` and put its answers in the place of the old ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="protocols; by default all")
    options = parser.parse_args()
    kept = Lines(RESULTS / "ours.jsonl")
    for run in RUNS:
        if not options.only or run.protocol in options.only:
            kept.replace(evaluate(run), task=run.task, protocol=run.protocol)
            print(*run.command()[2:], flush=True)


if __name__ == "__main__":
    main()
