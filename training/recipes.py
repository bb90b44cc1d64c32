"""Recipes: everything that distinguishes one training from another, as frozen data."""

from dataclasses import dataclass, field

from models.features import Category, Column, Number
from training.fit import FitSettings
from training.prior import Prior


@dataclass(frozen=True)
class Recipe:
    """How a model of a task is trained.

    columns : what the networks read, see `models.features`.
    targets : columns of the data set; their sum is the answer.
    links : the link of each member, a name in `models.links.LINKS`; as many members as links.
    hidden : units of each hidden layer, any number of them.
    standardise_target : True for a squared error: the networks learn the linked targets,
        standardised. False where the loss or the output's activation holds the link itself.
    input_gain : factor of the first layer's initial weights: below 1 a network starts smoother.
    prior : of the weights, for an anchored ensemble; None for random weights without one.
    bootstrap : whether each member sees the rows with random weights of its own, exponential with
        mean 1 (Bayesian bootstrap, Rubin 1981).
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
    input_gain: float = 1.0
    prior: Prior | None = None
    bootstrap: bool = False
    fit: FitSettings = field(default_factory=FitSettings)


ADMISSION = Recipe(
    name="admission",
    task="admission",
    description="128 networks of one hidden layer beside a linear skip, anchored and bootstrapped; "
    "the answer rises with GRE and GPA and falls with rank by construction",
    columns=(
        Number("gre", 200, 800),
        Number("gpa", 0, 4),
        Number("rank", 1, 4),
        Number("log_rank", 0, 1.5),
    ),
    targets=("admitted",),
    links=("logit",) * 128,
    hidden=(8,),
    activation="tanh",
    skip=True,
    standardise_target=False,
    prior=Prior(skip=0.25, hidden=0.25, hidden_bias=1.0, output=0.125),
    bootstrap=True,
    fit=FitSettings(
        loss="cross_entropy",
        rate=0.05,
        batch_size=0,
        epochs=60,
        schedule="cosine",
        signs=(1, 1, -1, -1),
    ),
)


BIKES = Recipe(
    name="bikes",
    task="bikes",
    description="8 networks, half of them on square roots and half on logarithms of casual and "
    "registered rentals, whose sum is the forecast",
    columns=(
        Number("day_index"),
        Number("sin_year"),
        Number("cos_year"),
        Number("sin_half_year"),
        Number("cos_half_year"),
        Number("day_off", 0, 1),
        Number("away", 0, 1),
        Number("temperature"),
        Number("temperature", 15, 25),
        Number("temperature", 25, 50),
        Number("feels_like"),
        Number("humidity"),
        Number("humidity", 60, 80),
        Number("humidity", 80, 100),
        Number("wind_speed"),
        Number("wind_speed", 20, 60),
        Category(("hour", "working_day"), (24, 2)),
        Category(("hour", "day_type"), (24, 7)),
        Category(("weather",), (4,)),
    ),
    targets=("casual", "registered"),
    links=("sqrt",) * 4 + ("log",) * 4,
    hidden=(64, 32),
    skip=True,
    input_gain=0.25,
    fit=FitSettings(rate=5e-3, batch_size=256, epochs=15, schedule="cosine", average_epochs=5),
)

RECIPES = {recipe.name: recipe for recipe in (BIKES, ADMISSION)}
