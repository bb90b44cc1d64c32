"""Recipes: everything that distinguishes one training from another, as frozen data."""

from dataclasses import dataclass, field

from models.features import Category, Column
from training.distil import Student
from training.fit import FitSettings
from training.kriging import Kriging
from training.prior import Prior


@dataclass(frozen=True)
class Recipe:
    """How a model of a task is trained.

    columns : what the networks read, see `models.features`.
    targets : columns of the data set; their sum is the answer.
    links : the link of each member, a name in `models.links.LINKS`; as many members as links.
    crossover : the answer above which the members on other links weigh more than those on logarithms, see
        `models.model.Head`; 0: all weigh the same.
    hidden : units of each hidden layer; any number of layers.
    standardise_target : True for a squared error: the networks learn the linked targets, standardised.
        False if the loss or the output's activation contains the link itself.
    input_gain : factor of the first layer's initial weights; below 1 a network starts smoother.
    prior : of the weights, for an anchored ensemble; None for plain random weights.
    kriging : how the networks' residuals are carried over to neighbouring hours, see `training.kriging`
        (it needs a skip); None for a recipe that is asked about other days.
    fills_gaps : True for an interpolation between hours that it saw, False for a forecast of later days;
        decides which rows are held out to calibrate the intervals, see `training.intervals`.
    interval_link : the scale on which the intervals of a quantity are symmetric, a name in
        `models.links.LINKS`.
    bootstrap : whether each member weights the rows at random, exponentially with mean 1 (Bayesian
        bootstrap, Rubin 1981).
    student : a single network that learns the ensemble's answers and answers in its place, see
        `training.distil`; None: the ensemble answers itself.
    """

    name: str
    task: str
    description: str
    columns: tuple[Column, ...]
    targets: tuple[str, ...]
    links: tuple[str, ...]
    hidden: tuple[int, ...]
    crossover: float = 0.0
    activation: str = "silu"
    output_activation: str = "identity"
    skip: bool = False
    standardise_target: bool = True
    input_gain: float = 1.0
    prior: Prior | None = None
    kriging: Kriging | None = None
    fills_gaps: bool = False
    interval_link: str = "sqrt"
    bootstrap: bool = False
    student: Student | None = None
    fit: FitSettings = field(default_factory=FitSettings)

    @property
    def n_inputs(self) -> int:
        """How many inputs of the networks `columns` make."""
        return sum(column.size if isinstance(column, Category) else 1 for column in self.columns)
