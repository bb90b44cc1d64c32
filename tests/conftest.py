"""Fixtures for every test."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from models.model import Model
from models.tasks import TASKS
from tests import process, tiny
from training import cli
from training.data import Dataset, read

Run = Callable[..., tuple[int, str, str]]

# No deadline: a busy machine is no fault. `make test ARGS="--hypothesis-profile thorough"` looks longer.
settings.register_profile("default", max_examples=30, deadline=None)
settings.register_profile("thorough", max_examples=2_000, deadline=None)


@pytest.fixture(scope="session")
def bikes() -> Dataset:
    """The embedded hours."""
    return read("bikes")


@pytest.fixture(scope="session")
def admission() -> Dataset:
    """The embedded applications."""
    return read("admission")


@pytest.fixture(params=TASKS)
def model(request: pytest.FixtureRequest) -> Model:
    """A small random model of each task in turn."""
    return tiny.model(request.param)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a tiny model of each task."""
    return process.fill(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def url(store: Path) -> Iterator[str]:
    """A running service that answers from `store`, or from that of the module."""
    with process.running(store=store) as address:
        yield address


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command `train` in this process: (exit status, standard output, standard error)."""
    monkeypatch.delenv("SERVICE_STORE", raising=False)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["train", *map(str, arguments)])
        try:
            status = cli.run()
        except SystemExit as leave:
            status = int(leave.code or 0)
        return status, *capsys.readouterr()

    return run
