"""How often the interval of the admission probability holds the true probability.

Applications are simulated from a known logistic model: the one that fits the data best, and the same with
its effects (the logit's distance from its mean) halved and made half as large again. Each simulated data
set is treated as a real one: the recipe learns from it, and the interval's width is calibrated on
simulations of its own, from what was learned from that data set alone (`training.simulate.inflation`).

    python -m bench.accuracy.coverage --data-sets 40    # writes COVERAGE.md
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.activations import sigmoid
from models.arrays import BoolArray, FloatArray
from models.links import LINKS
from training import data, simulate
from training.admission import ADMISSION
from training.baselines import logistic_probability
from training.calibrate import ensemble_spread
from training.pipeline import fit_rows
from training.progress import Nobody

LEVELS = (0.5, 0.8, 0.9, 0.95)
AT_90 = LEVELS.index(0.9)
EFFECTS = (0.5, 1.0, 1.5)
TABLE = Path(__file__).with_name("COVERAGE.md")
HEAD = """# Intervals of the admission probability, where the truth is known

Written by `python -m bench.accuracy.coverage`, whose head says how. Over {n} simulated data sets of 400
applications for each strength of the effects (1 is that of the data set): the share of the true
probabilities inside the interval, over its 400 applications; its standard error at 90 %, by data sets;
the mean width at 90 %; the mean inflation; and the share inside at 90 % for the fifths of the applications
with the lowest to the highest true probability.
"""


@dataclass(frozen=True)
class Held:
    """Of one simulated data set: which truths each level's interval holds, (n_levels, n_rows).

    width : mean, at 90 %.
    """

    inside: BoolArray
    width: float
    inflation: float


def held(truth: FloatArray, dataset: data.Dataset, rng: np.random.Generator) -> Held:
    """Draw a data set, learn from it, calibrate, and look where the truth lies."""
    rows = np.arange(len(dataset))
    drawn = simulate.draw(dataset, rows, truth, rng)
    fitted = fit_rows(ADMISSION, drawn, rows, None, rng)
    inflation = simulate.inflation(ADMISSION, drawn, rows, rng, Nobody())
    inputs = fitted.encoder.encode(dataset.task.derive(dataset.columns))
    members = fitted.head.member_values(inputs)
    value, spread = members.mean(axis=0), LINKS["logit"].to_link(members).std(axis=0)
    interval = ensemble_spread("logit", inflation)
    ends = [interval.ends(value, spread, level, (0.0, 1.0)) for level in LEVELS]
    inside = np.array([(low <= truth) & (truth <= high) for low, high in ends])
    low, high = ends[AT_90]
    return Held(inside, float((high - low).mean()), inflation)


def line(effects: float, dataset: data.Dataset, n_data_sets: int) -> str:
    """A line of the table."""
    rows = np.arange(len(dataset))
    logit = LINKS["logit"].to_link(logistic_probability(dataset, rows, rows))
    truth = sigmoid(logit.mean() + effects * (logit - logit.mean()))
    found = [held(truth, dataset, np.random.default_rng([7, i])) for i in range(n_data_sets)]
    inside = np.stack([one.inside for one in found])
    by_set = inside[:, AT_90].mean(axis=1)
    fifths = np.array_split(np.argsort(truth, kind="stable"), 5)
    cells = [f"{effects}", *(f"{share:.3f}" for share in inside.mean(axis=(0, 2)))]
    cells += [f"{by_set.std(ddof=1) / np.sqrt(n_data_sets):.3f}"]
    cells += [f"{np.mean([one.width for one in found]):.3f}"]
    cells += [f"{np.mean([one.inflation for one in found]):.2f}"]
    cells += [", ".join(f"{inside[:, AT_90][:, fifth].mean():.2f}" for fifth in fifths)]
    return "| " + " | ".join(cells) + " |\n"


def main() -> None:
    """Measure every strength and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-sets", type=int, default=40)
    options = parser.parse_args()
    dataset = data.read("admission")
    head = ["effects", *(f"{level:.0%}" for level in LEVELS), "error", "width", "inflation"]
    head += ["by fifths"]
    page = [HEAD.format(n=options.data_sets), "\n| " + " | ".join(head) + " |\n"]
    page += ["|" + "---|" * len(head) + "\n"]
    page += [line(effects, dataset, options.data_sets) for effects in EFFECTS]
    TABLE.write_text("".join(page))


if __name__ == "__main__":
    main()
