import json
import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from models.arrays import FloatArray, IntArray
from models.errors import DataError, SettingsError, TrainingError
from tests.searches import quick_search
from training import catalogue, cli, cluster, data, protocols, search
from training.search import Search, parse

COMMAND = ("search", "admission", "--recipe", "lecture-gre", "--protocol", "holdout")


@pytest.fixture(scope="module")
def asked() -> Search:
    """A search of a second."""
    return quick_search()


def _results(found: list[search.Trial]) -> list[tuple[int, list[str], float | None]]:
    return [(trial.number, trial.changes, trial.score) for trial in found]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("rate=0.001..0.1", (0.001, 0.1)),
        ("momentum=0..0.9", (0.0, 0.9)),
        ("epochs=5..50", (5, 50)),
    ],
)
def test_range_is_drawn_from_end_to_end(text: str, values: tuple[float, float]) -> None:
    """Values lie between the ends and fill the range; whole numbers stay whole."""
    setting, rng = parse(text), np.random.default_rng(0)
    drawn = np.array([float(setting.draw(rng)) for _ in range(500)])
    low, high = values
    assert low <= drawn.min() < low + 0.1 * (high - low)
    assert high - 0.1 * (high - low) < drawn.max() <= high
    if isinstance(low, int):
        assert (drawn == drawn.round()).all()


def test_range_above_zero_is_drawn_evenly_in_its_logarithm() -> None:
    """A learning rate's order of magnitude is what is searched."""
    setting, rng = parse("rate=0.0001..1"), np.random.default_rng(0)
    logs = np.log10([float(setting.draw(rng)) for _ in range(2000)])
    counts, _ = np.histogram(logs, bins=4, range=(-4, 0))
    assert counts.min() > 400


@pytest.mark.parametrize(
    "text", ["rate", "rate=", "=1..2", "rate=2..1", "rate=a..b", "rate=1..inf", "hidden=2||3"]
)
def test_setting_of_no_form_is_refused_in_one_line(asked: Search, text: str) -> None:
    """The line repeats what was written and says how to write it."""
    with pytest.raises(SettingsError, match=r"^--vary "):
        search.check(replace(asked, settings=(parse(text),)), 1)


def test_value_that_no_recipe_takes_is_refused_before_the_first_trial(
    asked: Search, tmp_path: Path
) -> None:
    """A misspelt key or an impossible choice does not cost a night, wherever in it it is drawn."""
    for texts in (
        ["rte=0.1..1"],
        ["hidden=2|none"],
        ["epochs=0|5"],
        ["hidden=0..9"],
        ["epochs=5..9", "average_epochs=0..9"],
        ["rate=0.1..1", "rate=1|2"],
    ):
        wrong = replace(asked, settings=tuple(parse(text) for text in texts))
        with pytest.raises(SettingsError):
            search.run(wrong, 40, tmp_path / "out", 1, None)
    with pytest.raises(TrainingError, match="no protocol 'p9'"):
        search.run(replace(asked, protocol="p9"), 1, tmp_path / "out", 1, None)
    assert not (tmp_path / "out").exists()


def test_choices_that_are_valid_only_together_can_be_searched(asked: Search) -> None:
    """The recipe averages five epochs, so that fewer epochs go only with fewer to average."""
    averaging = replace(asked.recipe, fit=replace(asked.recipe.fit, average_epochs=5))
    settings = tuple(parse(text) for text in ("epochs=2|3", "average_epochs=1|2"))
    search.check(replace(asked, recipe=averaging, settings=settings), 20)


def test_trials_are_drawn_from_seed_and_number_alone(asked: Search) -> None:
    """Wherever and whenever a trial runs, it tries the same; two trials try different things."""
    assert asked.drawn(3) == asked.drawn(3) != asked.drawn(4)
    assert replace(asked, seed=1).drawn(3) != asked.drawn(3)


@pytest.mark.parametrize(
    ("recipe", "protocol"),
    [("lecture-bikes", "p3"), ("lecture-bikes", "p1_refit"), ("lecture-gre", "holdout")],
)
def test_trial_sees_rows_that_teach_and_rows_that_choose(
    asked: Search, monkeypatch: pytest.MonkeyPatch, recipe: str, protocol: str
) -> None:
    """And no test row. Validation rows choose and stop early; without any, a part of the training rows."""
    chosen = catalogue.RECIPES[recipe]
    dataset = data.read(chosen.task)
    seen: list[list[Any]] = []

    def answers(_: object, __: object, judged: IntArray) -> FloatArray:
        seen[-1].append(judged)
        return np.full(len(judged), 0.5)

    monkeypatch.setattr(search, "fit_rows", lambda _, __, *rows: seen.append([*rows[:2]]))
    monkeypatch.setattr(search, "answers", answers)
    search.try_one(replace(asked, recipe=chosen, dataset=dataset, protocol=protocol), 0)
    made = protocols.splits(dataset, protocol, asked.seed)
    for (taught, stopping, judged), split in zip(seen, made, strict=True):
        if len(split.validation):
            np.testing.assert_array_equal(taught, split.train)
            np.testing.assert_array_equal(stopping, split.validation)
            np.testing.assert_array_equal(judged, split.validation)
        else:
            assert stopping is None
            np.testing.assert_array_equal(np.sort([*taught, *judged]), split.train)
            assert 0.15 < len(judged) / len(split.train) < 0.25


def test_rows_that_choose_are_not_learned_from(asked: Search) -> None:
    """Without validation rows of the protocol, a stratified fifth of the training rows chooses."""
    target, rows = asked.dataset.outcome, np.arange(50, 350)
    learned, judged = search._set_aside(target, rows, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(np.concatenate([learned, judged])), rows)
    assert len(judged) == 60
    assert target[judged].sum() == pytest.approx(target[rows].sum() / 5, abs=1.0)


@pytest.mark.parametrize(
    ("task", "overlapping"),
    [("bikes", {"p2", "rolling"}), ("admission", {"cv", "holdout"})],
)
def test_rows_that_choose_are_test_rows_of_other_splits(
    asked: Search, task: str, overlapping: set[str]
) -> None:
    """Nothing that scores is seen in a protocol of one split; with several a search has to warn."""
    dataset = data.read(task)
    found = {
        protocol
        for protocol in protocols.of_task(dataset.task)
        if search.overlaps(replace(asked, dataset=dataset, protocol=protocol))
    }
    assert found == overlapping


def test_interrupted_search_goes_on_with_what_is_left(
    asked: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials that are in the file are not done again, a torn line is, and the result is the same."""
    whole = search.run(asked, 5, tmp_path / "whole", 1, None)
    done: list[int] = []
    original = search.try_one

    def counted(asked: Search, number: int) -> search.Trial:
        done.append(number)
        return original(asked, number)

    monkeypatch.setattr(search, "try_one", counted)
    out = tmp_path / "out"
    search.run(asked, 2, out, 1, None)
    with out.open("a", encoding="utf-8") as file:
        file.write('{"number": 2, "cha')
    again = search.run(asked, 5, out, 1, None)
    assert done == [0, 1, 2, 3, 4]
    assert _results(again) == _results(whole)
    assert all(0.0 < trial.seconds < 60.0 for trial in again)
    fewer = [result for result in _results(whole) if result[0] < 3]
    assert _results(search.run(asked, 3, out, 1, None)) == fewer
    assert all(json.loads(line) for line in out.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("length", [0, 1, 40, -1])
def test_search_that_ended_in_its_first_line_goes_on(
    asked: Search, tmp_path: Path, length: int
) -> None:
    """A part of the line that says which search it is is written again, whole."""
    search.run(asked, 1, tmp_path / "whole", 1, None)
    header = (tmp_path / "whole").read_bytes().splitlines(keepends=True)[0]
    out = tmp_path / "out"
    out.write_bytes(header[:length])
    assert len(search.run(asked, 1, out, 1, None)) == 1
    assert out.read_bytes().splitlines(keepends=True)[0] == header


def test_file_of_another_search_is_refused(asked: Search, tmp_path: Path) -> None:
    """Trials of two searches are never mixed."""
    search.run(asked, 1, tmp_path / "out", 1, None)
    with pytest.raises(DataError, match="is not of this search"):
        search.run(replace(asked, seed=1), 1, tmp_path / "out", 1, None)


@pytest.mark.parametrize("content", ["first\nlast, without an end", "one, without an end"])
def test_file_that_is_no_search_is_left_as_it_is(
    asked: Search, tmp_path: Path, content: str
) -> None:
    """A mistaken `--out` costs nobody a line, also where the last one has no end."""
    out = tmp_path / "notes.txt"
    out.write_text(content)
    with pytest.raises(DataError, match="is not of this search"):
        search.run(asked, 1, out, 1, None)
    assert out.read_text() == content


HELD = """
import os, sys, time
from pathlib import Path
from tests.searches import quick_search
from training import search

def endless(asked, number):
    os.write(1, b"trying\\n")  # in one piece: another worker says the same
    parent = os.getppid()
    while os.getppid() == parent:  # a worker goes with the search
        time.sleep(0.05)

search.try_one = endless
search.run(quick_search(), 5, Path(sys.argv[1]), int(sys.argv[2]), None)
"""


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_second_search_of_one_file_is_refused_until_the_first_is_gone(
    asked: Search, tmp_path: Path, jobs: int
) -> None:
    """No trial is done twice at once; a search that was killed keeps nobody from going on."""
    out = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-c", HELD, str(out), str(jobs)], stdout=subprocess.PIPE
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"trying\n"
        begun = out.read_bytes()
        with pytest.raises(DataError, match="another search is adding to it; let it end, or"):
            search.run(asked, 2, out, 1, None)
        assert out.read_bytes() == begun
        first.kill()
    assert len(search.run(asked, 2, out, 1, None)) == 2
    assert len(out.read_bytes().splitlines()) == 3


def test_file_that_can_grow_no_further_is_named_and_goes_on(asked: Search, tmp_path: Path) -> None:
    """A full disk costs the trial that was being written; the error says of which file."""
    out = tmp_path / "out"
    search.run(asked, 1, out, 1, None)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (out.stat().st_size + 20, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as told:
            search.run(asked, 3, out, 1, None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert told.value.filename == str(out)
    assert len(search.run(asked, 3, out, 1, None)) == 3
    assert len(out.read_bytes().splitlines()) == 4


@pytest.mark.parametrize("place", ["", "fifo", "/dev/zero"])
def test_place_that_is_no_file_is_refused_at_once(
    asked: Search, tmp_path: Path, place: str
) -> None:
    """Nobody waits for the end of a device, or for who writes to a pipe."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(DataError, match=": is no file; choose another --out"):
        search.run(asked, 1, tmp_path / place, 1, None)


def test_no_process_is_begun_that_has_no_trial(
    asked: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes a second to begin, and a hundred of them two minutes."""
    processes: list[int] = []

    def counted(function: Any, tasks: Iterable[Any], jobs: int, _: None) -> Iterator[Any]:
        processes.append(jobs)
        return (function(*task) for task in tasks)

    monkeypatch.setattr(cluster, "map_unordered", counted)
    for trials in (2, 3, 3):
        search.run(asked, trials, tmp_path / "out", 100, None)
    assert processes == [2, 1, 1]


@pytest.mark.parametrize("line", [b"{}", b"nonsense", b"\xff\xfe", b"[1]"])
def test_file_with_a_damaged_line_is_refused_in_one_line(
    asked: Search, tmp_path: Path, line: bytes
) -> None:
    """What was found before is not thrown away, and the error names the file."""
    out = tmp_path / "out"
    search.run(asked, 1, out, 1, None)
    content = out.read_bytes() + line + b"\n"
    out.write_bytes(content)
    with pytest.raises(DataError, match="out: has a line that is no trial"):
        search.run(asked, 2, out, 1, None)
    assert out.read_bytes() == content


def test_diverged_trial_is_the_last_and_ends_nothing(asked: Search, tmp_path: Path) -> None:
    """A rate that is too large is a result like any other."""
    wild = replace(asked, settings=(parse("rate=1e300|0.5"),))
    found = search.run(wild, 8, tmp_path / "out", 1, None)
    assert found[0].score is not None
    assert found[-1].score is None
    assert found[-1].reason


def _command(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, [*COMMAND, *arguments])


def test_command_ends_with_the_command_that_judges_the_best(tmp_path: Path) -> None:
    """What was found can be tried at once, on rows that the search did not see."""
    out = str(tmp_path / "out")
    result = _command(
        "--vary", "rate=0.1..1", "--vary", "epochs=3..6", "--trials", "3", "--out", out
    )
    assert result.exit_code == 0, result.output
    words = (
        "judge it: train evaluate admission --recipe lecture-gre --protocol holdout --set rate=0."
    )
    assert words in result.output
    assert "its score there will be a little too good: validation rows of" in result.output


def test_best_is_judged_on_the_data_that_were_searched(tmp_path: Path) -> None:
    """Whichever file, protocol and seed were given are those of the command that judges, quoted."""
    file = tmp_path / "some of it.csv"
    file.write_bytes((data.DATASETS / "admissions.csv").read_bytes())
    given = ("--data", str(file), "--protocol", "holdout", "--seed", "3")
    fixed = ("--vary", "epochs=3..6", "--trials", "1", "--out", str(tmp_path / "out"))
    result = _command(*fixed, *given)
    assert result.exit_code == 0, result.output
    told = shlex.split(result.output.split("judge it: train ")[1])
    assert all(word in told for word in given)
    assert CliRunner().invoke(cli.app, [*told, "--json"]).exit_code == 0


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted search ends with the shell's status for it and keeps what it has."""

    def interrupted(*_: Any) -> Iterator[Any]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(cluster, "map_unordered", interrupted)
    result = _command("--vary", "rate=0.1..1", "--out", str(tmp_path / "out"))
    assert result.exit_code == 130
    assert result.stderr == "train: interrupted; the same command goes on from here\n"


def test_a_student_is_not_searched(asked: Search, tmp_path: Path) -> None:
    """A trial judges networks that learn from the rows, so a student's settings would change nothing."""
    other = replace(asked, settings=(parse("student_rows=10..20"),))
    with pytest.raises(SettingsError, match="and not the student"):
        search.run(other, 1, tmp_path / "out.jsonl", 1, None)
