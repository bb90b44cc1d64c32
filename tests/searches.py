"""A search that takes a second."""

from dataclasses import replace

from training import catalogue, data
from training.search import Search, parse


def quick_search() -> Search:
    """The lecture's small network, for a few epochs."""
    recipe = catalogue.recipe("lecture-gre", "admission")
    quick = replace(recipe, fit=replace(recipe.fit, epochs=5))
    settings = tuple(parse(text) for text in ("rate=0.01..10", "hidden=2|3,2"))
    return Search(quick, data.read("admission"), settings, "holdout", seed=0)
