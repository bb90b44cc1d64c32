"""Fixtures for every test."""

import pytest

from models.model import Model
from models.tasks import TASKS
from tests import tiny


@pytest.fixture(params=TASKS)
def model(request: pytest.FixtureRequest) -> Model:
    """A small random model of each task in turn."""
    return tiny.model(request.param)
