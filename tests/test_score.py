import csv
import errno
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from models import bundle, files
from models.bikes import BIKES
from models.errors import DataError, ProjectError, SignatureError
from models.rows import to_json
from models.store import Store
from models.tasks import TASKS
from service.app import create_app
from service.registry import Registry
from service.served import Served
from service.settings import Settings
from tests import tiny
from tests.process import descriptors
from tests.serving import connect, example
from training import cli, cluster
from training.scoring import parts, run, write
from training.scoring.run import Request

N_ROWS = 1000
FORMS = (".parquet", ".csv")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts, batches and slices so small that a few hundred rows make several of each."""
    monkeypatch.setattr(parts, "PART_ROWS", 300)
    monkeypatch.setattr(parts, "PART_BYTES", 5_000)
    monkeypatch.setattr(parts, "BATCH_ROWS", 128)
    monkeypatch.setattr(parts, "BLOCK_BYTES", 2_000)
    monkeypatch.setattr(write, "SLICE_ROWS", 50)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a tiny model of each task."""
    folder = tmp_path / "store"
    for name in TASKS:
        Store(folder).publish(tiny.model(name), {})
    return folder


def _table(name: str, seed: int = 0) -> tuple[tiny.Rows, pa.Table]:
    """Random rows as a model takes them, and as a file has them."""
    rows = tiny.rows(name, N_ROWS, np.random.default_rng(seed))
    return rows, pa.table(to_json(TASKS[name], rows)).append_column("id", pa.array(range(N_ROWS)))


def _save(table: pa.Table, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        pa_csv.write_csv(table, path)
    else:
        pq.write_table(table, path, row_group_size=110)
    return path


def _request(store: Path, *inputs: Path, **changes: Any) -> Request:
    name = changes.pop("model", "bikes")
    out = changes.pop("out", store.parent / "out")
    return Request(
        name, inputs, out, store, None, 0.8, changes.pop("suffix", ".parquet"), **changes
    )


def _read(folder: Path) -> pa.Table:
    """The answers for a file, all of its parts."""
    found = sorted(folder.glob("part-*"))
    read = pa_csv.read_csv if found[0].suffix == ".csv" else pq.read_table
    # of a column of a CSV that is empty the reader knows no type
    return pa.concat_tables((read(path) for path in found), promote_options="permissive")


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("suffix", FORMS, ids=["to-parquet", "to-csv"])
@pytest.mark.parametrize("form", FORMS, ids=["parquet", "csv"])
def test_every_row_has_its_answer_in_its_place(
    tmp_path: Path, store: Path, name: str, form: str, suffix: str
) -> None:
    """Row n of the output is the model's answer to row n of the file, whatever the parts are."""
    rows, table = _table(name)
    file = _save(table, tmp_path / f"rows{form}")
    run.run(_request(store, file, model=name, suffix=suffix))
    answers = _read(tmp_path / "out" / file.name)
    expected = tiny.model(name).predict(rows, 0.8)
    assert len(sorted((tmp_path / "out" / file.name).glob("part-*"))) > 2
    assert not [*(tmp_path / "out" / file.name).glob("_rejected-*")], "a part has none, and no file"
    assert answers["row"].to_pylist() == list(range(1, N_ROWS + 1))
    for column, values in (
        (TASKS[name].target, expected.value),
        ("low", expected.low),
        ("high", expected.high),
    ):
        np.testing.assert_allclose(answers[column].to_numpy(), values, rtol=1e-5, atol=1e-6)


def test_row_that_cannot_be_predicted_is_null_and_told_of(tmp_path: Path, store: Path) -> None:
    """A bad row keeps its place, and rejected.csv says which one it was and why."""
    _, table = _table("bikes")
    humidity = table["humidity"].to_pylist()
    humidity[5], humidity[777] = 101.0, None
    table = table.set_column(table.schema.names.index("humidity"), "humidity", pa.array(humidity))
    file = _save(table, tmp_path / "rows.parquet")
    said = run.run(_request(store, file))
    assert "1,000 rows of 1 file" in said
    assert "2 of them rejected" in said
    answers = _read(tmp_path / "out" / "rows.parquet")
    assert [i for i, value in enumerate(answers["rentals"].to_pylist()) if value is None] == [
        5,
        777,
    ]
    with (tmp_path / "out" / "rejected.csv").open(encoding="utf-8") as rejected:
        lines = list(csv.DictReader(rejected))
    assert [(line["row"], line["reason"]) for line in lines] == [
        ("6", "humidity must be a number from 0 to 100 %, and is 101"),
        ("778", "humidity is missing"),
    ]
    assert json.loads(lines[0]["values"])["humidity"] == 101.0


@pytest.mark.anyio
@pytest.mark.parametrize("suffix", FORMS)
async def test_answers_have_the_warnings_of_the_service(tmp_path: Path, suffix: str) -> None:
    """A row outside the training data is answered with a warning, in the words of the service's CSV."""
    rows = [
        example(BIKES),
        example(BIKES, timestamp="2031-06-01T17:00:00", temperature=45.0),
        example(BIKES, humidity=101.0),
        example(BIKES, wind_speed=119.0),
    ]
    file = _save(pa.Table.from_pylist(rows), tmp_path / "rows.csv")
    run.run(_request(tmp_path / "none", file, suffix=suffix))
    found = _read(tmp_path / "out" / file.name)["warnings"].to_pylist()
    carried = bundle.load(bundle.ARTIFACTS / "bikes")
    app = create_app(Registry({"bikes": Served.of("bikes", "v1", carried)}), Settings())
    kinds = {"Content-Type": "text/csv", "Accept": "text/csv"}
    async with connect(app) as client:
        path, content = "/predict/bikes/batch", file.read_bytes()
        answer = await client.post(path, content=content, headers=kinds)
    told = [line["warnings"] for line in csv.DictReader(answer.text.splitlines())]
    assert [words or "" for words in found] == told
    assert (found[0], found[2]) == ("", None if suffix == ".parquet" else "")
    assert [words.count("what the model was trained on") for words in told] == [0, 2, 0, 1]


FAR = 10**12
"""As seconds in the year 33658, as milliseconds in 2001."""
NOT_OURS = {
    "far": (
        "timestamp",
        pa.array([10**9, FAR, 10**9], pa.timestamp("s")),
        "is <value out of range: 1000",
    ),
    "far with a zone": (
        "timestamp",
        pa.array([10**9, FAR, 10**9], pa.timestamp("s", "UTC")),
        "years 1970 to",
    ),
    "unknown zone": (
        "timestamp",
        pa.array([FAR, -FAR, FAR], pa.timestamp("ms", "Mars/X")),
        "years 1970 to",
    ),
    "integer": ("humidity", pa.array([50, 2**60 + 1, 50]), f"0 to 100 %, and is {2**60 + 1}"),
    "unsigned": ("humidity", pa.array([50, 2**63 + 5, 50], pa.uint64()), f"and is {2**63 + 5}"),
}


@pytest.mark.parametrize("case", NOT_OURS)
def test_value_beyond_what_python_or_a_float_holds_is_told_of(
    tmp_path: Path, store: Path, case: str
) -> None:
    """A timestamp of a far year or of an unknown zone, or a huge number, rejects its own row alone."""
    name, column, reason = NOT_OURS[case]
    table = _table("bikes")[1].slice(0, 3)
    table = table.set_column(table.schema.names.index(name), name, column)
    said = run.run(_request(store, _save(table, tmp_path / "rows.parquet")))
    assert "3 rows of 1 file" in said
    assert "1 of them rejected" in said
    with (tmp_path / "out" / "rejected.csv").open(encoding="utf-8") as rejected:
        (line,) = csv.DictReader(rejected)
    assert line["row"] == "2"
    assert reason in line["reason"]
    assert str(json.loads(line["values"])[name])[:20] in line["reason"]


def test_folder_of_files_gives_a_folder_of_answers_each(tmp_path: Path, store: Path) -> None:
    """Files of both forms, in folders or named one by one, are each scored."""
    _, table = _table("admission")
    _save(table, tmp_path / "in" / "a.parquet")
    _save(table, tmp_path / "in" / "2012" / "a.csv")
    alone = _save(table, tmp_path / "b.csv")
    said = run.run(_request(store, tmp_path / "in", alone, model="admission"))
    assert "3,000 rows of 3 files" in said
    for name in ("a.parquet", "2012__a.csv", "b.csv"):
        assert _read(tmp_path / "out" / name).num_rows == N_ROWS


@pytest.mark.parametrize("named", [True, False], ids=["file", "folder"])
def test_file_with_the_name_of_the_list_of_rejected_rows_is_refused(
    tmp_path: Path, store: Path, *, named: bool
) -> None:
    """Its folder would stand where that list goes: it is told before anything is scored."""
    file = _save(_table("admission")[1], tmp_path / "in" / "rejected.csv")
    with pytest.raises(DataError, match=r"rejected\.csv: must have another name"):
        run.run(_request(store, file if named else file.parent, model="admission"))
    assert not (tmp_path / "out").exists()
    deeper = _save(_table("admission")[1], tmp_path / "all" / "in" / "rejected.csv")
    assert "1,000 rows" in run.run(_request(store, deeper.parents[1], model="admission"))


def test_output_inside_the_folder_of_the_files_is_none_of_them(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command again finds the files of before, however the two folders are written."""
    _save(_table("admission")[1], tmp_path / "in" / "a.csv")
    monkeypatch.chdir(tmp_path)
    said = []
    for folder, out in (("in", "in/out"), ("./in", "in/../in/out"), (tmp_path / "in", "in/out")):
        request = _request(store, Path(folder), model="admission", suffix=".csv", out=Path(out))
        said.append(run.run(request))
    assert all("1,000 rows of 1 file" in text for text in said)
    _save(_table("admission")[1], tmp_path / "other" / "a.csv")
    with pytest.raises(DataError, match="other: is not empty"):
        run.run(_request(store, Path("other"), model="admission", out=Path("other")))


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "first"])
def test_file_without_rows_has_no_answers_and_stops_nothing(
    tmp_path: Path, store: Path, others: int
) -> None:
    """An empty file is scored like any other, also where nothing has been counted before it."""
    _, table = _table("admission")
    inputs = [_save(table.slice(0, 0), tmp_path / "a.parquet")]
    inputs += [_save(table, tmp_path / "b.parquet")] * others
    said = run.run(_request(store, *inputs, model="admission"))
    assert f"{others * N_ROWS:,} rows of" in said
    assert not _read(tmp_path / "out" / "a.parquet").num_rows


def _texts(name: str, values: list[bytes | None], kind: pa.DataType) -> pa.Table:
    """Rows of bikes whose column `name` has these bytes as its texts."""
    table = _table("bikes")[1].slice(0, len(values))
    column = pa.array(values, pa.large_binary() if kind == pa.large_string() else pa.binary())
    return table.set_column(table.schema.names.index(name), name, column.view(kind))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
@pytest.mark.parametrize(
    ("name", "good"), [("weather", b"clear"), ("timestamp", b"2012-06-01T17"), ("holiday", b"true")]
)
def test_text_that_is_not_utf8_costs_its_own_row(
    tmp_path: Path, store: Path, name: str, good: bytes, kind: pa.DataType
) -> None:
    """Arrow reads any bytes as text; the row is listed with the reason, and the others are answered."""
    file = tmp_path / "rows.parquet"
    pq.write_table(_texts(name, [good, b"\xff" + good[1:], good], kind), file)
    assert "1 of them rejected" in run.run(_request(store, file))
    with (tmp_path / "out" / "rejected.csv").open(encoding="utf-8") as rejected:
        (line,) = csv.DictReader(rejected)
    assert (line["row"], line["reason"]) == ("2", f"{name} is not UTF-8 text")
    assert json.loads(line["values"])[name] is None
    answers = _read(tmp_path / "out" / "rows.parquet")["rentals"].to_pylist()
    assert [answer is None for answer in answers] == [False, True, False]


def test_damage_inside_a_file_is_told_with_its_name(tmp_path: Path, store: Path) -> None:
    """A page that cannot be read is found while parts are scored: which file it is in is said."""
    _, table = _table("admission")
    file = _save(table, tmp_path / "rows.parquet")
    content = bytearray(file.read_bytes())
    content[4:40] = b"\xff" * 36
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"rows\.parquet: cannot be read \("):
        run.run(_request(store, file, model="admission"))


def _stopped_after(count: int) -> Any:
    """A `map_unordered` that is interrupted after so many parts."""

    def few(function: Any, tasks: Any, *_: Any) -> Iterator[Any]:
        for number, task in enumerate(tasks):
            if number == count:
                raise KeyboardInterrupt
            yield function(*task)

    return few


def test_interrupted_scoring_goes_on_where_it_was(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command scores what is left, keeps what is there, and ends with the same bytes."""
    _, table = _table("bikes")
    file = _save(table, tmp_path / "rows.csv")
    run.run(_request(store, file, out=tmp_path / "whole"))
    with monkeypatch.context() as patch:
        patch.setattr(cluster, "map_unordered", _stopped_after(2))
        with pytest.raises(KeyboardInterrupt):
            run.run(_request(store, file))
    there = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out" / "rows.csv").glob("part-*")}
    assert len(there) == 2
    run.run(_request(store, file))
    after = {p.name: p for p in (tmp_path / "out" / "rows.csv").glob("part-*")}
    assert there.items() <= {name: p.stat().st_mtime_ns for name, p in after.items()}.items()
    for name, path in after.items():
        assert path.read_bytes() == (tmp_path / "whole" / "rows.csv" / name).read_bytes()


def test_scoring_that_was_begun_with_other_columns_is_not_gone_on_with(
    tmp_path: Path, store: Path
) -> None:
    """Else a file would have parts with the warnings and parts without, if this package has changed."""
    file = _save(_table("admission")[1], tmp_path / "rows.csv")
    run.run(_request(store, file, model="admission"))
    record = tmp_path / "out" / run.RECORD
    text = record.read_text(encoding="utf-8")
    assert '"warnings"' in text
    record.write_text(text.replace('"warnings"', '"error"'), encoding="utf-8")
    with pytest.raises(DataError, match="was begun with another schema"):
        run.run(_request(store, file, model="admission"))


def test_ctrl_c_says_how_to_go_on(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not where the summary would be, which a program may read, and with the shell's status for it."""
    file = _save(_table("admission")[1], tmp_path / "rows.csv")
    monkeypatch.setattr(cluster, "map_unordered", _stopped_after(1))
    result = _command("admission", file, "--out", tmp_path / "out", "--store", store)
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr.endswith("train: interrupted; the same command goes on from here\n")


def test_scoring_killed_before_its_first_file_has_its_name_is_repeated(
    store: Path, tmp_path: Path
) -> None:
    """A folder with nothing but what was half-written is as good as an empty one, and is cleared."""
    file = _save(_table("bikes")[1], tmp_path / "rows.csv")
    request = _request(store, file)
    request.out.mkdir()
    leftover = request.out / ".new-scoring.json-0a"
    leftover.touch()
    os.utime(leftover, (0, 0))
    run.run(request)
    assert len(_read(request.out / "rows.csv")) == N_ROWS
    assert not leftover.exists()


def test_file_that_changes_while_it_is_scored_is_told(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever scores a file that another program still writes does not take the answers for all of it."""
    file = _save(_table("bikes")[1], tmp_path / "rows.csv")
    request, plan = _request(store, file), parts.plan

    def plan_and_go_on(*of: Any) -> list[parts.Part]:
        planned = plan(*of)
        file.write_bytes(file.read_bytes() * 2)
        return planned

    monkeypatch.setattr(parts, "plan", plan_and_go_on)
    words = f"^{file}: has changed while it was scored; remove {request.out} to begin anew$"
    with pytest.raises(DataError, match=words):
        run.run(request)
    assert "done" not in json.loads((request.out / "scoring.json").read_text())
    with pytest.raises(DataError, match="or they have changed; choose another --out, or remove it"):
        run.run(request)


def test_folder_that_cannot_be_listed_is_told(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files would be missing among the answers, and nobody would know."""
    _save(_table("bikes")[1], tmp_path / "in" / "rows.csv")
    closed, scan = tmp_path / "in" / "closed", os.scandir
    closed.mkdir()

    def listed(place: str | Path) -> Any:
        if Path(place) == closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", listed)
    with pytest.raises(PermissionError, match=f"{closed}"):
        run.run(_request(store, tmp_path / "in"))


def test_what_a_killed_scoring_has_left_is_removed(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half-written files go once everything is scored, but for those that another scoring writes now."""
    file = _save(_table("admission")[1], tmp_path / "rows.csv")
    request, out = _request(store, file, model="admission"), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(cluster, "map_unordered", _stopped_after(1))
        with pytest.raises(KeyboardInterrupt):
            run.run(request)
    names = (".new-rejected.csv-0a", "rows.csv/.new-part-00001.parquet-0a")
    old, fresh = ([out / f"{name}{mark}" for name in names] for mark in (1, 2))
    for path in (*old, *fresh):
        path.touch()
    for path in old:
        os.utime(path, (0.0, 0.0))
    for path in fresh:
        os.utime(path, (2.0**32, 2.0**32))
    run.run(request)
    assert sorted(out.rglob(".new-*")) == sorted(fresh)
    assert _read(out / "rows.csv").num_rows == N_ROWS


@pytest.mark.parametrize("content", ["", "nonsense", "5", "[1]", "{}"])
def test_damaged_record_is_told_and_a_damaged_part_is_scored_again(
    tmp_path: Path, store: Path, content: str
) -> None:
    """What says how far a scoring is may be damaged by hand or by a disk: no traceback, no wrong count."""
    _, table = _table("admission")
    request = _request(store, _save(table, tmp_path / "rows.csv"), model="admission")
    said = run.run(request)
    part = next((tmp_path / "out" / "rows.csv").glob("_done-*"))
    part.write_text(content)
    assert run.run(request) == said
    (tmp_path / "out" / run.RECORD).write_text(content)
    with pytest.raises(DataError, match=r"remove .* to begin anew$|or remove it to begin anew$"):
        run.run(request)


def test_part_that_fails_leaves_nothing_behind(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written half is not in the output: neither a part nor its neighbour."""
    _, table = _table("bikes")
    file = _save(table, tmp_path / "rows.csv")

    def fail(*_: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(write, "_answers", fail)
    with pytest.raises(OSError, match="the disk is full"):
        run.run(_request(store, file))
    assert not list((tmp_path / "out" / "rows.csv").iterdir())


@pytest.mark.parametrize("name", ["part", "_rejected", "rejected", "scoring"])
def test_disk_that_fails_leaves_no_half_and_nothing_open(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Every file is synced before it has its name; if that fails, no half of it is left for good."""
    _, table = _table("bikes")
    file = _save(table, tmp_path / "rows.csv")
    run.run(_request(store, file, out=tmp_path / "before"))  # Arrow opens some of its own for good
    sync = os.fsync

    def fail(descriptor: int) -> None:
        written = Path(f"/proc/self/fd/{descriptor}").readlink().name
        if written.startswith(f"{files.TEMPORARY}{name}"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    before = descriptors(os.getpid())
    with pytest.raises(OSError, match=f"Input/output error: '{tmp_path}/out/.*{name}"):
        run.run(_request(store, file))
    assert not list((tmp_path / "out").rglob(f"{files.TEMPORARY}*"))
    assert descriptors(os.getpid()) == before


@pytest.mark.parametrize("change", ["model", "level", "input"])
def test_folder_of_another_scoring_is_refused(tmp_path: Path, store: Path, change: str) -> None:
    """Answers of two models, levels or states of a file are never mixed in one folder."""
    _, table = _table("bikes")
    file = _save(table, tmp_path / "rows.parquet")
    run.run(_request(store, file))
    request = _request(store, file)
    if change == "model":
        Store(store).publish(tiny.model("bikes", seed=1), {})
    elif change == "level":
        request = Request("bikes", (file,), request.out, store, None, 0.9, ".parquet")
    else:
        _save(table.slice(1), file)
    with pytest.raises(DataError, match=r"was begun with (another|other files)"):
        run.run(request)


def test_unsigned_model_is_refused_where_a_key_is_set(tmp_path: Path, store: Path) -> None:
    """Scoring trusts the bundles that the service trusts, and no others."""
    _, table = _table("bikes")
    file = _save(table, tmp_path / "rows.parquet")
    with pytest.raises(SignatureError, match="is not signed"):
        run.run(_request(store, file, key=b"secret"))
    assert not (tmp_path / "out").exists()


def test_folder_with_other_things_in_it_is_refused(tmp_path: Path, store: Path) -> None:
    """A scoring never writes between files that are not its own."""
    _, table = _table("bikes")
    file = _save(table, tmp_path / "in" / "rows.parquet")
    with pytest.raises(DataError, match="is not empty and no scoring has begun there"):
        run.run(_request(store, file, out=file.parent))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("rows.csv", "gre,gpa\n1,2\n", "the column rank is missing"),
        ("rows.csv", "gre;gpa;rank\n1;2;3\n", "commas between them, and have semicolons"),
        ("rows.csv", "", "its first line must name the columns"),
        ("rows.csv", "gre\tgpa\trank\n".encode("utf-16"), "byte 0 is no UTF-8 text"),
        ("rows.parquet", "gre,gpa,rank\n", "cannot be read"),
        ("rows.txt", "gre,gpa,rank\n", "must end in .csv or .parquet"),
    ],
    ids=["column", "semicolons", "empty", "utf-16", "no-parquet", "suffix"],
)
def test_file_that_cannot_be_scored_is_told_before_anything_is_written(
    tmp_path: Path, store: Path, name: str, content: str | bytes, words: str
) -> None:
    """A wrong file is one clear line, and the output folder is not made."""
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ProjectError, match=words):
        run.run(_request(store, file, model="admission"))
    assert not (tmp_path / "out").exists()


def _command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.app, ["score", *map(str, arguments)])


@pytest.mark.slow
def test_two_processes_write_the_bytes_of_one(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How the parts are shared out changes nothing in them."""
    monkeypatch.undo()  # other processes have the sizes of the product
    monkeypatch.setattr(parts, "PART_ROWS", 300)
    _, table = _table("bikes")
    file = _save(table, tmp_path / "rows.parquet")
    for jobs in ("1", "2"):
        out = tmp_path / f"out-{jobs}"
        result = _command("bikes", file, "--out", out, "--store", store, "--jobs", jobs)
        assert result.exit_code == 0, result.output
    one, two = (sorted((tmp_path / f"out-{n}").rglob("part-*")) for n in (1, 2))
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


def test_store_without_a_version_is_scored_with_the_carried_model(tmp_path: Path) -> None:
    """As the service does; and it is said, since the name of the store may have been mistyped."""
    _, table = _table("admission")
    file = _save(table.slice(0, 10), tmp_path / "rows.csv")
    none = tmp_path / "none"
    result = _command("admission", file, "--out", tmp_path / "out", "--store", none)
    assert result.exit_code == 0, result.output
    assert f"that comes with the code, as {none} has none: 10 rows of 1 file" in result.output


def test_version_and_store_of_the_answers_are_told(tmp_path: Path, store: Path) -> None:
    """Whoever reads the summary knows which model answered."""
    file = _save(_table("admission")[1], tmp_path / "rows.csv")
    version = Store(store).current("admission")
    said = run.run(_request(store, file, model="admission"))
    assert said.startswith(f"admission {version} of {store}: 1,000 rows of 1 file")


@pytest.mark.parametrize("version", ["", "latest"])
def test_version_that_is_none_is_refused(tmp_path: Path, store: Path, version: str) -> None:
    """What is no name of a version does not mean the active one."""
    file = _save(_table("bikes")[1], tmp_path / "rows.parquet")
    said = _command("bikes", file, "--out", tmp_path / "o", "--store", store, "--version", version)
    assert f"'{version}' is no name of a version" in str(said.exception)
    assert not (tmp_path / "o").exists()


def test_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow the command says which package it needs and how this very Python gets it."""
    monkeypatch.setattr(sys, "executable", "/a folder/bin/python")
    for module in [m for m in sys.modules if m.startswith("training.scoring")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = _command("bikes", tmp_path, "--out", tmp_path / "out")
    assert str(result.exception) == (
        "train score needs the package pyarrow: '/a folder/bin/python' -m pip install -r "
        "requirements/score.txt in a checkout, else '/a folder/bin/python' -m pip install "
        "'backprop-service[score]'"
    )
