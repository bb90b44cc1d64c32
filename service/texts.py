"""Columns of texts, taken from a body's bytes without making an object of each.

Of {"inputs": {field: [values]}} the timestamps and categories are most of the body, and thousands of
texts cost more to make, look at and free than all numbers do. So such a column is cut out of the bytes
where it is written in the plainest way and every value is right, and a token that nobody can guess is
put in its place. What is left is parsed. If the token then is the value of that field, it was a value in
the body, too: the list that was there, and what else the body says is what was parsed. If it is not (it
stood in another object, or the field is there twice), or what is left cannot be parsed, or a value is not
right, the body is parsed as any other, so that every answer and every error is the same.
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
"""Of the bodies that are looked at: a smaller one has not enough texts for it to pay, and a larger one, of
tens of thousands of rows or of a long text, would keep others waiting if it came to nothing."""
_TOKEN = secrets.token_hex(16)
_OPENED = re.compile(rb': ?\[(?=")').match
_SEPARATORS = (b", ", b",")


@dataclass(frozen=True)
class Taken:
    """Stands for the list of a column's values: all are right, and here in the form of the model.

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
        """Some rows; or a text that says what the one of a row said."""
        if isinstance(at, slice):
            return Taken(self.field, self.array[at])
        value = self.array[at]
        return str(value) if self.field.kind == "timestamp" else self.field.choices[value]


def parse(body: bytes, task: Task) -> Any:
    """The document in a body, with a `Taken` for each column that could be cut out; None if none could."""
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
    """A body with a token in the place of a column, and that column."""
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
    """Local times of one layout."""
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
    """Each choice becomes a byte that the text does not have; nothing but these and commas may be left."""
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
