"""Faults in plain words: from pydantic's errors to sentences with the field's name and range."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from models.task import Field, Task
from service.errors import Fault

_KIND_WORDS = {
    "timestamp": "must be a text with date and time",
    "number": "must be a number",
    "integer": "must be a whole number",
    "boolean": "must be true or false",
}
_LONGEST_NAME = 50
_MOST_REMEMBERED = 256


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be."""
    return _nearest(name[:_LONGEST_NAME].lower(), tuple(known))


@lru_cache(_MOST_REMEMBERED)
def _nearest(name: str, known: tuple[str, ...]) -> str | None:
    """Remembered, because a batch has the same wrong name in every row."""
    found = get_close_matches(name, known, n=1)
    return found[0] if found else None


def instead_of(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: what it could have been."""
    known = list(known)
    close = nearest(name, known)
    if close:
        return f"did you mean {close}?"
    return f"known are {', '.join(known)}"


def range_of(field: Field) -> str:
    """The accepted range of a field: `-30 to 50 °C`."""
    unit = f" {field.unit}" if field.unit and field.kind != "timestamp" else ""
    return f"{field.low:g} to {field.high:g}{unit}"


def escape(name: str) -> str:
    """A name as a part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def type_words(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    words = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    return words.get(type(value), "an object")


def faults_of(error: ValidationError, task: Task, at: str = "") -> list[Fault]:
    """One fault for each of pydantic's errors about one row of `task`.

    at : the JSON pointer of the row.
    """
    return [
        _fault(entry, task.field_of, at)
        for entry in error.errors(include_url=False, include_context=True, include_input=True)
    ]


def _fault(entry: Any, fields: Mapping[str, Field], at: str) -> Fault:
    if not entry["loc"]:
        detail = f"a row is an object with fields, and this is {type_words(entry['input'])}"
        return Fault(detail, at)
    name = str(entry["loc"][0])
    pointer = f"{at}/{escape(name)}"
    if entry["type"] == "extra_forbidden":
        shown = name[:_LONGEST_NAME]
        return Fault(f"there is no field {shown}; {instead_of(name, fields)}", pointer)
    return Fault(f"{name} {_what_is_wrong(entry, fields[name])}", pointer)


def _what_is_wrong(entry: Any, field: Field) -> str:  # noqa: PLR0911 - a table with conditions
    kind, value = entry["type"], entry["input"]
    if kind == "missing":
        return f"is missing: {_meaning(field)}"
    if kind == "timestamp":
        return str(entry["ctx"]["reason"])
    if kind == "finite_number":
        return "must be a finite number, not NaN or Infinity"
    if kind in ("greater_than_equal", "less_than_equal"):
        return f"must be {_bounds(field.low, field.high, field.unit)}"
    if kind == "literal_error" and isinstance(value, str):
        close = nearest(value, field.choices)
        hint = f"; did you mean {close}?" if close else ""
        return f"must be one of {', '.join(field.choices)}{hint}"
    if kind == "multiple_of":
        return "must be a whole number"
    if field.kind == "category":
        return f"must be one of {', '.join(field.choices)}, and is {type_words(value)}"
    return f"{_KIND_WORDS[field.kind]}, and is {type_words(value)}"


@lru_cache(_MOST_REMEMBERED)
def _bounds(low: float | None, high: float | None, unit: str | None) -> str:
    return f"between {low:g} and {high:g}" + (f" {unit}" if unit and unit != "points" else "")


def _meaning(field: Field) -> str:
    meaning = field.description.split(":")[0].split(";")[0].split(",")[0]
    meaning = meaning[0].lower() + meaning[1:] if meaning[1:2].islower() else meaning
    if field.choices:
        return f"{meaning}, one of {', '.join(field.choices)}"
    if field.low is not None and field.kind != "timestamp":
        return f"{meaning}, {range_of(field)}"
    return meaning
