"""Timestamps: one at a time and many at once."""

from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import timestamps
from tests import strategies

FIXED = st.builds(
    lambda moment, form: moment.strftime(form),
    st.datetimes(datetime(1970, 1, 1), datetime(2100, 12, 31, 23)),  # noqa: DTZ001
    st.sampled_from(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]),
)
SPOILT = st.builds(
    lambda text, at, letter: text[:at] + letter + text[at + 1 :],
    FIXED,
    st.integers(0, 18),
    st.sampled_from("0123456789-T :/.Zé\x00"),
)
"""Texts of the fixed layout with one letter changed: dates that do not exist, hour 29, a blank too many."""


@given(texts=st.lists(FIXED | SPOILT, max_size=8) | st.lists(strategies.timestamps(), max_size=8))
def test_many_are_parsed_as_one_alone(texts: list[str]) -> None:
    """parse_many says of each text what parse says of it, whatever the others are."""
    hours, good = timestamps.parse_many(texts)
    for text, hour, is_good in zip(texts, hours, good, strict=True):
        try:
            wanted = timestamps.parse(text)
        except ValueError:
            assert not is_good, text
            assert hour == np.datetime64(0, "h")
        else:
            assert is_good, text
            assert hour.astype(datetime) == wanted


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"])
def test_every_day_of_every_year(form: str) -> None:
    """The fixed layout is read right on every day from 1970 to 2100, leap days included."""
    days = np.arange("1970-01-01", "2101-01-01", dtype="datetime64[D]")
    texts = [day.astype(datetime).strftime(form).replace("T00:00", "T23:59") for day in days]
    hours, good = timestamps.parse_many(texts)
    assert good.all()
    np.testing.assert_array_equal(hours, days.astype("datetime64[h]") + np.timedelta64(23, "h"))


def test_values_that_are_no_text_are_no_timestamps() -> None:
    """Numbers, null and lists among the texts are not good, and spoil no neighbour."""
    _, good = timestamps.parse_many(["2012-06-01T17:00:00", 1338570000, None, [], "2012-06-01T17Z"])
    assert good.tolist() == [True, False, False, False, True]
