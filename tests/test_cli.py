"""The command `train`: what it makes, what it prints, and that an error changes nothing."""

import errno
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from models import __version__, files
from models.errors import StoreError
from models.store import Store
from service.app import create_app
from service.cli import main as serve
from service.registry import Registry
from service.served import Served
from service.settings import Settings, describe
from tests import tiny
from tests.conftest import Run
from tests.serving import connect, example
from training import cli, data
from training.__main__ import main

QUICK = ("--set", "epochs=2", "--set", "average_epochs=0", "--set", "hidden=6")
"""A training of a moment: what is made is a model, if no good one."""


def test_training_publishes_a_version(train: Run, tmp_path: Path) -> None:
    """A training ends with metrics beside the baseline and an active version in the store."""
    status, out, err = train("admission", "--store", tmp_path, *QUICK)
    assert status == 0, err
    version = Store(tmp_path).current("admission")
    assert version is not None
    assert f"admission: published {version} to {tmp_path}" in out
    assert re.search(r"log loss +0\.\d+ +0\.\d+", out)
    assert "share of the training rows that were admitted" in out
    manifest = Store(tmp_path).load("admission").manifest
    assert manifest["recipe"]["fit"]["epochs"] == 2
    assert manifest["history"][-1]["epoch"] == 2
    assert manifest["evaluation"]["rows"] == 400
    assert manifest["evaluation"]["baseline"]["metrics"]["log_loss"] > 0.5
    assert sum(group["rows"] for group in manifest["evaluation"]["reliability"]) == 400


def test_help_of_serve_shows_defaults_as_they_are_set(capsys: pytest.CaptureFixture[str]) -> None:
    """What stands there as a default can be given as a value, and where there is none it says so."""
    with pytest.raises(SystemExit):
        serve(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "Write the values of inputs to the log (default: false)" in shown
    assert "API keys as name:sha256:digest, separated by commas (not set by default)" in shown
    assert "File with the key that every bundle must be signed with (not set by default)" in shown
    given = {key: default for key, default, _ in describe() if default}
    assert Settings.from_environment(given) == Settings()


def test_unknown_option_of_serve_is_told_without_all_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The line that says what is wrong is not lost below a list of every option."""
    with pytest.raises(SystemExit) as leave:
        serve(["--prot", "80"])
    lines = capsys.readouterr().err.splitlines()
    assert leave.value.code == 2
    assert lines == [
        "usage: serve [--OPTION VALUE ...]",
        "serve: error: unrecognized arguments: --prot 80",
    ]


@pytest.mark.slow
def test_both_commands_tell_their_version(train: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever reports a fault can say of which release."""
    assert train("--version") == (0, f"train {__version__}\n", "")
    with pytest.raises(SystemExit) as leave:
        serve(["--version"])
    assert (leave.value.code, capsys.readouterr().out) == (0, f"serve {__version__}\n")


def test_bikes_are_trained_from_a_part_of_the_file(train: Run, tmp_path: Path) -> None:
    """`--data` takes any part of the file; the card says which data, and coverage is measured."""
    lines = (data.DATASETS / "hour.csv").read_text().splitlines(keepends=True)
    (tmp_path / "part.csv").write_text("".join(lines[:4000]))
    store, pictures = tmp_path / "store", tmp_path / "pictures"
    student = ("--set", "student_rows=8000", "--set", "student_epochs=8")
    part = ("--data", tmp_path / "part.csv")
    some = ("--set", "links=sqrt,log", "--set", "epochs=12", *student, *part, "--plots", pictures)
    status, out, err = train("bikes", "--store", store, *QUICK, *some)
    assert status == 0, err
    assert "mean of the hour of the week over the last 365 training days" in out
    manifest = Store(store).load("bikes").manifest
    assert manifest["data"]["file"] == "part.csv"
    assert manifest["data"]["rows"] == 3999
    assert manifest["distillation"]["networks"] == 2
    assert 0.0 < manifest["distillation"]["difference"] < manifest["distillation"]["answer"]
    assert Store(store).load("bikes").model.head.network.n_members == 1
    assert 0.5 < manifest["evaluation"]["coverage"]["coverage"] <= 1.0
    shares = [step["coverage"] for step in manifest["evaluation"]["coverage_by_level"]]
    assert shares == sorted(shares), "a higher level never covers less"
    saved = sorted(path.name for path in pictures.iterdir())
    assert saved == ["bikes-forecast.png", "bikes-loss.png"]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in pictures.iterdir())


@pytest.mark.anyio
async def test_a_blank_column_of_an_optional_field_is_trained_and_served(
    train: Run, tmp_path: Path
) -> None:
    """A field of which no row has a value has no training range, and no answer warns of it."""
    cells = [row.split(",") for row in (data.DATASETS / "hour.csv").read_text().splitlines()[:4000]]
    at = cells[0].index("atemp")
    for row in cells[1:]:
        row[at] = ""
    (tmp_path / "part.csv").write_text("\n".join(map(",".join, cells)))
    some = ("--set", "links=sqrt", "--set", "student_rows=2000", "--set", "student_epochs=1")
    call = ("bikes", "--data", tmp_path / "part.csv", "--store", tmp_path / "store")
    status, _, err = train(*call, *some, *QUICK)
    assert status == 0, err
    assert "Warning" not in err
    bundle = Store(tmp_path / "store").load("bikes")
    registry = Registry({"bikes": Served.of("bikes", bundle.version, bundle)})
    hot = example(bundle.model.task, temperature=49.0, feels_like=59.0)
    async with connect(create_app(registry, Settings())) as client:
        card = (await client.get("/models/bikes")).json()
        one = (await client.post("/predict/bikes", json=hot)).json()
        many = (await client.post("/predict/bikes/batch", json={"instances": [hot]})).json()
    ranges = {field["name"]: field.get("training_range") for field in card["fields"]}
    assert ranges["feels_like"] is None
    assert ranges["temperature"] is not None
    for answer in (one, many["predictions"][0]):
        assert any(text.startswith("temperature is above") for text in answer["warnings"])
        assert not any("feels_like" in text for text in answer["warnings"])


def test_the_same_seed_gives_byte_equal_weights(train: Run, tmp_path: Path) -> None:
    """A training can be repeated: the seed decides every bit, and another seed others."""
    made = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert train("admission", "--store", tmp_path / name, "--seed", seed, *QUICK)[0] == 0
        store = Store(tmp_path / name)
        folder = store.folder / "admission" / str(store.current("admission"))
        made.append((folder / "weights.joblib").read_bytes())
    assert made[0] == made[1]
    assert made[0] != made[2]


HEADER = "admit,gre,gpa,rank\n"
FAULTS: dict[str, tuple[str | bytes, str]] = {
    "missing column": ("admit,gre,gpa\n1,600,3.5\n", "column rank is missing"),
    "out of range": (HEADER + "1,600,3.5,2\n0,900,3.1,1\n", "row 2 (line 3): gre is 900"),
    "not a CSV": (b"\x89PNG\r\n\x1a\n\0\0\xff", "not a CSV file"),
    "empty": ("", "the file is empty"),
    "too small": (
        HEADER + "1,600,3.5,2\n0,500,3.1,1\n",
        "1 of the 2 rows to train on have the rarer outcome",
    ),
    "one row": (HEADER + "1,600,3.5,2\n", "0 of the 1 rows to train on have the rarer outcome"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_data_is_one_line_and_nothing_is_written(
    train: Run, tmp_path: Path, fault: str
) -> None:
    """A wrong file gets one clear line, an exit status that is not 0, and leaves no store."""
    content, words = FAULTS[fault]
    file = tmp_path / "some.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    status, _, err = train("admission", "--data", file, "--store", tmp_path / "store")
    assert status == 2
    last = err.splitlines()[-1]
    assert last.startswith("train: some.csv")
    assert words in last
    assert err.count("train: ") == 1
    assert not (tmp_path / "store").exists()


def test_all_models_are_not_offered_one_file(train: Run) -> None:
    """The help of `train all` has no option that is always refused."""
    status, out, _ = train("all", "--help")
    assert status == 0
    assert "--seed" in out
    assert "--data" not in out


BAD_CALLS = {
    "no such file": (["bikes", "--data", "nowhere.csv"], "nowhere.csv: no such file"),
    "data of all": (["all", "--data", "some.csv"], "--data is the file of one model"),
    "recipe": (["bikes", "--recipe", "lecture-bike"], "Did you mean 'lecture-bikes'?"),
    "recipe of the other": (["bikes", "--recipe", "lecture-gre"], "there is no recipe"),
    "setting": (["bikes", "--set", "rat=1"], "Did you mean 'rate'?"),
    "partitions": (["evaluate", "bikes", "--partitions", "2"], "and the protocol is p1"),
    "value": (["bikes", "--set", "epochs=many"], "--set epochs=many: must be a whole number"),
    "no value": (["bikes", "--set", "epochs"], "write it as key=value"),
    "rate": (["bikes", "--set", "rate=-1"], "rate must be above 0"),
    "student": (["admission", "--set", "student=true"], "student must be false"),
    "size": (
        ["bikes", "--recipe", "lecture-bikes", "--set", "hidden=2048,2060"],
        "lecture-bikes: its weights would take 16.5 MiB, and a bundle has room for 16",
    ),
    "size of hours": (
        ["bikes", "--recipe", "bikes-days", "--set", "hidden=32"],
        "a bundle has room",
    ),
    "size of a student": (["bikes", "--set", "student_hidden=9000,9000"], "a bundle has room"),
    "units": (
        ["admission", "--set", "hidden=600"],
        "admission: a layer would have 76800 units over all networks, and a bundle has room for 65536",
    ),
    "model": (["evaluate", "cars"], "there is no model 'cars'"),
    "protocol": (["evaluate", "bikes", "--protocol", "p9"], "choose one of p1"),
    "key": (["bikes", "--key", "nowhere.key"], "signing key: nowhere.key"),
    "store": (["store", "copy", "bikes", "v", "--to", ""], "must be a path, and is empty"),
    "no recipe": (["bikes", "--recipe", ""], "there is no recipe ''"),
    "no protocol": (["evaluate", "bikes", "--protocol", ""], "bikes has no protocol ''"),
    "no file": (
        ["score", "bikes", "", "--out", "x"],
        "a file to score must be a path, and is empty",
    ),
    "no plots": (["evaluate", "bikes", "--plots", ""], "--plots must be a path, and is empty"),
    "no folder": (["score", "bikes", "x", "--out", ""], "--out must be a path, and is empty"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_a_bad_call_is_one_line(train: Run, tmp_path: Path, case: str) -> None:
    """What cannot be done is said in one line that names the word at fault."""
    arguments, words = BAD_CALLS[case]
    store = [] if arguments[0] == "evaluate" else ["--store", str(tmp_path / "store")]
    status, out, err = train(*arguments, *store)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert words in line
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("casual", [1, 2])  # of roots of 2 the deviation is a rounding error
def test_hours_that_are_all_alike_are_told(train: Run, tmp_path: Path, casual: int) -> None:
    """A constant target is reported as such, without advice on the learning rate or NumPy warnings."""
    head = "dteday,hr,holiday,weathersit,temp,atemp,hum,windspeed,casual,registered,cnt\n"
    rows = [
        f"2012-06-{day:02},{hour},0,1,0.5,0.5,0.5,0.2,{casual},2,{casual + 2}\n"
        for day in range(1, 31)
        for hour in (8, 17)
    ]
    (tmp_path / "some.csv").write_text(head + "".join(rows))
    status, _, err = train("bikes", "--data", tmp_path / "some.csv", "--store", tmp_path / "store")
    assert status == 2
    assert err == "train: some.csv: casual is the same in every row to learn from\n"


def test_divergence_says_what_to_change(train: Run, tmp_path: Path) -> None:
    """A training whose loss is no longer finite stops, publishes nothing and gives advice."""
    call = ("admission", "--recipe", "lecture-gre", "--set", "rate=1e30")
    status, _, err = train(
        *call, "--set", "output_activation=identity", "--store", tmp_path / "store"
    )
    assert status == 2
    assert "Lower the learning rate" in err.splitlines()[-1]
    assert not (tmp_path / "store").exists()


def test_evaluation_as_json(train: Run) -> None:
    """`--json` prints one object with the metrics of ours and of the baseline, split by split."""
    call = ("evaluate", "admission", "--recipe", "lecture-gre", "--protocol", "holdout", "--json")
    status, out, err = train(*call, "--set", "epochs=20")
    assert (status, err) == (0, "")
    told = json.loads(out)
    assert (told["task"], told["recipe"], told["protocol"]) == (
        "admission",
        "lecture-gre",
        "holdout",
    )
    assert len(told["splits"]) == 10
    assert {split["rows"] for split in told["splits"]} == {40}
    mean = sum(split["metrics"]["accuracy"] for split in told["splits"]) / 10
    assert told["metrics"]["accuracy"] == pytest.approx(mean)
    assert told["baseline"]["metrics"].keys() == told["metrics"].keys()


def test_the_store_is_kept_from_the_command_line(train: Run, tmp_path: Path) -> None:
    """Versions are listed, rolled back, activated and copied to another store."""
    first_store, other = tmp_path / "a", tmp_path / "b"
    assert "has no versions" in train("store", "list", "--store", first_store)[1]
    store = Store(first_store)
    oldest, newest = (store.publish(tiny.model("admission", seed), {}) for seed in (1, 2))
    at = ("--store", first_store)
    out = train("store", "rollback", "admission", *at)[1]
    assert store.current("admission") == oldest
    assert f"admission: {oldest} is active again" in out
    listed = train("store", "list", *at)[1]
    assert re.search(rf"{oldest} +active", listed)
    assert newest in listed
    assert train("store", "activate", "admission", newest, *at)[0] == 0
    assert store.current("admission") == newest
    pointer = first_store / "admission" / "current"
    pointer.write_text("nonsense\n")
    listed = " ".join(train("store", "list", *at)[1].split())
    assert newest in listed
    assert f"{pointer}: does not name a version; `train store activate admission" in listed
    assert train("store", "activate", "admission", newest, *at)[0] == 0
    assert train("store", "copy", "admission", oldest, "--to", other, *at)[0] == 0
    assert Store(other).current("admission") == oldest
    assert (
        f"admission: {oldest} is removed"
        in train("store", "prune", "admission", "--keep", "0", *at)[1]
    )
    assert "nothing to remove" in train("store", "prune", "admission", *at)[1]
    assert Store(first_store).versions("admission") == [newest]
    status, _, err = train("store", "activate", "admission", "20200101T000000Z-00000000", *at)
    assert status == 2
    assert err.startswith("train: ")


def test_empty_path_is_no_store(
    train: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A variable of the shell that is not set publishes nothing into the current folder."""
    monkeypatch.chdir(tmp_path)
    status, _, err = train("admission", "--store", "", *QUICK)
    assert (status, err) == (2, "train: the folder of a store must be a path, and is empty\n")
    assert list(tmp_path.iterdir()) == []


def test_store_that_is_a_file_is_no_store_without_versions(train: Run, tmp_path: Path) -> None:
    """A mistaken `--store` is told as one; a training would not put it right."""
    (tmp_path / "file").touch()
    status, _, err = train("store", "list", "--store", tmp_path / "file")
    assert (status, err) == (2, f"train: {tmp_path / 'file'}: is no folder\n")


GONE = "20200101T000000Z-00000000"
POINTERS = {
    "nonsense": "does not name a version",
    GONE: f"names {GONE}, which is not there",
}


@pytest.mark.parametrize("versions", [1, 0])
@pytest.mark.parametrize("content", POINTERS)
def test_damaged_pointer_is_told_with_what_puts_it_right(
    train: Run, tmp_path: Path, content: str, versions: int
) -> None:
    """Also where there is no version: then it takes a training, and the listing does not hide why."""
    store, pointer = Store(tmp_path), tmp_path / "admission" / "current"
    said, remedy = "train admission`", ["admission", *QUICK]
    if versions:
        said = "train store activate admission VERSION`"
        remedy = ["store", "activate", "admission", store.publish(tiny.model("admission"), {})]
    pointer.parent.mkdir(exist_ok=True)
    pointer.write_text(f"{content}\n")
    listed = " ".join(train("store", "list", "--store", tmp_path)[1].split())
    assert f"{pointer}: {POINTERS[content]}; `{said} puts it right" in listed
    assert ("has no versions" in listed) is not bool(versions)
    assert train(*remedy, "--store", tmp_path)[0] == 0
    assert "puts it right" not in train("store", "list", "--store", tmp_path)[1]


def test_pointer_that_cannot_be_read_is_listed_without_a_remedy(
    train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Activating another version would not help, and is refused: the pointer may be whole."""
    store, pointer = Store(tmp_path), tmp_path / "admission" / "current"
    version, content = store.publish(tiny.model("admission"), {}), pointer.read_text()
    read = files.read_regular

    def broken(path: Path, limit: int) -> bytes:
        if path == pointer:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(path, limit)

    monkeypatch.setattr(files, "read_regular", broken)
    status, out, err = train("store", "list", "--store", tmp_path)
    assert (status, err) == (0, "")
    assert version in out
    assert " ".join(out.split()).endswith(f"{pointer}: Input/output error")
    status, _, err = train("store", "activate", "admission", version, "--store", tmp_path)
    assert (status, err) == (2, f"train: {pointer}: Input/output error\n")
    assert pointer.read_text() == content


def test_bundles_are_signed_with_the_key_that_is_set(
    train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With SERVICE_SIGNING_KEY_FILE set, what is published carries a signature of that key."""
    key = b"ours" * 8
    (tmp_path / "key").write_bytes(key + b"\n")
    monkeypatch.setenv("SERVICE_SIGNING_KEY_FILE", str(tmp_path / "key"))
    assert train("admission", "--store", tmp_path / "store", *QUICK)[0] == 0
    Store(tmp_path / "store").load("admission", key=key)


def test_recipes_are_listed(train: Run) -> None:
    """Every recipe is in the list, the lecture's too."""
    out = train("recipes")[1]
    for name in ("bikes", "admission", "lecture-gre", "lecture-gre-sgd", "lecture-bikes-deep"):
        assert name in out


def test_a_store_that_cannot_be_written_is_one_line(train: Run, tmp_path: Path) -> None:
    """A file in the place of the store is named, in one line."""
    (tmp_path / "store").write_text("in the way")
    status, _, err = train("admission", "--store", tmp_path / "store", *QUICK)
    assert status == 2
    assert err.splitlines()[-1].startswith(f"train: {tmp_path / 'store'}")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("admission", "--store", "{}"), id="store"),
        pytest.param(("admission", "--plots", "{}/plots"), id="plots"),
        pytest.param(("evaluate", "admission", "--plots", "{}"), id="plots of an evaluation"),
        pytest.param(("report", "admission", "--to", "{}"), id="report"),
    ],
)
def test_what_cannot_be_written_is_told_before_the_work(
    train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """A store that cannot be written is refused before the training, and the check creates no folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    status, out, err = train(*(word.format(tmp_path / "file") for word in command))
    assert (status, out) == (2, "")
    assert err == f"train: {tmp_path / 'file'}: Not a directory\n"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_folder_without_permission_is_told_before_the_work(
    train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same if the folder exists and belongs to somebody else, or its file system is read-only."""
    monkeypatch.setattr("models.files.os.access", lambda *_: False)
    monkeypatch.chdir(tmp_path)
    for store in (tmp_path / "store", "store"):
        status, _, err = train("admission", "--store", store)
        assert (status, err) == (2, f"train: {tmp_path}: Permission denied\n")
    mounted = SimpleNamespace(f_flag=os.ST_RDONLY)
    monkeypatch.setattr("models.files.os.statvfs", lambda _: mounted)
    status, _, err = train("admission", "--store", tmp_path)
    assert (status, err) == (2, f"train: {tmp_path}: Read-only file system\n")


def test_disk_without_room_is_told_before_the_work(
    train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk has no room for a version of the largest size, the training does not start."""
    full = shutil.disk_usage(tmp_path)._replace(free=3 * 2**20)
    monkeypatch.setattr("models.files.shutil.disk_usage", lambda _: full)
    status, _, err = train("admission", "--store", tmp_path / "store")
    words = "3.0 MiB of the disk are free, and 20 are needed"
    assert (status, err) == (2, f"train: {tmp_path}: {words}\n")


def test_failed_publication_loses_no_training(
    train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If publishing fails after a training, its scores are told, and it is said where the model is kept."""
    store = tmp_path / "the store"
    before = Store(store).publish(tiny.model("admission", 1), {})
    write = files.write_folder

    def full(folder: Path, content: Mapping[str, bytes]) -> None:
        if folder.is_relative_to(store):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(folder, content)

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(files, "write_folder", full)
        status, out, err = train("admission", "--store", store, *QUICK)
    assert "log loss" in out
    last = err.splitlines()[-1]
    assert status == 2
    assert last.startswith(f"train: {store / 'admission'}: No space left on device; the store's")
    assert Store(store).current("admission") == before
    command = shlex.split(last.split("publish it by: ")[1])
    assert train(*command[1:])[0] == 0
    assert Store(store).current("admission") == command[4]


def test_pictures_that_cannot_be_saved_lose_no_training(
    train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model is published, and its scores and version are printed, before its pictures are drawn."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("training.plots.save_evaluation", full)
    pictures = ("--plots", tmp_path / "pictures")
    status, out, err = train("admission", "--store", tmp_path / "store", *pictures, *QUICK)
    assert (status, err.splitlines()[-1]) == (2, "train: No space left on device")
    version = Store(tmp_path / "store").current("admission")
    assert version is not None
    assert f"published {version}" in out
    assert "log loss" in out


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_pictures_that_cannot_be_saved_lose_no_scores(
    train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: list[str]
) -> None:
    """The scores of an evaluation are printed before its pictures are drawn."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("training.plots.save_evaluation", full)
    call = ("evaluate", "admission", "--recipe", "lecture-gre", "--plots", tmp_path, *form)
    status, out, err = train(*call, "--set", "epochs=2")
    assert (status, err.splitlines()[-1]) == (2, "train: No space left on device")
    assert "accuracy" in out


def test_json_of_an_evaluation_is_all_that_is_printed(train: Run, tmp_path: Path) -> None:
    """Where the pictures are is said on standard error, as a program reads standard output."""
    call = ("evaluate", "admission", "--recipe", "lecture-gre", "--json", "--plots", tmp_path)
    status, out, err = train(*call, "--set", "epochs=2")
    assert status == 0
    assert json.loads(out)["task"] == "admission"
    assert "saved " in err


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left"), BrokenPipeError()])
def test_failed_publication_is_told_where_the_scores_cannot_be(
    train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: OSError
) -> None:
    """A full disk takes neither model nor scores; the error is then that of the store, with the remedy."""

    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise fault

    def full(*_: object) -> None:
        raise StoreError("the store is full; publish it by: train store copy")

    monkeypatch.setattr("training.product.publish", full)
    monkeypatch.setattr(cli, "_out", Console(file=Full()))
    status, _, err = train("admission", "--store", tmp_path / "store", *QUICK)
    assert status == 2
    assert err.splitlines()[-1] == "train: the store is full; publish it by: train store copy"


def test_lack_of_memory_is_one_line(train: Run) -> None:
    """A network that no memory holds is told with the size that was asked for, and no traceback."""
    units = ",".join(["9000000"] * 2)
    status, _, err = train(
        "evaluate", "admission", "--recipe", "lecture-gre", "--set", f"hidden={units}"
    )
    assert status == 2
    assert re.search(r"^train: memory ran out \(Unable to allocate .* TiB .*\); fewer rows", err)


def test_picture_of_an_unknown_kind_is_one_line(train: Run, tmp_path: Path) -> None:
    """The suffix of a picture says its format, and must be one that is offered."""
    status, _, err = train("trace", "--plot", tmp_path / "descent.foo")
    assert status == 2
    assert (
        err
        == f"train: {tmp_path / 'descent.foo'}: the name of a picture ends in .png, .svg, .pdf\n"
    )


def test_environment_that_only_serves_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After `make serve`, `train` exists without its dependencies: one line says what to install."""
    monkeypatch.delitem(sys.modules, "training.cli")
    monkeypatch.setitem(sys.modules, "typer", None)
    assert main() == 2
    assert capsys.readouterr().err == (
        "train: the package typer is missing: `make train` in a checkout installs it, "
        "else pip install 'backprop-service[train]'\n"
    )


def test_locale_without_the_letters_of_a_formula_is_enough() -> None:
    """In a locale of Latin-1 or ASCII, what cannot be written is a question mark, not a traceback."""
    process = subprocess.run(
        [sys.executable, "-m", "training", "trace"],
        cwd=data.DATASETS.parents[1],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, b"")
    assert b"0.118890 before the step" in process.stdout


def test_commands_that_read_no_data_do_not_wait_for_pandas() -> None:
    """pandas, two thirds of the imports, is imported by what reads a file."""
    code = "import sys, training.cli; sys.exit('pandas' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=data.DATASETS.parents[1])


def test_ctrl_c_while_the_packages_are_imported_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C during the imports shows no traceback."""

    def interrupted() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run", interrupted)
    assert main() == 130
    assert capsys.readouterr().err == ""


UNDER_CTRL_C = """
import signal, sys
from training.__main__ import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
sys.exit(main())
"""


@pytest.mark.slow
def test_ctrl_c_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    """Interrupted, a training says so, ends with 130, and the store has what it had."""
    command = [sys.executable, "-c", UNDER_CTRL_C, "bikes", "--store", str(tmp_path / "store")]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ}
    ) as process:
        assert process.stderr is not None
        assert ": epoch" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(30) == 130
    last = rest.splitlines()[-1]
    assert last == f"train: interrupted; bikes in {tmp_path / 'store'} is as it was"
    assert "Traceback" not in rest
    assert not (tmp_path / "store").exists()
