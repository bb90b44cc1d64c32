"""Parsing the JSON of a body, after a check of how many values it has.

While a body is parsed nobody else is answered. A batch within the limits is parsed in milliseconds, but
8 MB can hold millions of values, which take a second to parse and to free. Counting them first takes a
hundredth of that time.
"""

import codecs
from typing import Any

import numpy as np
import orjson
from pydantic_core import from_json

from models.task import Task
from service import texts
from service.errors import MALFORMED, TOO_LARGE, Problem

VALUES_A_ROW = 20
"""The most values per row, on average; no task has half as many fields."""
_OBJECTS_A_ROW = 2
_LISTS_A_ROW = VALUES_A_ROW // 2
"""A tensor of the shape [rows, 1] has a list for each of its values."""
_SHORT = 200_000
"""A body of fewer bytes is not checked: it has no room for too many values."""


def json_of(body: bytes, most: int, task: Task | None = None) -> Any:
    """The JSON document in the body of a batch of at most `most` rows. Raises Problem.

    task : if given, columns may come as a `Taken` instead of a list, see `service.texts`.
    """
    if len(body) > _SHORT:
        _refuse_many(body, b",", "values", VALUES_A_ROW, most)
        _refuse_many(body, b"{", "objects", _OBJECTS_A_ROW, most)
        _refuse_many(body, b"[", "lists", _LISTS_A_ROW, most)  # which need no comma when nested
    document = None if task is None else texts.parse(body, task)
    if document is not None:
        return document
    try:
        return orjson.loads(body)
    except ValueError:
        pass
    try:
        return from_json(body)  # slower, but takes NaN, which then is a fault of its row only
    except ValueError as error:
        raise not_json(body, str(error)) from None


def not_json(body: bytes, where: str) -> Problem:
    """The problem of a body that is not JSON; `where` says what is wrong, and at which position."""
    if not body.strip():
        return Problem(MALFORMED, "The body is empty; it must be a JSON object.")
    if body.startswith(codecs.BOM_UTF8):
        where = "it begins with a byte order mark; send UTF-8 without one"
    elif b"\0" in body[:4]:  # the first two letters, which are ASCII, take more than a byte each
        where = "it seems to be UTF-16 or UTF-32; send UTF-8"
    return Problem(MALFORMED, f"The body is not JSON: {where}.")


def check_csv(body: bytes, most: int) -> None:
    """Raise Problem if a CSV has more cells and lines than `most` rows may have."""
    if len(body) > _SHORT:
        _refuse_many(body, b",\r\n", "cells and lines", VALUES_A_ROW, most)


def _refuse_many(body: bytes, marks: bytes, what: str, of_row: int, most: int) -> None:
    letters = np.frombuffer(body, np.uint8)
    count = sum(int(np.count_nonzero(letters == mark)) for mark in marks)
    if count > of_row * most:
        raise Problem(
            TOO_LARGE,
            f"A batch may have at most {most} rows, and this body has {count} {what}, more than {of_row} "
            "for each of so many.",
        )
