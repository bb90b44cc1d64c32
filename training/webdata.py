"""The data files of the service's pages, made here because the service has neither data nor training.

`python -m training.webdata` writes them to `service/web/pages/data`; a test checks that the files there are
up to date.

    rentals/2011-01.json ...    what happened, hour by hour, with the weather: a file a month
    exercise.json               the lecture's exercise, each number with its formula
    peers.json                  the metrics of the peers, by task, protocol and name
    datasets.json               the SHA-256 of the data set that these files are about, by task
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from models.arrays import IntArray
from models.bikes import WEATHERS
from training import data, report, trace

FOLDER = Path(__file__).parent.parent / "service" / "web" / "pages" / "data"

CREDIT = (
    "Bike Sharing, Hadi Fanaee-T and Joao Gama (2013), UCI Machine Learning Repository, "
    "doi:10.24432/C5W894, CC BY 4.0; converted to the units of the service, blank weather codes filled "
    "from the hour before."
)
_DECIMALS = {"temperature": 1, "feels_like": 1, "humidity": 0, "wind_speed": 1}


def files() -> dict[str, str]:
    """The files by name."""
    return {
        "exercise.json": _text(exercise()),
        "peers.json": _text(peers()),
        "datasets.json": _text({name: data.SCHEMAS[name].digest for name in peers()}),
        **dict(_rentals()),
    }


def write(folder: Path = FOLDER) -> None:
    """Write the files."""
    for name, text in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def exercise() -> dict[str, Any]:
    """The exercise: its start values, its lines, and the loss before and after the step."""
    worked = trace.work()
    return {
        "start": {
            "x1": trace.X[0],
            "x2": trace.X[1],
            "y": trace.Y,
            "w1": trace.W1[0],
            "w2": trace.W1[1],
            "v": trace.W2,
            "rate": trace.RATE,
        },
        "steps": [asdict(step) | {"exact": _digits(step.exact)} for step in worked.steps],
        "loss_before": _digits(worked.loss_before),
        "loss_after": _digits(worked.loss_after),
    }


def peers() -> dict[str, Any]:
    """The peers' metrics, as the bench has measured them; empty if it has not."""
    return json.loads(report.PEERS.read_text("utf-8")) if report.PEERS.exists() else {}


def _digits(number: float) -> float:
    """A number rounded to the digits on which all machines agree."""
    return float(f"{number:.12g}")


def _rentals() -> Iterator[tuple[str, str]]:
    """For each month of the embedded data a file with its days, each as the columns of its hours."""
    dataset = data.read("bikes")
    hours = dataset.columns["timestamp"]
    days = hours.astype("datetime64[D]")
    for month in np.unique(days.astype("datetime64[M]")):
        of_month = days.astype("datetime64[M]") == month
        content = {
            str(day): _day(dataset, np.flatnonzero(days == day))
            for day in np.unique(days[of_month])
        }
        about = {"credit": CREDIT, "weathers": WEATHERS}
        yield f"rentals/{month}.json", _text({**about, "days": content})


def _day(dataset: data.Dataset, rows: IntArray) -> dict[str, list[Any]]:
    columns = dataset.take(rows)
    hours = columns["timestamp"]
    return {
        "hour": (hours - hours.astype("datetime64[D]")).astype(int).tolist(),
        "rentals": dataset.targets["rentals"][rows].astype(int).tolist(),
        **{name: [_short(x, n) for x in columns[name]] for name, n in _DECIMALS.items()},
        "weather": columns["weather"].tolist(),
    }


def _short(number: float, decimals: int) -> float:
    return round(float(number), decimals or None)


def _text(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"


if __name__ == "__main__":
    write(*map(Path, sys.argv[1:]))
