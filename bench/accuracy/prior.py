"""How much the prior of the admission recipe matters, and what choosing it inside every fold gives.

The recipe's prior is fixed. Here its standard deviations (but that of the hidden biases, which only places
the hidden units) are multiplied by 1/2 to 2. Beside each factor alone stand two ways to settle it without
the rows that are scored, by a 5-fold cross-validation inside every training part: `chosen` takes the factor
of the smallest inner log loss; `averaged` weighs the factors' answers by exp(-inner log loss), summed over
the rows (pseudo-Bayesian model averaging: Geisser and Eddy 1979; Yao et al. 2018).

    python -m bench.accuracy.prior --partitions 50    # results/prior.jsonl, PRIOR.md
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.accuracy.clock import add_deadline, late
from bench.accuracy.lines import RESULTS, Lines
from models.arrays import FloatArray, IntArray
from training import data, metrics, protocols
from training.admission import ADMISSION
from training.pipeline import answers, fit_rows
from training.recipes import Recipe

FACTORS = (0.5, 0.7, 1.0, 1.4, 2.0)
INNER_FOLDS = 5
METRICS = ("log_loss", "brier", "auc", "slope", "intercept")
TABLE = Path(__file__).with_name("PRIOR.md")
HEAD = """# The prior of the admission recipe

Written by `python -m bench.accuracy.prior`, whose head says what is compared. Means over partitions of
stratified 10-fold, out of fold, with ensembles of 32 networks; a factor multiplies the prior's standard
deviations, and 1.0 is the recipe's. Logistic regression on the same folds is in [RESULTS.md](RESULTS.md).

| prior | partitions | log loss | Brier | AUC | slope | intercept |
|---|---|---|---|---|---|---|
"""
MEMBERS = 32
"""A quarter of the recipe's: as accurate, and the spread over them is not asked for here."""


def with_factor(factor: float) -> Recipe:
    """The recipe with another prior."""
    prior = ADMISSION.prior
    assert prior is not None  # noqa: S101  # the recipe has one
    scaled = replace(
        prior, skip=prior.skip * factor, hidden=prior.hidden * factor, output=prior.output * factor
    )
    return replace(ADMISSION, links=("logit",) * MEMBERS, prior=scaled)


def said(dataset: data.Dataset, train: IntArray, test: IntArray) -> FloatArray:
    """The probability of each of `test` with each factor, (n_factors, n_test)."""
    return np.stack(
        [
            answers(
                fit_rows(with_factor(factor), dataset, train, None, np.random.default_rng(0)),
                dataset,
                test,
            )
            for factor in FACTORS
        ]
    )


def inner_losses(dataset: data.Dataset, train: IntArray, rng: np.random.Generator) -> FloatArray:
    """The log loss of each factor summed over the rows `train`, out of fold: (n_factors,)."""
    target = dataset.targets["admitted"]
    fold = protocols.stratified_folds(target[train], rng, INNER_FOLDS)
    losses = np.zeros(len(FACTORS))
    for k in range(INNER_FOLDS):
        held_out = train[fold == k]
        p = said(dataset, train[fold != k], held_out)
        losses -= np.log(np.where(target[held_out] == 1.0, p, 1.0 - p)).sum(axis=1)
    return losses


def partition(dataset: data.Dataset, seed: int) -> list[dict[str, object]]:
    """A line for each factor, for the chosen one and for the average."""
    target = dataset.targets["admitted"]
    probability = np.empty((len(FACTORS) + 2, len(dataset)))
    picked = []
    for number, split in enumerate(protocols.splits(dataset, "cv", seed=seed)):
        losses = inner_losses(dataset, split.train, np.random.default_rng([seed, number]))
        weights = np.exp(losses.min() - losses)
        p = said(dataset, split.train, split.test)
        probability[:, split.test] = [*p, p[losses.argmin()], weights @ p / weights.sum()]
        picked.append(FACTORS[losses.argmin()])
    names = [*map(str, FACTORS), "chosen", "averaged"]
    return [
        {"prior": name, "partition": seed, **metrics.classification(target, p)}
        | ({"picked": picked} if name == "chosen" else {})
        for name, p in zip(names, probability, strict=True)
    ]


def main() -> None:
    """Add the lines of every partition that has none yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, default=50)
    until = add_deadline(parser)
    options = parser.parse_args()
    dataset = data.read("admission")
    done = Lines(RESULTS / "prior.jsonl")
    for seed in range(options.partitions):
        if late(until(options)):
            break
        if not done.where(partition=seed):
            for line in partition(dataset, seed):
                done.add(**line)
    TABLE.write_text(page(done))


def page(done: Lines) -> str:
    """The means over the partitions, as a table in Markdown."""
    rows = [HEAD]
    for name in dict.fromkeys(line["prior"] for line in done.lines):
        lines = done.where(prior=name)
        means = [np.mean([line[metric] for line in lines]) for metric in METRICS]
        rows.append(f"| {name} | {len(lines)} | " + " | ".join(f"{m:.4f}" for m in means) + " |\n")
    picked = [factor for line in done.where(prior="chosen") for factor in line["picked"]]
    counts = ", ".join(f"{factor} {picked.count(factor)} times" for factor in FACTORS)
    return "".join(rows) + f"\n`chosen` picked {counts}.\n"


if __name__ == "__main__":
    main()
