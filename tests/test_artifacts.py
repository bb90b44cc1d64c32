"""The models that the repository carries belong to its code: `make artifacts` makes them anew."""

import json

import numpy as np
import pytest

from models import bundle
from models.bundle import ARTIFACTS, FORMAT_VERSION
from models.features import Category, Number
from models.tasks import TASKS
from training import catalogue, data, product, trainer

LARGEST = 1_000_000
"""Bytes of a carried bundle, at most."""


@pytest.mark.parametrize("name", TASKS)
def test_carried_bundle_is_of_this_code(name: str) -> None:
    """Format, recipe and features are those of the code: else `make artifacts`."""
    carried = bundle.load(ARTIFACTS / name)
    recipe = catalogue.recipe(name, name)
    assert carried.manifest["format"] == FORMAT_VERSION
    assert carried.manifest["recipe"] == json.loads(json.dumps(product.described(recipe)))
    encoder = carried.model.encoder
    assert encoder.numbers == tuple(c for c in recipe.columns if isinstance(c, Number))
    assert encoder.categories == tuple(c for c in recipe.columns if isinstance(c, Category))


@pytest.mark.parametrize("name", TASKS)
def test_carried_bundle_is_of_the_embedded_data(name: str) -> None:
    """What is served out of the box was trained on the data that the repository carries."""
    carried = bundle.load(ARTIFACTS / name)
    dataset = data.read(name)
    assert carried.manifest["data"] == {
        "file": dataset.source,
        "sha256": dataset.digest,
        "rows": len(dataset),
    }
    assert carried.model.ranges == trainer.ranges(dataset, np.arange(len(dataset)))


@pytest.mark.parametrize("name", TASKS)
def test_carried_bundle_is_small(name: str) -> None:
    """A clone stays quick: a carried bundle has less than a megabyte."""
    assert sum(file.stat().st_size for file in (ARTIFACTS / name).iterdir()) < LARGEST
