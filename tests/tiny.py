"""Small random models of each task: the whole form of a trained one, in a millisecond."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.features import Category, Column, Number, fit_encoder
from models.interval import Interval
from models.model import Head, Model
from models.network import Layer, Network
from models.tasks import TASKS

Rows = dict[str, NDArray[Any]]

LEVELS = np.array([0.5, 0.8, 0.9, 0.95, 0.99])

BIKES_OUTPUTS = 2

COLUMNS: dict[str, tuple[Column, ...]] = {
    "bikes": (
        Number("day_index", None, 200.0),
        Number("day_index", 200.0, 500.0),
        Number("day_index", 500.0, None),
        Number("temperature", None, 15.0),
        Number("temperature", 15.0, 25.0),
        Number("temperature", 25.0, None),
        Number("feels_like"),
        Number("humidity"),
        Number("wind_speed"),
        Number("sin_year"),
        Number("cos_year"),
        Category(("hour", "working_day"), (24, 2)),
        Category(("weather",), (4,)),
        Category(("weekday",), (7,)),
    ),
    "admission": (Number("gre"), Number("gpa"), Category(("rank_code",), (4,))),
}


def rows(task: str, n_rows: int, rng: np.random.Generator) -> Rows:
    """Random rows of a task by column, some of them without the optional fields."""
    if task == "admission":
        return {
            "gre": rng.integers(220, 801, n_rows),
            "gpa": rng.uniform(2.0, 4.0, n_rows).round(2),
            "rank": rng.integers(1, 5, n_rows),
        }
    temperature = rng.uniform(-8.0, 39.0, n_rows).round(1)
    feels_like = temperature + rng.normal(0.0, 2.0, n_rows).round(1)
    return {
        "timestamp": np.datetime64("2011-01-01T00", "h") + rng.integers(0, 731 * 24, n_rows),
        "temperature": temperature,
        "feels_like": np.where(rng.random(n_rows) < 0.2, np.nan, feels_like),
        "humidity": rng.uniform(10.0, 100.0, n_rows).round(),
        "wind_speed": rng.uniform(0.0, 50.0, n_rows).round(1),
        "weather": rng.integers(0, 4, n_rows).astype(np.int8),
        "holiday": rng.integers(-1, 2, n_rows).astype(np.int8),
    }


def network(
    sizes: tuple[int, ...], members: int, *, skip: bool, rng: np.random.Generator
) -> Network:
    """A random network of float32: SiLU hidden layers, identity output."""

    def normal(*shape: int) -> NDArray[np.float32]:
        return rng.normal(0.0, shape[1] ** -0.5, shape).astype(np.float32)

    n_layers = len(sizes) - 1
    layers = tuple(
        Layer(
            normal(members, sizes[i], sizes[i + 1]),
            normal(members, 1, sizes[i + 1]),
            "silu" if i < n_layers - 1 else "identity",
        )
        for i in range(n_layers)
    )
    return Network(layers, normal(members, sizes[0], sizes[-1]) if skip else None)


def model(task: str, seed: int = 0) -> Model:
    """A random model: bikes with two outputs, links sqrt and log with a crossover; admission on logits."""
    rng = np.random.default_rng(seed)
    bikes = task == "bikes"
    background = rows(task, 64, rng)
    variables = TASKS[task].derive(background).astype(np.float64)
    encoder = fit_encoder(TASKS[task].variables, COLUMNS[task], variables)
    outputs = BIKES_OUTPUTS if bikes else 1

    def head(links: tuple[str, ...], n_out: int, mean: float, scale: float) -> Head:
        shape = (len(links), 1, n_out)
        body = network((encoder.n_inputs, 12, 8, n_out), len(links), skip=not bikes, rng=rng)
        crossover = 20.0 if n_out == BIKES_OUTPUTS else 0.0
        return Head(body, links, np.full(shape, mean), np.full(shape, scale), crossover)

    links = ("sqrt", "log", "sqrt") if bikes else ("logit",) * 3
    return Model(
        task=TASKS[task],
        encoder=encoder,
        head=head(links, outputs, *((4.0, 1.5) if bikes else (0.0, 1.0))),
        spread=head(("log",), 1, 1.0, 0.2) if bikes else None,
        interval=Interval("sqrt" if bikes else "logit", LEVELS, LEVELS * 1.5, LEVELS * 1.8),
        ranges=_ranges(task, background),
        threshold=None if bikes else 0.5,
        background=background,
    )


def _ranges(task: str, background: Rows) -> dict[str, tuple[float, float]]:
    ranged = [f.name for f in TASKS[task].fields if f.low is not None]
    numbers = {name: background[name].astype(np.float64) for name in ranged}
    return {name: (float(np.nanmin(x)), float(np.nanmax(x))) for name, x in numbers.items()}
