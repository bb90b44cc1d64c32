"""Timestamps: text to the local hour of Washington, D.C., one at a time and many at once.

Taken is ISO 8601 with a date and at least an hour: `2012-06-01T17`, `2012-06-01 17:30`,
`2012-06-01T17:30:00.25`, each with or without an offset (`Z`, `-04`, `-04:00`, `+0530`). Without an
offset it is local time; with one it is converted. Refused are numbers, bare dates and dates that do
not exist.
"""

import re
from datetime import datetime
from functools import cache
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from models.arrays import IntArray, all_of, any_of
from models.calendar import FIRST_YEAR, LAST_YEAR

Parsed: TypeAlias = tuple[NDArray[np.datetime64], NDArray[np.bool_]]
"""The local hour of each text (datetime64[h]) and whether it is one: (n,) both."""

ZONE = ZoneInfo("America/New_York")

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
"""Every text that is taken, and no other: what the OpenAPI document says."""

_TAKEN = re.compile(PATTERN[:-1] + r"\Z").match
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})").match
_FORM = "ISO 8601 with date and time, such as 2012-06-01T17:00:00"


def parse(text: str) -> datetime:
    """The local hour of `text`, without offset.

    Raises ValueError, in words that follow a field's name.
    """
    if not _TAKEN(text):
        raise ValueError(why_not(text))
    if len(text) <= _LONGEST_LOCAL and text[-1] != "Z" and "+" not in text and "-" not in text[10:]:
        return datetime.fromisoformat(text[:13])
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        moment = moment.astimezone(ZONE)
    return moment.replace(minute=0, second=0, microsecond=0, tzinfo=None, fold=0)


_LONGEST_LOCAL = len("2012-06-01T17:30:00.123456789")
_FIXED_LENGTHS = {len("2012-06-01T17:00:00"), len("2012-06-01T17:00")}


def why_not(text: str) -> str:
    """What is wrong with a text that is not taken, in words that follow a field's name."""
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
    """The local hour of each of `texts` (datetime64[h]) and whether it is one: both of shape (n,).

    Where it is none, the hour is 1970-01-01T00.
    """
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


_BLOCK = 1024
"""So many texts are looked at together."""
_LAYOUT = b"0000-00-00T00:00:00"
_HIGHEST = b"2999-19-39T29:59:59"
"""The highest digit in each place: what then is still no month, day or hour is found later."""
_BLANK = np.uint8(ord(" ") - ord("T") & 0xFF)
"""A blank in the place of the T, as its difference from the layout."""

_OF_MONTH, _OF_YEAR = 40, 800
"""How far months and years lie apart in the number of a date: there is room for 19-39."""
_DIGITS = np.array([1000, 100, 10, 1], np.float32)
_PLACES = np.zeros((2, len(_LAYOUT)), np.float32)
"""What each digit counts in the number of the date and in the hour; all others count in neither."""
_PLACES[0, :4] = _OF_YEAR * _DIGITS
_PLACES[0, 5:7] = _OF_MONTH * _DIGITS[2:]
_PLACES[0, 8:10] = _PLACES[1, 11:13] = _DIGITS[2:]
_FIRST_DATE = _OF_YEAR * FIRST_YEAR
_LAST_HOUR = 23


@cache
def _hours_of_dates() -> IntArray:
    """Of each number of a date, less _FIRST_DATE, the hours from 1970 to its midnight; -1: no such date."""
    days = np.arange(f"{FIRST_YEAR}-01-01", f"{LAST_YEAR + 1}-01-01", dtype="datetime64[D]")
    months = days.astype("datetime64[M]")
    month = months.astype(np.int64)  # from 1970 on, as the years
    numbers = _OF_YEAR * (month // 12) + _OF_MONTH * (month % 12 + 1) + (days - months).astype(int)
    hours = np.full(_OF_YEAR * (LAST_YEAR - FIRST_YEAR + 1), -1, np.int32)
    hours[numbers + 1] = 24 * days.astype(np.int64)
    return hours


def _parse_fixed(texts: list[Any]) -> Parsed | None:
    """`parse_many` for local times of one layout; None if any text has another one."""
    try:
        letters = "\n".join([*texts, ""]).encode("ascii")
    except (TypeError, UnicodeEncodeError):
        return None
    width, left = divmod(len(letters), len(texts)) if texts else (0, 1)
    if left or width - 1 not in _FIXED_LENGTHS:
        return None
    return parse_letters(np.frombuffer(letters, dtype=np.uint8).reshape(-1, width), b"\n")


def parse_letters(letters: NDArray[np.uint8], end: bytes = b"") -> Parsed | None:
    """`parse_many` for local times of one layout, `2012-06-01T17:00:00` or `2012-06-01T17:00`.

    letters : the bytes of the texts with `end` after each: (n, 19 or 16 + len(end)).
    None if any text has another layout, or is not followed by `end`.
    """
    width = letters.shape[1]
    if width - len(end) not in _FIXED_LENGTHS:
        return None
    layout, highest, places = _layouts(_LAYOUT[: width - len(end)], end)
    digits = np.empty(letters.shape, np.uint8)
    for start in range(0, len(letters), _BLOCK):
        block = digits[start : start + _BLOCK]
        np.subtract(letters[start : start + _BLOCK], layout[: len(block)], out=block)
        if any_of(block > highest[: len(block)]):  # what is below "0" has become large
            separator = block[:, 10]
            separator[separator == _BLANK] = 0
            if any_of(block > highest[: len(block)]):
                return None
    return _hours((places @ digits.astype(np.float32).T).astype(np.int64))


@cache
def _layouts(
    layout: bytes, end: bytes
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    """The letters of a layout with `end`, what a text may have above each, and _PLACES.

    (_BLOCK, width), (_BLOCK, width) and (2, width): for a whole block, so that NumPy goes through it in
    one run and not line by line.
    """
    width = len(layout) + len(end)
    letters = np.frombuffer((layout + end) * _BLOCK, np.uint8).reshape(_BLOCK, width)
    highest = np.frombuffer((_HIGHEST[: len(layout)] + end) * _BLOCK, np.uint8)
    places = np.pad(_PLACES[:, : len(layout)], ((0, 0), (0, len(end))))
    return letters, highest.reshape(letters.shape) - letters, places


def _hours(parts: IntArray) -> Parsed:
    """Hours since 1970 of each time, and whether it exists in the years that are taken: (n,) both.

    parts : (2, n), see _PLACES.
    """
    dates, hours = parts
    dates -= _FIRST_DATE
    midnights = _hours_of_dates().take(dates, mode="clip")  # its first and last are no dates
    good = (hours <= _LAST_HOUR) & (midnights >= 0)
    hours += midnights
    if not all_of(good):
        hours *= good
    return hours.view("datetime64[h]"), good
