"""The data sets: their content, their cleaning, and one clear line for each fault of a file."""

import csv
from pathlib import Path

import numpy as np
import pytest

from models import rows
from models.errors import DataError
from training import data
from training.catalogue import RECIPES

HOUR_HEADER = (
    "instant,dteday,season,yr,mnth,hr,holiday,weekday,workingday,weathersit,temp,atemp,hum,"
    "windspeed,casual,registered,cnt"
)
GOOD_HOURS = (
    "1,2011-01-01,1,0,1,0,0,6,0,1,0.24,0.2879,0.81,0.0,3,13,16",
    "2,2011-01-01,1,0,1,1,0,6,0,2,0.22,0.2727,0.8,0.0,8,32,40",
    "3,2011-01-01,1,0,1,2,0,6,0,1,0.22,0.2727,0.8,0.0,5,27,32",
)


def write(folder: Path, *lines: str) -> Path:
    """A CSV file of these lines."""
    path = folder / "some.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def fault(task: str, path: Path) -> str:
    """The message of the DataError that reading `path` raises."""
    with pytest.raises(DataError) as caught:
        data.read(task, path)
    message = str(caught.value)
    assert "\n" not in message, "a fault is said in one line"
    return message


def test_bikes_are_complete() -> None:
    """The embedded hours are all there, in the order of time, in the units of a request."""
    bikes = data.read("bikes")
    assert len(bikes) == 17_379
    assert rows.fault(bikes.task, bikes.columns) is None
    assert bikes.targets["rentals"].sum() == 3_292_679
    total = bikes.targets["casual"] + bikes.targets["registered"]
    np.testing.assert_array_equal(total, bikes.targets["rentals"])
    assert (np.diff(bikes.columns["timestamp"]) > np.timedelta64(0, "h")).all()
    for field in bikes.task.fields:
        values = bikes.columns[field.name]
        assert type(values) is np.ndarray
        assert values.shape == (17_379,)
        if field.kind == "number":
            assert field.low is not None
            assert field.high is not None
            assert values.min() >= field.low
            assert values.max() <= field.high


def test_outcome_is_the_sum_of_what_a_recipe_learns() -> None:
    """Rentals are those of both kinds of user; whatever a recipe's targets are, one answer is judged."""
    for recipe in RECIPES.values():
        dataset = data.read(recipe.task)
        total = np.sum([dataset.targets[name] for name in recipe.targets], axis=0)
        np.testing.assert_array_equal(dataset.outcome, total, strict=True)


def test_bikes_units() -> None:
    """The file's scaled values become °C, %, and km/h by UCI's formulas."""
    bikes = data.read("bikes")
    first = {name: values[0] for name, values in bikes.columns.items()}
    assert first["timestamp"] == np.datetime64("2011-01-01T00")
    assert first["temperature"] == pytest.approx(0.24 * 47 - 8)
    assert first["feels_like"] == pytest.approx(0.2879 * 66 - 16)
    assert first["humidity"] == pytest.approx(81)
    assert first["wind_speed"] == 0.0
    assert first["weather"] == 0
    assert first["holiday"] == 0
    with (data.DATASETS / "hour.csv").open(encoding="utf-8") as file:
        raw = list(csv.DictReader(file))
    for field, column, scale, offset in (
        ("temperature", "temp", 47, -8),
        ("feels_like", "atemp", 66, -16),
        ("humidity", "hum", 100, 0),
        ("wind_speed", "windspeed", 67, 0),
        ("holiday", "holiday", 1, 0),
    ):
        wanted = np.array([float(row[column]) for row in raw]) * scale + offset
        np.testing.assert_allclose(bikes.columns[field], wanted)


def test_rows_are_in_the_order_of_time_whatever_that_of_the_file(tmp_path: Path) -> None:
    """Every column and every target of a row moves with its hour."""
    lines = [
        f"{i},2011-01-01,1,0,1,{i},{i % 2},6,0,{i},0.{i},0.{i},0.{i},0.{i},{i},{i},{2 * i}"
        for i in (1, 2, 3)
    ]
    in_order, shuffled = (
        data.read("bikes", write(tmp_path, HOUR_HEADER, *(lines[i] for i in order)))
        for order in ((0, 1, 2), (2, 0, 1))
    )
    for of in ("columns", "targets"):
        wanted, found = getattr(in_order, of), getattr(shuffled, of)
        assert wanted.keys() == found.keys()
        for name in wanted:
            np.testing.assert_array_equal(found[name], wanted[name], name)


def test_blank_weather_is_that_of_the_hour_before(tmp_path: Path) -> None:
    """A blank weather code takes the hour before it; at the head of a file, the first known one."""
    blank = [line.replace(",6,0,1,0.2", ",6,0,,0.2") for line in GOOD_HOURS]
    shuffled = write(tmp_path, HOUR_HEADER, blank[2], GOOD_HOURS[1], blank[0])
    bikes = data.read("bikes", shuffled)
    assert bikes.columns["weather"].tolist() == [1, 1, 1]
    assert bikes.targets["rentals"].tolist() == [16, 40, 32]


def test_blank_felt_temperature_stays_missing(tmp_path: Path) -> None:
    """It is an optional field of a request: what fills it there fills it here, and no other hour does."""
    path = write(tmp_path, HOUR_HEADER, GOOD_HOURS[0], GOOD_HOURS[1].replace("0.2727", ""))
    felt = data.read("bikes", path).columns["feels_like"]
    np.testing.assert_allclose(felt, [0.2879 * 66 - 16, np.nan])


def test_all_609_blanks_are_filled() -> None:
    """No weather of the embedded file is left blank, and the counts of codes are those expected."""
    weather = data.read("bikes").columns["weather"]
    assert weather.dtype == np.int8
    assert np.bincount(weather).tolist() == [11_366, 4_586, 1_424, 3]
    raw = (data.DATASETS / "hour.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert sum(line.split(",")[9] == "" for line in raw) == 609


def test_admission_is_complete() -> None:
    """The embedded applications are all there."""
    admission = data.read("admission")
    assert len(admission) == 400
    assert rows.fault(admission.task, admission.columns) is None
    assert admission.targets["admitted"].sum() == 127
    assert admission.columns["gre"].min() == 220
    assert np.bincount(admission.columns["rank"]).tolist() == [0, 61, 151, 121, 67]


def test_a_part_of_the_file_is_a_data_set(tmp_path: Path) -> None:
    """Any CSV of the schema is taken: fewer rows, a byte order mark, another order of columns."""
    path = tmp_path / "part.csv"
    path.write_text("﻿rank,gpa,gre,admit\n4,3.0,500,0\n\n1,4,800,1\n\n", encoding="utf-8")
    admission = data.read("admission", path)
    assert admission.columns["rank"].tolist() == [4, 1]
    assert admission.source == "part.csv"
    assert admission.digest != data.read("admission").digest


def test_spaces_around_the_names_of_columns_do_not_count(tmp_path: Path) -> None:
    """As around the other cells, and as in the files of `train score` and the CSV of requests."""
    path = write(tmp_path, "admit, gre, gpa , rank", "0, 500, 3.0, 4")
    assert data.read("admission", path).columns["gpa"].tolist() == [3.0]
    path = write(tmp_path, "admit,gre, gre,gpa,rank", "0,500,510,3.0,4")
    assert fault("admission", path) == "some.csv: the column gre is there twice"


def test_spaces_around_a_cell_do_not_count(tmp_path: Path) -> None:
    """A date or a word among spaces is read, and spaces alone are a blank: in all cells, no row at all."""
    spaced = GOOD_HOURS[1].replace("2011-01-01", " 2011-01-01 ").replace(",6,0,2,", ",6,0, ,")
    no_row = " ," * HOUR_HEADER.count(",")
    bikes = data.read("bikes", write(tmp_path, HOUR_HEADER, GOOD_HOURS[0], no_row, spaced))
    assert bikes.hours.astype(str).tolist() == ["2011-01-01T00", "2011-01-01T01"]
    assert bikes.columns["weather"].tolist() == [0, 0]


def test_embedded_file_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedded data set that was edited is refused."""
    write(tmp_path, "admit,gre,gpa,rank", "0,500,3.0,2").rename(tmp_path / "admissions.csv")
    monkeypatch.setattr(data, "DATASETS", tmp_path)
    with pytest.raises(DataError, match="embedded data set was changed"):
        data.read("admission")


@pytest.mark.parametrize("column", ["dteday", "hr", "weathersit", "temp", "casual", "cnt"])
def test_missing_column(tmp_path: Path, column: str) -> None:
    """A missing column is named."""
    header = HOUR_HEADER.replace(f",{column}", ",other")
    assert f"column {column} is missing" in fault("bikes", write(tmp_path, header, *GOOD_HOURS))


def test_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """Nobody can know which of the two is meant; of a column that is not read it does not matter."""
    path = write(tmp_path, "admit,gre,gpa,rank,gre", "1,300,3.0,1,800", "0,400,3.5,2,790")
    assert fault("admission", path) == "some.csv: the column gre is there twice"
    path = write(tmp_path, "x,admit,gre,gpa,rank,x,gre.1", "1,1,300,3.0,1,2,9")
    assert data.read("admission", path).columns["gre"].tolist() == [300]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param("2011-01-01", "2011-02-30", "dteday is '2011-02-30', not a date", id="date"),
        pytest.param("2011-01-01", "1950-01-01", "from 1970 to 2100", id="year"),
        pytest.param(",1,1,0,6", ",1,24,0,6", "hr is 24, outside 0 to 23", id="hour"),
        pytest.param(",1,1,0,6", ",1,1.5,0,6", "hr is 1.5, not a whole number", id="half"),
        pytest.param(",6,0,2,", ",6,0,5,", "weathersit is 5, outside 1 to 4", id="weather"),
        pytest.param("0.22,0.27", "24.0,0.27", "temp is 24, outside", id="celsius"),
        pytest.param("0.22,0.27", ",0.27", "temp is blank", id="blank"),
        pytest.param("0.22,0.27", "inf,0.27", "temp is inf, outside", id="infinite"),
        pytest.param("0.22,0.27", "warm,0.27", "temp is 'warm', no number", id="word"),
        pytest.param("0.22,0.27", "NA,0.27", "temp is 'NA', no number", id="NA"),
        pytest.param("8,32,40", "-8,48,40", "casual is -8, outside", id="negative"),
        pytest.param("8,32,40", "8,32,41", "cnt is 41, not casual + registered = 40", id="sum"),
    ],
)
def test_bad_value_is_named_with_its_row(tmp_path: Path, old: str, new: str, said: str) -> None:
    """A value that cannot be is said with its row, its line in the file, its column."""
    assert old in GOOD_HOURS[1]
    bad = GOOD_HOURS[1].replace(old, new)
    message = fault("bikes", write(tmp_path, HOUR_HEADER, GOOD_HOURS[0], bad, GOOD_HOURS[2]))
    assert message.startswith("some.csv: row 2 (line 3): ")
    assert said in message


@pytest.mark.parametrize(
    ("column", "low", "high"),
    [
        ("hr", 0, 23),
        ("holiday", 0, 1),
        ("weathersit", 1, 4),
        ("temp", -22 / 47, 58 / 47),
        ("atemp", -24 / 66, 76 / 66),
        ("hum", 0.0, 1.0),
        ("windspeed", 0.0, 120 / 67),
        ("casual", 0, 1_000_000),
        ("registered", 0, 1_000_000),
        ("admit", 0, 1),
        ("gre", 200, 800),
        ("gpa", 0.0, 4.0),
        ("rank", 1, 4),
    ],
)
def test_both_ends_of_a_range_are_taken(
    tmp_path: Path, column: str, low: float, high: float
) -> None:
    """What lies a little beyond is refused with the range, and so is a half where numbers are whole."""
    task = "bikes" if column in HOUR_HEADER else "admission"
    header, good = HOUR_HEADER, GOOD_HOURS[1].replace(",8,32,40", ",0,0,0")
    if task == "admission":
        header, good = "admit,gre,gpa,rank", "1,500,3.5,2"

    def with_value(value: float) -> Path:
        cells = dict(zip(header.split(","), good.split(","), strict=True))
        cells[column] = repr(value)
        if column in {"casual", "registered"}:
            cells["cnt"] = repr(value)
        return write(tmp_path, header, ",".join(cells.values()))

    assert [len(data.read(task, with_value(end))) for end in (low, high)] == [1, 1]
    whole = isinstance(low, int)
    step = 1 if whole else 1e-6
    for beyond in (low - step, high + step):
        assert f"{column} is {beyond:g}, outside" in fault(task, with_value(beyond))
    if whole:
        assert f"{column} is {low + 0.5:g}, not a whole" in fault(task, with_value(low + 0.5))


@pytest.mark.parametrize(
    ("day", "good"),
    [("1969-12-31", False), ("1970-01-01", True), ("2100-12-31", True), ("2101-01-01", False)],
)
def test_days_are_those_that_a_request_may_have(tmp_path: Path, day: str, *, good: bool) -> None:
    """1970 to 2100, both whole."""
    path = write(tmp_path, HOUR_HEADER, GOOD_HOURS[0].replace("2011-01-01", day))
    if good:
        assert data.read("bikes", path).hours.astype(str).tolist() == [f"{day}T00"]
    else:
        assert f"'{day}', not a date" in fault("bikes", path)


def test_dates_that_are_all_of_another_form_are_refused(tmp_path: Path) -> None:
    """Whether 01/02/2011 is in January or in February nobody can know, however many rows have it so."""
    lines = [line.replace("2011-01-01", "01/02/2011") for line in GOOD_HOURS]
    message = fault("bikes", write(tmp_path, HOUR_HEADER, *lines))
    assert "dteday is '01/02/2011', not a date (YYYY-MM-DD)" in message
    assert message.endswith("(and 2 more such rows)")


def test_hour_that_is_there_twice_is_found_wherever_it_stands(tmp_path: Path) -> None:
    """Else one row of it could be learned from and the other be judged."""
    path = write(tmp_path, HOUR_HEADER, *reversed(GOOD_HOURS), GOOD_HOURS[1])
    assert fault("bikes", path) == (
        "some.csv: row 4 (line 5): the hour 2011-01-01T01 is there before; one row must hold all its "
        "rentals"
    )


def test_several_bad_rows_are_counted(tmp_path: Path) -> None:
    """The first of several bad rows is shown, by its line in the file, and the others counted."""
    lines = "0,500,3,1", "", "0,900,3,1", "0,910,3,1", "1,9,3,1"
    assert fault("admission", write(tmp_path, "admit,gre,gpa,rank", *lines)) == (
        "some.csv: row 2 (line 4): gre is 900, outside 200 to 800 (and 2 more such rows)"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b" \n\n", "the file is empty", id="blank"),
        pytest.param(b"admit,gre,gpa,rank\n", "no row below the header", id="header only"),
        pytest.param(b"\x89PNG\r\n\x1a\n\xff\xfe", "not a CSV file", id="picture"),
        pytest.param(b"admit,gre\0,gpa,rank\n", "NUL", id="nul"),
        pytest.param(b"admit,gre,gpa,rank\n0,500,3,1\n0,500,3,1,7\n", "not a CSV", id="ragged"),
        pytest.param(b"admit,gre,gpa,rank\n0,500,3,1,7\n0,500,3,1,7\n", "not a CSV", id="too long"),
        pytest.param(b"admit,gre,gpa,rank\n0,500,3\n", "rank is blank", id="too short"),
        pytest.param(b'admit,gre,gpa,rank\n0,500,"3,1\n', "not a CSV", id="open quote"),
        pytest.param(b"<html><body>no</body></html>\n", "are missing", id="another text"),
        pytest.param(
            b"admit;gre;gpa;rank\n0;500;3,5;1\n",
            "commas between them, and have semicolons",
            id="de",
        ),
        pytest.param(
            b"admit\tgre\tgpa\trank\n0\t500\t3.5\t1\n",
            "commas between them, and have tabs",
            id="tabs",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore")  # what makes them errors must be the code, not pytest
def test_wrong_file(tmp_path: Path, content: bytes, said: str) -> None:
    """A file that is no CSV of the schema is refused, saying why."""
    path = tmp_path / "wrong.csv"
    path.write_bytes(content)
    assert said in fault("admission", path)


def test_no_file(tmp_path: Path) -> None:
    """A path that is no file is refused."""
    assert "no such file" in fault("bikes", tmp_path / "nowhere.csv")
    assert "is a directory" in fault("bikes", tmp_path)
    assert "cannot be read" in fault("bikes", write(tmp_path, "x") / "below")


def test_weather_blank_everywhere(tmp_path: Path) -> None:
    """A file without a single weather code cannot be filled."""
    blank = [line.replace(",6,0,1,0.2", ",6,0,,0.2") for line in (GOOD_HOURS[0], GOOD_HOURS[2])]
    assert "blank in every row" in fault("bikes", write(tmp_path, HOUR_HEADER, *blank))
