"""What a peer is told about an hour, and which hours it learns from and is judged by.

The rows and splits are the project's own (`training.data`, `training.protocols`); the information
is what the request fields give: the date and hour with what follows from them, and the weather.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.accuracy import special
from models.arrays import FloatArray, IntArray
from training import data, protocols

COLUMNS = (
    "hour",
    "weekday",
    "month",
    "season",
    "holiday",
    "working_day",
    "effective_working_day",
    "away",
    "federal_only",
    "christmas",
    "thanksgiving",
    "weather",
    "temperature",
    "feels_like",
    "humidity",
    "wind_speed",
)
"""What every peer sees; growth (`year`, `trend`), `day_of_year`, `sun` are settings of a trial."""
SATURDAY = 5
CATEGORIES = ("hour", "weekday", "month", "season", "weather")
"""What may be handed to a peer as unordered categories; `day` joins it in P2."""

TUNING_ORIGINS = (360, 400, 440)
"""First days of the windows that choose the settings of `rolling`: they end before day 480."""


@dataclass(frozen=True)
class Hours:
    """A table of hours: `columns` are (n_rows,) float64, `rentals` is (n_rows,)."""

    columns: Mapping[str, FloatArray]
    rentals: FloatArray

    def __len__(self) -> int:
        return len(self.rentals)

    def take(self, rows: IntArray) -> "Hours":
        """The given rows."""
        return Hours({name: of[rows] for name, of in self.columns.items()}, self.rentals[rows])


@dataclass(frozen=True)
class Study:
    """One search for settings and the splits that its winner is scored on.

    tuning : the splits of a trial. Its score is taken on their validation rows, or on the test rows
        where `on_test` says that those lie before everything that is scored.
    scoring : the splits whose mean is the result.
    day_category : whether a peer may know the calendar day (interpolation, P2).
    """

    name: str
    tuning: tuple[protocols.Split, ...]
    scoring: tuple[protocols.Split, ...]
    on_test: bool = False
    day_category: bool = False


def read() -> tuple[data.Dataset, Hours]:
    """The embedded data set, and the same rows as the peers see them."""
    dataset = data.read("bikes")
    hours = dataset.columns["timestamp"]
    days = hours.astype("datetime64[D]")
    values = {name: dataset.columns[name] for name in ("temperature", "humidity", "wind_speed")}
    felt = dataset.columns["feels_like"]
    values["feels_like"] = np.where(np.isnan(felt), values["temperature"], felt)
    values["weather"] = dataset.columns["weather"]
    values["holiday"] = dataset.columns["holiday"]
    values["hour"] = (hours - days).astype(np.int64)
    values |= calendar(days)
    values["working_day"] = (values["weekday"] < SATURDAY) & (values["holiday"] == 0)
    derived = dataset.task.derive(dataset.columns).T
    ours = dict(zip(dataset.task.variables, derived, strict=True))
    values["effective_working_day"] = ours["working_day"]
    values |= {name: ours[name] for name in ("away", "federal_only", "sun")}
    floats = {name: np.asarray(of, dtype=np.float64) for name, of in values.items()}
    return dataset, Hours(floats, dataset.targets["rentals"])


def calendar(days: NDArray[np.datetime64]) -> dict[str, NDArray[np.int64]]:
    """What follows from the date; a season is UCI's 0 (winter) to 3 (autumn)."""
    years = days.astype("datetime64[Y]")
    months = days.astype("datetime64[M]")
    month = (months - years).astype(np.int64) + 1
    of_year = month * 100 + (days - months).astype(np.int64) + 1
    return {
        "weekday": (days.astype(np.int64) + 3) % 7,  # 1970-01-01 was a Thursday; Monday is 0
        "month": month - 1,
        "year": years.astype(np.int64) + 1970 - 2011,
        "season": np.searchsorted([321, 621, 923, 1221], of_year, side="right") % 4,
        "trend": (days - np.datetime64("2011-01-01")).astype(np.int64),
        "day_of_year": (days - years).astype(np.int64),
        "christmas": special.from_christmas(days),
        "thanksgiving": special.from_thanksgiving(days),
    }


def studies(dataset: data.Dataset) -> dict[str, Study]:
    """The studies by name: p1, p3, rolling, and p2-0 to p2-4."""
    made = {
        name: Study(name, tuple(splits), tuple(splits))
        for name in ("p1", "p3")
        for splits in [protocols.splits(dataset, name)]
    }
    days = protocols.days_of(dataset)
    made["rolling"] = Study(
        "rolling",
        tuple(protocols.window(f"tuning {origin}", days, origin) for origin in TUNING_ORIGINS),
        tuple(protocols.splits(dataset, "rolling")),
        on_test=True,
    )
    for i, split in enumerate(protocols.splits(dataset, "p2")):
        made[f"p2-{i}"] = Study(f"p2-{i}", (split,), (split,), day_category=True)
    return made


def refit(study: Study) -> protocols.Split:
    """The scoring split of P1 with its validation rows added to the training rows."""
    (split,) = study.scoring
    train = np.concatenate([split.train, split.validation])
    return replace(split, name=f"{split.name}_refit", train=train)
