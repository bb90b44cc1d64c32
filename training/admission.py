"""The recipe of the product's admission model."""

from models.features import Number
from training.fit import FitSettings
from training.prior import Prior
from training.recipes import Recipe

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
