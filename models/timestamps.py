"""Timestamps: text to the local hour of Washington, D.C., one at a time and many at once.

Accepted is ISO 8601 with a date and at least an hour: `2012-06-01T17`, `2012-06-01 17:30`,
`2012-06-01T17:30:00.25`, each with or without an offset (`Z`, `-04`, `-04:00`, `+0530`). Without an
offset it is local time; with one it is converted. Numbers, bare dates and dates that do not exist are
refused, and so are years outside 1970 to 2100. The year that counts is the one that is written, as
PATTERN can say; the local hour may then lie a day outside, where the calendar is as sound as inside.
"""

import re
from datetime import datetime
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.arrays import IntArray, all_of, any_of
from models.calendar import FIRST_YEAR, LAST_YEAR, TIME_ZONE

Parsed: TypeAlias = tuple[NDArray[np.datetime64], NDArray[np.bool_]]
"""The local hour of each text (datetime64[h]), and whether the text is a timestamp: (n,) both."""

_YEAR = "(?:19[7-9][0-9]|20[0-9][0-9]|2100)"
_LEAP_YEAR = "(?:19(?:72|76|8[048]|9[26])|20(?:[02468][048]|[13579][26]))"
_MONTH_AND_DAY = (
    "(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    "|(?:0[13-9]|1[0-2])-(?:29|30)"
    "|(?:0[13578]|1[02])-31)"
)
_TIME = "(?:[01][0-9]|2[0-3])(?::[0-5][0-9](?::[0-5][0-9](?:[.][0-9]{1,9})?)?)?"
_OFFSET = "(?:Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)?"
PATTERN = f"^(?:{_YEAR}-{_MONTH_AND_DAY}|{_LEAP_YEAR}-02-29)[T ]{_TIME}{_OFFSET}$"
"""Matches every accepted text and no other; published in the OpenAPI document."""

_TAKEN = re.compile(PATTERN[:-1] + r"\Z").match
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})").match
_FORM = "ISO 8601 with date and time, such as 2012-06-01T17:00:00"


def parse(text: str) -> datetime:
    """The local hour of `text`, without offset.

    Raises ValueError, in words that continue a sentence after the field's name.
    """
    if not _TAKEN(text):
        raise ValueError(why_not(text))
    if len(text) <= _LONGEST_LOCAL and text[-1] != "Z" and "+" not in text and "-" not in text[10:]:
        return datetime.fromisoformat(text[:13])
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        moment = moment.astimezone(TIME_ZONE)
    return moment.replace(minute=0, second=0, microsecond=0, tzinfo=None, fold=0)


_LONGEST_LOCAL = len("2012-06-01T17:30:00.123456789")
_FIXED_LENGTHS = {len("2012-06-01T17:00:00"), len("2012-06-01T17:00")}


def why_not(text: str) -> str:
    """What is wrong with a refused text, in words that continue a sentence after the field's name."""
    match = _DATE(text)
    if not match:
        return f"must be {_FORM}"
    year, month, day = (int(part) for part in match.groups())
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return f"must be in the years {FIRST_YEAR} to {LAST_YEAR}"
    try:
        datetime(year, month, day)  # noqa: DTZ001 - only whether the date exists
    except ValueError:
        return f"names a date that does not exist: {match[0]}"
    if len(text) == len("2012-06-01"):
        return f"is a date without a time; it must be {_FORM}"
    return f"has a time or an offset that cannot be read; it must be {_FORM}"


def parse_many(texts: list[Any]) -> Parsed:
    """The local hours of `texts` (n,); that of a text that is no timestamp is 1970-01-01T00."""
    fixed = _parse_fixed(texts)
    if fixed is not None:
        return fixed
    hours = np.zeros(len(texts), dtype="datetime64[h]")
    good = np.zeros(len(texts), dtype=bool)
    for i, text in enumerate(texts):
        if isinstance(text, str) and _TAKEN(text):
            hours[i] = parse(text)
            good[i] = True
    return hours, good


# The fast path for texts of one layout: the bytes of all texts as a matrix, less the bytes of the layout,
# are digits, and one matrix product turns them into numbers.
_BLOCK = 1024
"""Texts that are checked together."""
_LAYOUT = b"0000-00-00T00:00:00"
_HIGHEST = b"2999-19-39T29:59:59"
"""The highest digit at each position. Months, days and hours that it lets through are checked later."""
_BLANK = np.uint8(ord(" ") - ord("T") & 0xFF)
"""A blank instead of the T, less the layout."""

_OF_MONTH, _OF_YEAR = 40, 800
"""A date's number is 800 year + 40 month + day: distinct for every month up to 19 and day up to 39."""
_DIGITS = np.array([1000, 100, 10, 1], np.float32)
_PLACES = np.zeros((2, len(_LAYOUT)), np.float32)
"""The weight of each position in the number of the date (first row) and in the hour (second row)."""
_PLACES[0, :4] = _OF_YEAR * _DIGITS
_PLACES[0, 5:7] = _OF_MONTH * _DIGITS[2:]
_PLACES[0, 8:10] = _PLACES[1, 11:13] = _DIGITS[2:]
_FIRST_DATE = _OF_YEAR * FIRST_YEAR
_LAST_HOUR = 23


@cache
def _hours_of_dates() -> IntArray:
    """By a date's number less _FIRST_DATE: hours from 1970 to its midnight, or -1 for no date."""
    days = np.arange(f"{FIRST_YEAR}-01-01", f"{LAST_YEAR + 1}-01-01", dtype="datetime64[D]")
    months = days.astype("datetime64[M]")
    month = months.astype(np.int64)  # from 1970 on, as the years
    numbers = _OF_YEAR * (month // 12) + _OF_MONTH * (month % 12 + 1) + (days - months).astype(int)
    hours = np.full(_OF_YEAR * (LAST_YEAR - FIRST_YEAR + 1), -1, np.int32)
    hours[numbers + 1] = 24 * days.astype(np.int64)
    return hours


def _parse_fixed(texts: list[Any]) -> Parsed | None:
    """`parse_many` for local times that all have one layout; None if they do not."""
    try:
        letters = "\n".join([*texts, ""]).encode("ascii")
    except (TypeError, UnicodeEncodeError):
        return None
    width, left = divmod(len(letters), len(texts)) if texts else (0, 1)
    if left or width - 1 not in _FIXED_LENGTHS:
        return None
    return parse_letters(np.frombuffer(letters, dtype=np.uint8).reshape(-1, width), b"\n")


def parse_letters(letters: NDArray[np.uint8], end: bytes = b"") -> Parsed | None:
    """`parse_many` for local times that all have the layout `2012-06-01T17:00:00` or `2012-06-01T17:00`.

    letters : the bytes of the texts, each followed by `end`: (n, 19 or 16 + len(end)).
    Returns None if any text has another layout, or is not followed by `end`.
    """
    width = letters.shape[1]
    if width - len(end) not in _FIXED_LENGTHS:
        return None
    layout, highest, places = _layouts(_LAYOUT[: width - len(end)], end)
    digits = np.empty(letters.shape, np.uint8)
    for start in range(0, len(letters), _BLOCK):
        block = digits[start : start + _BLOCK]
        np.subtract(letters[start : start + _BLOCK], layout[: len(block)], out=block)
        if any_of(block > highest[: len(block)]):  # also below "0", by wrapping around
            separator = block[:, 10]
            separator[separator == _BLANK] = 0
            if any_of(block > highest[: len(block)]):
                return None
    return _hours((places @ digits.astype(np.float32).T).astype(np.int64))


@cache
def _layouts(
    layout: bytes, end: bytes
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    """The bytes of a layout with `end`, the highest difference from each, and _PLACES, padded.

    (_BLOCK, width), (_BLOCK, width) and (2, width). The first two repeat one row for a whole block, so that
    NumPy runs through it in one loop instead of row by row.
    """
    width = len(layout) + len(end)
    letters = np.frombuffer((layout + end) * _BLOCK, np.uint8).reshape(_BLOCK, width)
    highest = np.frombuffer((_HIGHEST[: len(layout)] + end) * _BLOCK, np.uint8)
    places = np.pad(_PLACES[:, : len(layout)], ((0, 0), (0, len(end))))
    return letters, highest.reshape(letters.shape) - letters, places


def _hours(parts: IntArray) -> Parsed:
    """The hours since 1970, and whether they exist in the accepted years: (n,) both.

    parts : (2, n), the numbers of the dates and the hours of the day; overwritten.
    """
    dates, hours = parts
    dates -= _FIRST_DATE
    midnights = _hours_of_dates().take(dates, mode="clip")  # whose first and last entry is -1
    good = (hours <= _LAST_HOUR) & (midnights >= 0)
    hours += midnights
    if not all_of(good):
        hours *= good
    return hours.view("datetime64[h]"), good
