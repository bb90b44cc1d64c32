"""The recipe of the product's admission model.

With 400 rows nearly everything is prior knowledge, so the recipe states it instead of searching for it:

- The answer rises with GRE and GPA and falls with rank (`signs`), and it is nearly a logistic regression: a
  linear skip, to which eight bounded hidden units add a little.
- The difference between ranks 1 and 2 need not be that between 3 and 4, so the rank enters twice, as it is
  and as its logarithm, both falling.
- One standard deviation of a field changes the log odds by little: its prior has a standard deviation of
  0.25, so that twice that is what Cohen (1988) calls a medium effect, half a standard deviation between
  the two groups. All eight hidden units together, of 0.125 each, may bend the answer by about as much.
- The members differ in what they believe beforehand (anchors) and in what they see (bootstrap weights),
  and their spread is the uncertainty. 128 of them make it smooth; 32 forecast as well.

How much the prior matters, and what it is worth to choose it inside every fold instead:
`bench/accuracy/PRIOR.md`.
"""

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
        epochs=40,
        schedule="cosine",
        signs=(1, 1, -1, -1),
    ),
)
