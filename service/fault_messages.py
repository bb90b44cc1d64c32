"""Messages for invalid input: pydantic's errors as sentences with the field's name and range."""

from collections.abc import Collection, Iterable, Mapping
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
_NEAR = 0.6
"""The least similarity, as a ratio of `difflib`, at which a name counts as a misspelling of another."""
MOST_UNKNOWN = 8
"""The most unknown fields of one object that are listed one by one; enough if every field is misspelt."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` is probably a misspelling of."""
    return _nearest(name[:_LONGEST_NAME].lower(), tuple(known))


@lru_cache(_MOST_REMEMBERED)
def _nearest(name: str, known: tuple[str, ...]) -> str | None:
    """Cached, because a batch has the same wrong value in every row."""
    found = get_close_matches(name, [k for k in known if _may_be_near(name, k)], 1, _NEAR)
    return found[0] if found else None


def _may_be_near(name: str, known: str) -> bool:
    """Whether the names have enough letters in common for _NEAR; much faster than `difflib`."""
    common = sum(map(set(known).__contains__, name))
    return 2 * common >= _NEAR * (len(name) + len(known))


def instead_of(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: what was probably meant, or all known names."""
    known = list(known)
    close = nearest(name, known)
    if close:
        return f"did you mean {close}?"
    return f"known are {', '.join(known)}"


def pointer_to(name: str, at: str = "") -> str:
    """The JSON pointer (RFC 6901) of a member of the object at `at`."""
    return f"{at}/" + name.replace("~", "~0").replace("/", "~1")


def pointer_to_unknown(name: str, at: str = "") -> str:
    """`pointer_to` what is no field; of the object itself for a long name.

    Otherwise a body that is one name of megabytes would be sent back, several times as large in memory.
    """
    return at if len(name) > _LONGEST_NAME else pointer_to(name, at)


def type_words(value: Any) -> str:
    """The type of a JSON value, in words."""
    if value is None:
        return "null"
    words = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    return words.get(type(value), "an object")


def unknown_fields(names: Iterable[str], known: Collection[str], at: str) -> list[Fault]:
    """A fault for each of `names` that is no field: MOST_UNKNOWN of them, then the number of others.

    Finding what each was meant to be is slow, and a body may have hundreds of thousands of names.
    at : the JSON pointer of the object whose members they are.
    """
    unknown = [name for name in names if name not in known]
    faults = [
        Fault(
            f"there is no field {name[:_LONGEST_NAME]}; {instead_of(name, known)}",
            pointer_to_unknown(name, at),
        )
        for name in unknown[:MOST_UNKNOWN]
    ]
    others = len(unknown) - MOST_UNKNOWN
    return faults + [Fault(f"there are {others} more fields that are none", at)] * (others > 0)


def faults_of(error: ValidationError, task: Task) -> list[Fault]:
    """The faults of one row of `task`, from pydantic's errors: of its fields, then of unknown ones."""
    entries = error.errors(include_url=False, include_context=True, include_input=True)
    unknown = [str(e["loc"][0]) for e in entries if e["type"] == "extra_forbidden"]
    faults = [_fault(e, task.field_of) for e in entries if e["type"] != "extra_forbidden"]
    return faults + unknown_fields(unknown, task.field_of, "") if unknown else faults


def _fault(entry: Any, fields: Mapping[str, Field]) -> Fault:
    if not entry["loc"]:
        detail = f"a row is an object with fields, and this is {type_words(entry['input'])}"
        return Fault(detail, "")
    name = str(entry["loc"][0])
    return Fault(f"{name} {_what_is_wrong(entry, fields[name])}", pointer_to(name))


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
        unit = f" {field.unit}" if field.unit else ""
        return f"{meaning}, {field.low:g} to {field.high:g}{unit}"
    return meaning
