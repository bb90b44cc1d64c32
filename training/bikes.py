"""The recipes of the product's bikes models."""

from dataclasses import replace

from models.features import Category, Number
from training.distil import Student
from training.fit import FitSettings
from training.kriging import Kriging
from training.recipes import Recipe

_N_DAYS = 731

BIKES = Recipe(
    name="bikes",
    task="bikes",
    description="8 networks, half of them on square roots and half on logarithms of casual and "
    "registered rentals, whose sum is the forecast; one network that has learned their answers "
    "answers in their place",
    columns=(
        Number("day_index"),
        Number("sin_year"),
        Number("cos_year"),
        Number("sin_half_year"),
        Number("cos_half_year"),
        Number("day_off", 0, 1),
        Number("federal_only", 0, 1),
        Number("away", 0, 1),
        Number("sun", -8, 8),
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
        Category(("hour", "day_type"), (24, 8)),
        Category(("weather",), (4,)),
    ),
    targets=("casual", "registered"),
    links=("sqrt",) * 4 + ("log",) * 4,
    crossover=30.0,
    hidden=(64, 32),
    skip=True,
    input_gain=0.25,
    fit=FitSettings(rate=5e-3, batch_size=256, epochs=15, schedule="cosine", average_epochs=5),
    student=Student(),
)
"""A forecast: everything that it learns also applies to days that it has not seen."""

BIKES_DAYS = replace(
    BIKES,
    name="bikes-days",
    description="8 networks that know each day of 2011 and 2012 by its own level, and what they leave "
    "over in the hours around: fills gaps between hours that were seen, and is no forecast",
    columns=(
        *BIKES.columns,
        Category(("day",), (_N_DAYS,)),
        Category(("week",), (_N_DAYS // 7 + 1,)),
    ),
    links=("power",) * 4 + ("log",) * 4,
    hidden=(16, 32),
    kriging=Kriging(Category(("day", "hour"), (_N_DAYS, 24)), shared=0.7, fades=2.5),
    fills_gaps=True,
    interval_link="power",
    student=None,
    fit=replace(BIKES.fit, epochs=25, average_epochs=8, weight_decay=3e-5),
)
"""An interpolation: the level of a day is learned from its other hours. Dates outside 2011 and 2012
count as the nearest day. The first layer is small, because the bundle stores a weight for each of its
units and every hour."""
