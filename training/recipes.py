"""Recipes: everything that distinguishes one training from another, as frozen data."""

from dataclasses import dataclass, field

from models.features import Column
from training.fit import FitSettings


@dataclass(frozen=True)
class Recipe:
    """How a model of a task is trained.

    columns : what the networks read, see `models.features`.
    targets : columns of the data set; their sum is the answer.
    links : the link of each member, a name in `models.links.LINKS`; as many members as links.
    hidden : units of each hidden layer, any number of them.
    standardise_target : whether the linked targets are standardised (a regression) or not.
    """

    name: str
    task: str
    description: str
    columns: tuple[Column, ...]
    targets: tuple[str, ...]
    links: tuple[str, ...]
    hidden: tuple[int, ...]
    activation: str = "silu"
    output_activation: str = "identity"
    skip: bool = False
    standardise_target: bool = True
    fit: FitSettings = field(default_factory=FitSettings)
