"""A column of timestamps, read from the bytes of a body without an object for each.

A quarter of a batch by columns is its timestamps, and nearly always they are local times of one layout:
a table of letters, which `models.timestamps` reads as it is. So they are taken out before the rest is
parsed, and a token that nobody can guess is left in their place:

    {"inputs": {"timestamp": ["2012-06-01T17:00:00", "2012-06-01T18:00:00"], "humidity": [55, 60]}}
    {"inputs": {"timestamp": ["b7a1..."], "humidity": [55, 60]}}

If the second text is JSON and the token is where it belongs, the first one is JSON and its timestamps are
what was taken out: they have no letter that could mean anything else. Whatever is not so, the usual way
reads, or says what is wrong with it.
"""

import re
import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from models import timestamps
from models.task import Task
from models.timestamps import Parsed

_TOKEN = secrets.token_hex(8)
_BEGINNING = re.compile(rb'[ \t\r\n]*:[ \t\r\n]*\["([0-9T :-]+)(", ?")').match
"""What follows the name of a column of several texts: the first of them, and what is between them."""


@dataclass(frozen=True, slots=True)
class Times:
    """Timestamps that stand where a list of texts would.

    letters : (n, width), each text and what is between it and the next.
    length : of each text.
    parsed : what `models.timestamps.parse_many` says of them.
    """

    letters: NDArray[np.uint8]
    length: int
    parsed: Parsed

    def __len__(self) -> int:
        return len(self.letters)

    def __getitem__(self, which: Any) -> Any:
        """One text, or several of them as another Times."""
        if isinstance(which, slice):
            hours, good = self.parsed
            return Times(self.letters[which], self.length, (hours[which], good[which]))
        return self.letters[which, : self.length].tobytes().decode()


def parse(body: bytes, task: Task) -> Any:
    """The document of a batch by columns, with Times in it; None if it has none that are read so."""
    for field in task.fields:
        if field.kind == "timestamp":
            return _parse(body, field.name)
    return None


def _parse(body: bytes, name: str) -> Any:
    key = b'"%b"' % name.encode()
    at = body.find(key)
    first = None if at < 0 else _BEGINNING(body, at + len(key))
    if first is None:
        return None
    (start, stop), end = first.span(1), body.find(b'"]', first.end())
    letters = body[start:end] + first[2]
    width = first.end() - start
    if end < 0 or len(letters) % width:
        return None
    lines = np.frombuffer(letters, np.uint8).reshape(-1, width)
    parsed = timestamps.parse_letters(lines, first[2])
    if parsed is None:
        return None
    try:
        document = orjson.loads(body[:start] + _TOKEN.encode() + body[end:])
    except ValueError:
        return None
    columns = document.get("inputs") if type(document) is dict else None
    if type(columns) is not dict or columns.get(name) != [_TOKEN]:
        return None
    columns[name] = Times(lines, stop - start, parsed)
    return document
