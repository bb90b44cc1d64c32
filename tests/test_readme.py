"""README.md: its commands work, and its answers are those that come."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.fences import ROOT, Fence, fences
from tests.reader import Reader
from training.cli import app

README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
COMMANDS = [line.split(" #")[0].strip() for line in re.findall(r"^    (\S.*)", TEXT, re.MULTILINE)]
OF_TRAIN = [command for command in COMMANDS if command.startswith(".venv/bin/train ")]


@pytest.mark.slow
@pytest.mark.curl
def test_answers_are_those_that_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `make serve` every request of the README is answered as it shows, with any ARGS of make."""
    monkeypatch.setenv("ARGS", "-k readme")
    assert COMMANDS[0] == "make serve"
    with Reader(tmp_path) as reader:
        reader.read(Fence("sh", COMMANDS[0], README, 1))
        blocks = fences(README, "console")
        assert blocks
        for block in blocks:
            reader.read(block)


@pytest.mark.parametrize("command", OF_TRAIN)
def test_commands_of_train_are_known(command: str) -> None:
    """Each `train` command of the README is one, with options that it has."""
    _, *arguments = shlex.split(command)
    result = CliRunner().invoke(app, [*arguments, "--help"])  # read whole, and not run
    assert result.exit_code == 0, result.output


def test_targets_of_make_are_known() -> None:
    """Each `make` target of the README is one of the Makefile's."""
    targets = {word for command in COMMANDS for word in re.findall(r"^make (\w+)", command)}
    targets |= set(re.findall(r"`make (\w+)`", TEXT))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets <= set(re.findall(r"^(\w+):.*##", makefile, re.MULTILINE))
    assert "serve" in targets


def cells(line: str) -> list[str]:
    """The cells of a line of a table."""
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(
    ("protocol", "heading"),
    [
        ("p1", "P1: the last 21 days, trained on"),
        ("p2", "P2: "),
        ("p3", "P3: "),
        ("rolling", "Rolling: "),
    ],
)
def test_errors_are_those_of_the_bench(protocol: str, heading: str) -> None:
    """RMSE of ours and of the simple baseline are what bench/accuracy/RESULTS.md says."""
    results = (ROOT / "bench" / "accuracy" / "RESULTS.md").read_text(encoding="utf-8")
    section = results.split(f"### {heading}", 1)[1].split("\n### ", 1)[0]
    told = [cells(line) for line in section.splitlines()]
    measured = {row[0].strip("*"): row[-2].strip("*") for row in told if len(row) > 1}
    (shown,) = [cells(line) for line in TEXT.splitlines() if f"protocol {protocol}` |" in line]
    assert [shown[1].strip("*"), shown[2]] == [
        measured["ours"],
        measured["Mean of the hour of the week"],
    ]


def test_the_simplest_rival_of_admission_is_named() -> None:
    """Beside the share of those admitted and the lecture's network stands what a statistician would try."""
    results = (ROOT / "bench" / "accuracy" / "RESULTS.md").read_text(encoding="utf-8")
    (line,) = [
        line for line in results.splitlines() if "Logistic regression, rank a number" in line
    ]
    told = " ".join(TEXT.split())
    assert f"plain logistic regression, whose log loss is {cells(line)[2]}:" in told


def test_links_lead_to_files() -> None:
    """A relative link of the README names a file or folder of the project."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", TEXT):
        assert (ROOT / target).exists(), target
