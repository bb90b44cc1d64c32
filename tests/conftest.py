"""Fixtures for every test."""

import pytest
from hypothesis import settings

from models.model import Model
from models.tasks import TASKS
from tests import tiny
from training.data import Dataset, read

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
