"""CPU time of a training step: ours, PyTorch's, scikit-learn's, and that of the matrix products alone.

    env -u OPENBLAS_CORETYPE OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m bench.training.speed

All contenders take turns in one process, round after round, so that a busy machine slows each alike. A
time is the median over the rounds, a ratio the median of the rounds' ratios. Writes results/steps.json.
"""

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch

from bench.training import contenders
from bench.training.contenders import OURS, Case, Run
from training import lecture
from training.bikes import BIKES

RESULTS = Path(__file__).parent / "results"
NETWORKS = (((30,), 128), ((128, 64), 128), ((256, 128, 64), 256))
CASES = (
    *(Case(lecture.BIKES, *network, "tanh") for network in NETWORKS),
    *(Case(lecture.BIKES, *network, "silu") for network in NETWORKS),
    Case(BIKES, (128, 64), 128, "silu"),
)


def microseconds(run: Run) -> float:
    """CPU time of one step."""
    start = time.process_time()
    n_steps = run()
    return (time.process_time() - start) / n_steps * 1e6


def measured(case: Case, rounds: int) -> dict[str, Any]:
    """Of each contender the median time and the quartiles of its ratio to ours."""
    runs = contenders.of(case)
    times = {name: np.empty(rounds) for name in runs}
    for i in range(rounds):
        for name, run in runs.items():
            times[name][i] = microseconds(run)
    ratios = {name: np.quantile(of / times[OURS], [0.25, 0.5, 0.75]) for name, of in times.items()}
    return {
        "network": "-".join(map(str, case.hidden)),
        "batch": case.batch_size,
        "activation": case.activation,
        "inputs": case.recipe.name,
        "n_inputs": contenders.n_inputs(case),
        "microseconds": {name: round(float(np.median(of)), 1) for name, of in times.items()},
        "ratio": {name: [round(float(q), 2) for q in of] for name, of in ratios.items()},
    }


def processor() -> str:
    """What /proc/cpuinfo calls it, where there is one."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def vectors() -> str:
    """The widest vector instructions that NumPy found: names alone do not tell a processor's kind."""
    found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    return str(found[-1]) if found else "none"


def main() -> None:
    """Measure every case and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    if "OPENBLAS_CORETYPE" in os.environ:
        sys.exit("OPENBLAS_CORETYPE chooses the kernels of the products: unset it")
    torch.set_num_threads(1)
    found = []
    for case in CASES:
        found.append(measured(case, options.rounds))
        print(found[-1], flush=True)
    versions = {
        "numpy": np.__version__,
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
    }
    RESULTS.mkdir(exist_ok=True)
    results = {
        "processor": processor(),
        "vectors": vectors(),
        "versions": versions,
        "rounds": options.rounds,
        "load": round(os.getloadavg()[0], 1),
        "cases": found,
    }
    (RESULTS / "steps.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
