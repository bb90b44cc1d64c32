"""Parts of a data set, as data sets."""

from dataclasses import replace

from models.arrays import IntArray
from training.data import Dataset


def part_of(dataset: Dataset, rows: IntArray) -> Dataset:
    """The given rows of a data set alone."""
    targets = {name: values[rows] for name, values in dataset.targets.items()}
    return replace(dataset, columns=dataset.take(rows), targets=targets)
