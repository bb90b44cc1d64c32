"""Columns of timestamps and categories, parsed from the bytes of a body without making a string of each.

In {"inputs": {field: [values]}} these texts are most of the body, and thousands of strings cost more to
make, check and free than all the numbers. So if such a column is written in the plainest way and all
its values are valid, it is cut out of the bytes and replaced by a token that nobody can guess. Then the
rest is parsed. If the token turns up as the value of that field, the list was the field's value, and
the rest of the body is what was parsed. Otherwise (the list belonged to another object, the field is
there twice, the rest is not JSON, a value is invalid) the body is parsed as usual. So answers and
errors are always the same.
"""

import re
import secrets
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import orjson
from numpy.typing import NDArray

from models import timestamps
from models.arrays import all_of
from models.task import Field, Task

_BEGIN = b'{"inputs"'
_LENGTHS = range(4096, 2_000_000)
"""The sizes of bodies for which this is tried. A smaller one has too few texts to profit; a larger one
(tens of thousands of rows, or a long text) would delay other requests if the attempt failed."""
_TOKEN = secrets.token_hex(16)
_OPENED = re.compile(rb': ?\[(?=")').match
_SEPARATORS = (b", ", b",")


@dataclass(frozen=True)
class Taken:
    """Replaces the list of a column's values: all are valid, and converted to what the model takes.

    array : (n_rows,), see `models.task.Field`.
    """

    field: Field
    array: NDArray[Any]

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> "Taken": ...
    def __getitem__(self, at: int | slice) -> "str | Taken":
        """A slice of rows; or for one row a text with the meaning of the original."""
        if isinstance(at, slice):
            return Taken(self.field, self.array[at])
        value = self.array[at]
        return str(value) if self.field.kind == "timestamp" else self.field.choices[value]


def parse(body: bytes, task: Task) -> Any:
    """The document in a body, with a `Taken` for each column that was cut out; None if none could be."""
    if len(body) not in _LENGTHS or not body.startswith(_BEGIN):
        return None
    taken = {}
    for field in task.fields:
        if field.kind in _READ:
            cut = _cut(body, field)
            if cut is not None:
                body, taken[field.name] = cut
    if not taken:
        return None
    try:
        document = orjson.loads(body)
    except ValueError:
        return None
    columns = document["inputs"]
    if type(columns) is not dict or any(columns.get(name) != _TOKEN + name for name in taken):
        return None
    return document | {"inputs": columns | taken}


def _cut(body: bytes, field: Field) -> tuple[bytes, Taken] | None:
    """The body with a token in the place of a field's list, and the column that was there."""
    name = orjson.dumps(field.name)
    at = body.find(name)
    opened = _OPENED(body, at + len(name))
    if at < 0 or opened is None:
        return None
    start, stop = opened.end(), body.find(b"]", opened.end())
    array = _READ[field.kind](body[start:stop], field)
    if array is None:
        return None
    token = orjson.dumps(_TOKEN + field.name)
    whole = memoryview(body)
    return b"".join((whole[: start - 1], token, whole[stop + 1 :])), Taken(field, array)


def _timestamps(text: bytes, _: Field) -> NDArray[Any] | None:
    """The column of local times that all have one layout."""
    width = text.find(b'"', 1) - 1
    for separator in _SEPARATORS:
        end = b'"' + separator + b'"'
        letters = text[1:-1] + end
        if text[-1:] == b'"' and len(letters) % (width + len(end)) == 0:
            table = np.frombuffer(letters, np.uint8).reshape(-1, width + len(end))
            parsed = timestamps.parse_letters(table, end)
            if parsed is not None and all_of(parsed[1]):
                return parsed[0]
    return None


def _categories(text: bytes, field: Field) -> NDArray[Any] | None:
    """The column of choices: each is replaced by one byte, and only these and separators may be left."""
    marks = bytes(range(len(field.choices)))
    if any(mark in text for mark in marks):
        return None
    for mark, choice in enumerate(field.choices):
        text = text.replace(orjson.dumps(choice), marks[mark : mark + 1])
    for separator in _SEPARATORS:
        step = 1 + len(separator)
        codes, between = text[::step], [text[i::step] for i in range(1, step)]
        commas = [separator[i : i + 1] * (len(codes) - 1) for i in range(len(separator))]
        if not codes.translate(None, marks) and between == commas:
            return np.frombuffer(bytearray(codes), np.int8)
    return None


_READ = {"timestamp": _timestamps, "category": _categories}
