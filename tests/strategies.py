"""Hypothesis strategies for what the service is sent: good rows, bad values, bodies."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from models.tasks import TASKS

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from models.task import Field, Task

OFFSETS = ("", "", "Z", "-04:00", "+0530", "+14", "-00:00")


def timestamps() -> SearchStrategy[str]:
    """Texts that name an hour, in every form that is taken."""
    moments = st.datetimes(datetime(1970, 1, 2), datetime(2100, 12, 30, 23, 59, 59))  # noqa: DTZ001
    forms = st.sampled_from(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H", "%Y-%m-%dT%H"])
    return st.builds(
        lambda moment, form, offset: moment.strftime(form) + offset,
        moments,
        forms,
        st.sampled_from(OFFSETS),
    )


def values(field: Field) -> SearchStrategy[Any]:
    """Values that a field takes, in JSON."""
    by_kind: dict[str, SearchStrategy[Any]] = {
        "timestamp": timestamps(),
        "number": st.floats(field.low, field.high) | st.integers(*_whole(field)),
        "integer": st.integers(*_whole(field)) | st.integers(*_whole(field)).map(float),
        "category": st.sampled_from(field.choices or ("",)),
        "boolean": st.booleans(),
    }
    return by_kind[field.kind] if field.required else st.none() | by_kind[field.kind]


def _whole(field: Field) -> tuple[int, int]:
    return (int(field.low), int(field.high)) if field.low is not None and field.high else (0, 1)


EDGES: dict[str, tuple[Any, ...]] = {
    "number": (-0.0, 5e-324, 3.9999999999999996, 1e300, -(10**400)),
    "integer": (2.0, 1.9999999999999998, 2.0000000001, 659.9999999999, 2.5, 2**64),
    "timestamp": (
        "1970-01-01T00:00Z",
        "1969-12-31T23:59:59-05:00",
        "2100-12-31T23:59:59.999999999-12:00",
        "2101-01-01T00:00+14:00",
        "2012-02-29 00",
        "2011-02-29T00:00",
        "2012-03-11T02:30",
        "2012-11-04T06:30Z",
        "2012-06-01T24:00",
        "2012-06-01",
    ),
    "category": ("mist", "Mist", "rain", "1"),
    "boolean": (True, False, None),
}


def edges(field: Field) -> SearchStrategy[Any]:
    """Values at and around the edges of what a field takes, of the types that a CSV has for it, too."""
    found = [*EDGES[field.kind]]
    if field.kind in {"number", "integer"}:
        for end in field.ends:
            found += [end, *(math.nextafter(end, to) for to in (-math.inf, math.inf))]
    return st.sampled_from(found)


def rows(task: Task) -> SearchStrategy[dict[str, Any]]:
    """Rows that a task takes."""
    required = {field.name: values(field) for field in task.fields if field.required}
    optional = {field.name: values(field) for field in task.fields if not field.required}
    return st.fixed_dictionaries(required, optional=optional)


def json_values() -> SearchStrategy[Any]:
    """Any JSON, and what only some parsers take for it."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=20)
        | timestamps()
        | st.sampled_from(["clear", "1", "1e3", "NaN", "2012-02-30T10:00", "2012-06-01", 10**400])
    )
    return st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
        ),
        max_leaves=8,
    )


def strange_rows(task: Task) -> SearchStrategy[Any]:
    """Rows with anything in place of some values, missing and unknown fields, or no rows at all."""
    names = st.sampled_from([*task.field_names, "temprature", "gré", "~/", ""])
    changes = st.dictionaries(names, json_values(), min_size=1, max_size=3)
    dropped = st.sets(st.sampled_from(task.field_names), max_size=2)
    changed = st.builds(
        lambda row, change, drop: {k: v for k, v in (row | change).items() if k not in drop},
        rows(task),
        changes,
        dropped,
    )
    return changed | json_values()


def batches(task: Task) -> SearchStrategy[Any]:
    """Bodies of a batch: good and strange rows, by rows and by columns, or anything."""
    some = st.lists(rows(task) | strange_rows(task), max_size=6)
    columns = st.dictionaries(
        st.sampled_from([*task.field_names, "other"]),
        st.lists(json_values(), max_size=4) | json_values(),
        max_size=len(task.fields),
    )
    return (
        st.fixed_dictionaries({"instances": some})
        | st.fixed_dictionaries({"inputs": columns})
        | st.fixed_dictionaries({"instances": json_values()})
        | json_values()
    )


TASK_NAMES = st.sampled_from(sorted(TASKS))
