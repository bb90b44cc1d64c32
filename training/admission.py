"""The recipe of the product's admission model.

With 400 rows prior knowledge matters most, so the recipe states it instead of searching for it:

- The answer rises with GRE and GPA and falls with rank (`signs`). It is nearly a logistic regression: a
  linear skip, to which eight bounded hidden units add a little.
- The step from rank 1 to 2 need not equal that from 3 to 4, so the rank enters twice, as it is and as its
  logarithm, both with a falling effect.
- One standard deviation of a field changes the log odds by little. The prior of its weight has a standard
  deviation of 0.25; twice that is what Cohen (1988) calls a medium effect, half a standard deviation
  between the two groups. The eight hidden units, with 0.125 each, together may bend the answer by about
  as much.
- The members differ in their priors (anchors) and in their data (bootstrap weights), and their spread
  is the uncertainty. 32 members forecast just as well; 128 make the spread smooth.

How much the prior matters, and what would be gained by choosing it inside every fold, is in
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
