"""The lecture's networks as recipes: the same code as the best ones, with other settings.

GRE: two standardised scores and the rank as one-hot, one hidden layer and an output of sigmoids,
half the squared error, plain gradient descent. Bikes: one-hot season, weather, month, hour and
weekday beside standardised quantities, hidden sigmoids, a linear output, half the squared error of
the standardised rentals, plain gradient descent on mini-batches.
"""

from dataclasses import replace

from models.features import Category, Column, Number
from training.fit import FitSettings
from training.recipes import Recipe

GRE = Recipe(
    name="lecture-gre",
    task="admission",
    description="the lecture's GRE network: two hidden sigmoids, full-batch gradient descent",
    columns=(Number("gre"), Number("gpa"), Category(("rank_code",), (4,))),
    targets=("admitted",),
    links=("identity",),
    hidden=(2,),
    activation="sigmoid",
    output_activation="sigmoid",
    standardise_target=False,
    fit=FitSettings(
        loss="half_mse",
        optimizer="sgd",
        rate=1.0,
        batch_size=0,
        epochs=4000,
        check_every=10,
        on_rise="stop",
    ),
)
GRE_SGD = replace(
    GRE,
    name="lecture-gre-sgd",
    description="the lecture's GRE network, one row at a time",
    fit=replace(GRE.fit, rate=0.1, batch_size=1, epochs=50, on_rise="warn"),
)
GRE_MINIBATCH = replace(
    GRE,
    name="lecture-gre-minibatch",
    description="the lecture's GRE network on mini-batches of 32 rows (MBGD)",
    fit=replace(GRE.fit, rate=0.5, batch_size=32, epochs=300, on_rise="warn"),
)

_ONE_HOT: tuple[Column, ...] = (
    Category(("season",), (4,)),
    Category(("weather",), (4,)),
    Category(("month",), (12,)),
    Category(("hour",), (24,)),
    Category(("weekday",), (7,)),
)
_QUANTITIES: tuple[Column, ...] = (
    Number("day_index", 364, 365),  # the year: 0 until 2011-12-31, 1 from 2012-01-01 on
    Number("working_day"),
    Number("temperature"),
    Number("humidity"),
    Number("wind_speed"),
)

BIKES = Recipe(
    name="lecture-bikes",
    task="bikes",
    description="the lecture's bike network: one hidden layer of 20 sigmoids",
    columns=(*_QUANTITIES, *_ONE_HOT),
    targets=("rentals",),
    links=("identity",),
    hidden=(20,),
    activation="sigmoid",
    fit=FitSettings(
        loss="half_mse",
        optimizer="sgd",
        rate=0.3,
        batch_size=128,
        epochs=150,
        patience=10,
    ),
)
BIKES_DEEP = replace(
    BIKES,
    name="lecture-bikes-deep",
    description="the lecture's bike network with three hidden layers of sigmoids",
    hidden=(32, 16, 8),
)

RECIPES = (GRE, GRE_SGD, GRE_MINIBATCH, BIKES, BIKES_DEEP)
