"""The words of faults: what a wrong name was probably meant to be."""

from difflib import get_close_matches

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tasks import TASKS
from service.fault_messages import MOST_UNKNOWN, nearest

NAMES = sorted({name for task in TASKS.values() for name in task.field_names})
MISSPELT = st.sampled_from(NAMES).flatmap(
    lambda name: st.lists(st.sampled_from(sorted({*name, "x", "_"})), max_size=2 * len(name))
)


@given(MISSPELT.map("".join) | st.text(max_size=12))
def test_name_is_the_nearest_that_difflib_finds(name: str) -> None:
    """What is left out beforehand, by its letters, is nothing that would have been found."""
    found = get_close_matches(name.lower(), NAMES, n=1)
    assert nearest(name, NAMES) == (found[0] if found else None)


@pytest.mark.parametrize(("name", "meant"), [("GRE", "gre"), ("gpaa", "gpa"), ("rnk", "rank")])
def test_misspelt_name_is_understood(name: str, meant: str) -> None:
    """Case, a letter too many, a letter too few."""
    assert nearest(name, NAMES) == meant


def test_every_field_of_a_task_may_be_misspelt() -> None:
    """Who misspells all fields of a row is told of each."""
    assert max(len(task.fields) for task in TASKS.values()) <= MOST_UNKNOWN
