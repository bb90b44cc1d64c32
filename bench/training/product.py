"""How long the product's trainings take: one network to an accuracy, and the whole commands.

    env -u OPENBLAS_CORETYPE python -m bench.training.product

Writes results/product.json. The commands run as a person calls them, on all cores of the machine; one
network is fitted on one thread. Times of the clock say little on a busy machine: CPU time is beside them.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

SEEDS = 5
RUNS = 3
RESULTS = Path(__file__).parent / "results"


def one_network() -> dict[str, Any]:
    """A single network of the recipe `bikes` on P3: its RMSE and time, seed by seed.

    `train evaluate bikes --protocol p3 --set links=sqrt` fits it too (and what its interval needs).
    """
    import numpy as np  # noqa: PLC0415  # after the number of threads is set

    from training import data, metrics, protocols  # noqa: PLC0415
    from training.bikes import BIKES  # noqa: PLC0415
    from training.pipeline import answers, fit_rows  # noqa: PLC0415

    recipe = replace(BIKES, links=("sqrt",))
    dataset = data.read("bikes")
    (split,) = protocols.splits(dataset, "p3")
    rentals = dataset.targets["rentals"][split.test]
    errors, wall, cpu = [], [], []
    for seed in range(SEEDS):
        clock, used = time.perf_counter(), time.process_time()
        fitted = fit_rows(recipe, dataset, split.train, None, np.random.default_rng(seed))
        wall.append(time.perf_counter() - clock)
        cpu.append(time.process_time() - used)
        errors.append(metrics.regression(rentals, answers(fitted, dataset, split.test))["rmse"])
    return {"rmse": errors, "wall": wall, "cpu": cpu}


def command(*words: str) -> dict[str, Any]:
    """Wall and CPU seconds of a command of `train`, as often as RUNS says."""
    wall, cpu = [], []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as store:
            clock, used = time.perf_counter(), _of_children()
            call = [sys.executable, "-m", "training", *words, "--store", store]
            subprocess.run(call, check=True, capture_output=True)
            wall.append(time.perf_counter() - clock)
            cpu.append(_of_children() - used)
    return {"command": " ".join(["train", *words]), "wall": wall, "cpu": cpu}


def _of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure, and write the results."""
    if "OPENBLAS_CORETYPE" in os.environ:
        sys.exit("OPENBLAS_CORETYPE chooses the kernels of the products: unset it")
    # or each command compiles pandas anew, for a second or more; a person's keeps what is compiled
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    commands = [command("bikes"), command("admission")]
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    load = round(os.getloadavg()[0], 1)
    found = {
        "cores": os.cpu_count(),
        "load": load,
        "one_network": one_network(),
        "commands": commands,
    }
    for one in commands:
        print(one["command"], f"{statistics.median(one['wall']):.1f} s")
    print(found["one_network"])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "product.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
