"""The recipes of the product's bikes models."""

from models.features import Category, Number
from training.fit import FitSettings
from training.recipes import Recipe

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
