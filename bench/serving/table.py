"""Write RESULTS.md from results.json.

python -m bench.serving.table
"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent

HEAD = """# Serving: ours beside bare ASGI and bare FastAPI

Written by `python -m bench.serving.table`; what was measured, and how to measure it again, is in
[the bench's README](../README.md). Processor time is that of all threads of the server's processes,
a median over the rounds.
"""

SINGLE = {
    "asgi": "bare ASGI: read the body, answer a fixed text",
    "fastapi": "bare FastAPI: one pydantic body, a fixed answer",
    "fastapi_typed": "bare FastAPI with a response model",
    "bikes": "**ours, bikes**",
    "bikes_different": "**ours, bikes**, 1,000 different hours in turn",
    "admission": "**ours, admission**",
    "refused": "**ours, bikes**, refused: one place, 32 connections",
}

ONE_ROW = ("predict_one", "together", "networks", "products", "predict", "remember")


def main() -> None:
    """Write the table."""
    found = json.loads((FOLDER / "results.json").read_text())
    parts = [HEAD, where(found), single(found["cases"]), batches(found), rest(found)]
    (FOLDER / "RESULTS.md").write_text("\n".join(parts))


def where(found: dict[str, Any]) -> str:
    """On what, and how busy it was."""
    machine, options = found["machine"], found["options"]
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    return (
        f"{machine['cores']} cores of {machine['cpu']}; Python {machine['python']}; {libraries}. "
        f"{options['rounds']} rounds of {options['seconds']} s. Load average of the machine before "
        f"and after: {found['load_before']:.1f} and {found['load_after']:.1f}. (wrk and one server "
        "are a load of two; what is beyond is other work, which disturbs rates, latencies and times "
        "more than processor time.)\n"
    )


def single(cases: dict[str, Any]) -> str:
    """The table of single rows."""
    lines = [
        "## One row\n",
        "With validation, warnings, interval, metrics, log line and request id.\n",
        "| server | µs CPU a request | of FastAPI | of ASGI | requests/s | median ms | 99 % ms |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    fastapi, asgi = cases["fastapi"]["cpu"], cases["asgi"]["cpu"]
    for name, title in SINGLE.items():
        of = cases[name]
        lines.append(
            f"| {title} | {of['cpu']:.1f} | {of['cpu'] / fastapi:.2f} | {of['cpu'] / asgi:.2f} "
            f"| {of['rate']:,.0f} | {of['p50']:.2f} | {of['p99']:.2f} |"
        )
    return "\n".join([*lines, ""])


def batches(found: dict[str, Any]) -> str:
    """The table of batches of 1,000 rows; "around" is all but the forward pass."""
    cases, passes = found["cases"], found["inside"]["batch"]
    fastapi, forward = passes["fastapi"], passes["forward"]
    served, bare = cases["fastapi_batch"]["cpu"] / 1e3, f"{fastapi / 1e3:.2f}"
    lines = [
        "## A batch of 1,000 rows\n",
        "| server | µs CPU a row over HTTP | in process | around the forward pass | of FastAPI |",
        "|---|--:|--:|--:|--:|",
        f"| bare FastAPI: a list of pydantic rows | {served:.2f} | {bare} | {bare} | 1 |",
    ]
    for name in ("instances", "inputs", "csv"):
        served, around = cases[name]["cpu"] / 1e3, passes[name] - forward
        lines.append(
            f"| **ours**, {name} | {served:.2f} | {passes[name] / 1e3:.2f} "
            f"| {around / 1e3:.2f} | {around / fastapi:.2f} |"
        )
    dense, numbers = passes["products"], passes["products_of_numbers"]
    holds = found["inside"]["longest_ms"].items()
    lines += [
        f"\nThe forward pass of 1,000 rows takes {forward:.0f} µs. The dense float32 products of the",
        f"same shapes, one-hot columns included, take {dense:.0f} µs: it runs at",
        f"{dense / forward:.0%} of their rate. Without the one-hot columns, which are never multiplied,",
        f"they take {numbers:.0f} µs ({numbers / forward:.0%}).",
        "\nLongest time for which a batch of 10,000 rows keeps the event loop, in ms of processor time:",
        "; ".join(f"{name} {ms:.1f}" for name, ms in holds) + ".\n",
    ]
    return "\n".join(lines)


def rest(found: dict[str, Any]) -> str:
    """The forward pass of one row, explanations, memory, start, workers."""
    memory, starts, workers = (found[key] for key in ("memory", "starts", "workers"))
    lines = [
        "## One row inside the process\n",
        "| model | whole answer, µs | of eight, one | networks | dense products | `predict` | new hour |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, of in found["inside"]["one_row"].items():
        times = [of[key] for key in ONE_ROW]
        lines.append(f"| {name} | " + " | ".join(f"{time:.1f}" for time in times) + " |")
    explain, served = found["inside"]["explain"], found["cases"]["explain"]["cpu"] / 1e3
    lines += [
        "\n## Explanations\n",
        f"One bikes row over {explain['background']} background rows takes",
        f"{explain['median_ms']:.1f} ms of processor time (median; the longest",
        f"{explain['longest_ms']:.1f}), over HTTP {served:.1f} ms. Against the same values over 1,000",
        f"other rows of the data a contribution is off by {explain['error']:.1f} rentals in the mean",
        f"(their mean size is {explain['size']:.1f}), the baseline by {explain['baseline_error']:.1f}.",
        "\n## Memory, start, workers\n",
        f"One worker: {memory['fresh']:.0f} MB resident when ready, {memory['after']:.0f} MB after the",
        f"load above, {memory['peak']:.0f} MB at its peak. Ready {starts['seconds']:.2f} s after its",
        f"start ({starts['cpu']:.2f} s of processor time).",
        *_workers(workers),
    ]
    return "\n".join(lines)


WORKERS = {
    "bikes": "**ours, bikes**",
    "admission": "**ours, admission**",
    "instances": "**ours**, batches of 1,000 instances",
    "explain": "**ours**, explained",
    "asgi": "bare ASGI, uvicorn's workers",
}

PARTS = {
    "S": ("cpu", ".1f"),
    "W": ("load", ".1f"),
    "S'": ("cpu_two", ".1f"),
    "W'": ("load_two", ".1f"),
    "cores": ("cores", ".2f"),
    "idle": ("idle", ".1%"),
    "others": ("others", ".1%"),
}
"""The columns that say where the time goes: what they show, and how."""


def _workers(workers: dict[str, Any]) -> list[str]:
    measured = {name: workers[name] for name in WORKERS if name in workers}
    lines = [
        "\nTwo workers on two cores, wrk included. With S µs of processor time a request in the server and",
        "W in wrk, one worker answers 1/S a second and two at most 2/(S + W): 2S/(S + W) times as many.",
        "The less a request costs, the less a second worker can add. S' and W' are those with two workers;",
        "*idle* and *others* are the shares of both cores that nobody and other work used; *cores* is how",
        f"many the one worker used. Load average before and after: {workers['load_before']:.1f} and",
        f"{workers['load_after']:.1f}.\n",
        "| server | connections | one/s | two/s | ratio | best | 2S/(S + W) | "
        + " | ".join(PARTS)
        + " |",
        "|---" + "|--:" * (6 + len(PARTS)) + "|",
    ]
    for name, of in measured.items():
        parts = [format(of[key], form) if key in of else "" for key, form in PARTS.values()]
        lines.append(
            f"| {WORKERS[name]} | {of['connections']} | {of['one']:,.0f} | {of['two']:,.0f} "
            f"| {of['ratio']:.2f} | {of['best_ratio']:.2f} | {of['bound']:.2f} | {' | '.join(parts)} |"
        )
    counted = (
        f"{of['counted']:,.0f} of {of['sent']:,.0f}" for of in measured.values() if "counted" in of
    )
    if "both" in workers:
        lines += [
            f"\nA loop of Python on both cores does {workers['both']:.2f} times what it does on one:",
            "2 where the cores share nothing.",
        ]
    return [
        *lines,
        "\nOf the requests that wrk counted, the metrics of both workers together count, by line:",
        "; ".join(counted) + " (wrk does not count those in flight when it stops).\n",
    ]


if __name__ == "__main__":
    main()
