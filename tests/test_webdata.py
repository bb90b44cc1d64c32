"""The data of the pages: they are those that the project's own code writes."""

import json
from pathlib import Path

import pytest

from training import data, trace, webdata


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    """The files as they are written now."""
    return webdata.files()


def test_data_of_the_pages_are_those_that_are_written_now(written: dict[str, str]) -> None:
    """No number of a page is typed by hand: `python -m training.webdata` makes each again."""
    found = {
        path.relative_to(webdata.FOLDER).as_posix(): path.read_text(encoding="utf-8")
        for path in webdata.FOLDER.rglob("*.json")
    }
    assert found == written, "run: python -m training.webdata"


def test_rentals_of_the_pages_are_those_of_the_data_set(written: dict[str, str]) -> None:
    """Every hour of the data is there, and none twice: the sums agree."""
    months = [json.loads(text) for name, text in written.items() if name.startswith("rentals/")]
    days = [day for month in months for day in month["days"].values()]
    assert (len(months), len(days)) == (24, 731)
    total = int(data.read("bikes").targets["rentals"].sum())
    assert sum(sum(day["rentals"]) for day in days) == total == 3_292_679
    assert sum(len(day["hour"]) for day in days) == 17_379
    assert all("CC BY 4.0" in month["credit"] for month in months)


def test_exercise_of_the_pages_is_the_lectures(written: dict[str, str]) -> None:
    """The numbers of the backpropagation page begin where the lecture begins, and end where it ends."""
    exercise = json.loads(written["exercise.json"])
    assert exercise["start"]["w1"] == trace.W1[0]
    rounded = {step["symbol"]: step["rounded"] for step in exercise["steps"]}
    assert (rounded["ŷ"], rounded["δo"], rounded["ΔW"]) == (0.512, 0.122, 0.0302)


def test_files_are_written_where_one_says(tmp_path: Path, written: dict[str, str]) -> None:
    """`write` makes each file, folders included."""
    webdata.write(tmp_path)
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.json")} == set(written)
