"""Write RESULTS.md from what `speed` and `product` measured.

python -m bench.training.table
"""

import json
from pathlib import Path
from statistics import fmean, median
from typing import Any

FOLDER = Path(__file__).parent
OURS, PRODUCTS, SCIKIT = "ours", "products alone", "scikit-learn"
TORCH = ("PyTorch eager", "PyTorch compiled")

HEAD = """# Training speed

Written by `python -m bench.training.table`; what is measured, and how to measure it again, is in
[the bench's README](../README.md).
"""
STEPS = """## A training step

CPU time of one step on one thread, in µs: the median of {rounds} interleaved rounds on an {processor}
with {vectors} vectors (NumPy {numpy}, PyTorch {torch}, scikit-learn {scikit-learn}) under a load of
{load}. *Products alone* are the matrix products of a step and nothing else, dense: a lower bound for
whoever multiplies zeros. The ratios are how many times faster ours is (median of the rounds, their
quartiles in brackets); against *products alone* it is the share of their speed that is left.
"""


def steps(found: dict[str, Any]) -> str:
    """The times and the ratios of every case."""
    names = [OURS, PRODUCTS, *TORCH, SCIKIT]
    head = ["network", "inputs", "batch", "activation", *names, "PyTorch's best / ours"]
    head += ["scikit-learn / ours", "products / ours"]
    rows = []
    for case in found["cases"]:
        times, ratios = case["microseconds"], case["ratio"]
        best = min(TORCH, key=lambda name: times[name])
        rows.append(
            [case["network"], f"{case['n_inputs']} ({case['inputs']})", case["batch"]]
            + [case["activation"], *(_time(times.get(name)) for name in names)]
            + [_ratio(ratios.get(name)) for name in (best, SCIKIT, PRODUCTS)]
        )
    values = {**found, **found["versions"]}
    return STEPS.format_map(values) + "\n" + table(head, rows)


def _time(microseconds: float | None) -> str:
    return "" if microseconds is None else f"{microseconds:.0f}"


def _ratio(quartiles: list[float] | None) -> str:
    if quartiles is None:
        return ""
    low, middle, high = quartiles
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def product(found: dict[str, Any]) -> str:
    """One network, and the commands."""
    one = found["one_network"]
    rmse = f"{fmean(one['rmse']):.1f} ({min(one['rmse']):.1f} to {max(one['rmse']):.1f})"
    rows = [
        [f"`{of['command']}`", f"{median(of['wall']):.1f}", f"{median(of['cpu']):.1f}", ""]
        for of in found["commands"]
    ]
    rows.append(
        [
            "one network of `bikes` to P3, one thread",
            f"{median(one['wall']):.2f}",
            f"{median(one['cpu']):.2f}",
            f"RMSE {rmse}, {len(one['rmse'])} seeds",
        ]
    )
    text = (
        f"## Whole trainings\n\nSeconds, medians, on {found['cores']} cores under a load of "
        f"{found['load']}: where that is above the number of cores, wall is more than a training takes "
        "alone.\n\n"
    )
    return text + table(["", "wall", "CPU", ""], rows)


def table(head: list[Any], rows: list[list[Any]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def page() -> str:
    """The whole page."""
    found = [
        json.loads((FOLDER / "results" / f"{name}.json").read_text())
        for name in ("steps", "product")
    ]
    return "\n".join([HEAD, steps(found[0]), product(found[1])])


def main() -> None:
    """Write the page."""
    (FOLDER / "RESULTS.md").write_text(page())


if __name__ == "__main__":
    main()
