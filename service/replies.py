"""The bytes of answers.

The rows of a batch are assembled from constant pieces and the shortest texts of their numbers, several
times faster than by building and serialising an object for each row. A test holds them equal to the
answer classes of `service.schemas`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from models.arrays import FloatArray, IntArray, all_of
from models.explain import Explanation
from models.model import Answer, Prediction
from service.errors import Fault, first_of
from service.served import Served

Text = bytes | memoryview
"""A memoryview cuts the ends off a long text without a copy."""


@dataclass(frozen=True)
class Answered:
    """Some rows of a batch, answered.

    bits : (n_rows,), `Served.outside` of each row.
    failed : row -> what is written in its place; the other members have no meaning for such a row.
    explanations : one for each row, if they were asked for.
    """

    prediction: Prediction
    bits: Any
    failed: Mapping[int, bytes]
    explanations: Sequence[Explanation] | None = None


def joined(numbers: FloatArray) -> bytes:
    """The numbers separated by commas, each the shortest JSON text that reads back as the same float64."""
    whole = np.ascontiguousarray(numbers, dtype=np.float64)
    return orjson.dumps(whole, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]


def one(
    served: Served,
    answer: Answer,
    level: float,
    bits: int,
    explanation: Explanation | None = None,
) -> bytes:
    """The answer to a single row."""
    members = {
        **_value(served, answer.value),
        "interval": {"level": level, "low": answer.low, "high": answer.high},
        "warnings": served.warnings(bits) if bits else [],
    }
    if explanation is not None:
        members["explanation"] = explanation  # orjson writes a dataclass as an object
    members["model"] = served.model_member
    return orjson.dumps(members)


def _value(served: Served, value: float) -> dict[str, Any]:
    threshold = served.model.threshold
    if threshold is None:
        return {served.model.task.target: value}
    return {
        served.model.task.target: value,
        served.model.task.decision: value >= threshold,
        "threshold": threshold,
    }


def rows_json(served: Served, answered: Answered, level: float) -> Text:
    """The rows of a batch as JSON objects, separated by commas."""
    target, at = served.model.task.target.encode(), orjson.dumps(level)

    def template(bits: int, reached: bool, explanation: Explanation | None) -> bytes:  # noqa: FBT001  # from a table
        words = orjson.dumps(served.warnings(bits))
        if explanation is not None:
            words += b',"explanation":' + orjson.dumps(explanation)
        return b"".join(
            [
                b',{"' + target + b'":%b',
                _decision_json(served, reached=reached),
                b',"interval":{"level":' + at + b',"low":%b,"high":%b},"warnings":',
                _escaped(words) + b"}",
            ]
        )

    failed = {i: b"," + text for i, text in answered.failed.items()}
    return _written(served, answered, template, failed)[1:]


def error_json(faults: Sequence[Fault]) -> bytes:
    """The object that replaces a row that cannot be answered."""
    error = {"detail": first_of(faults), "errors": [fault.as_json() for fault in faults]}
    return orjson.dumps({"error": error})


def _decision_json(served: Served, *, reached: bool) -> bytes:
    threshold = served.model.threshold
    if threshold is None:
        return b""
    return b"," + orjson.dumps({served.model.task.decision: reached, "threshold": threshold})[1:-1]


_Template = Callable[[int, bool, Explanation | None], bytes]
"""(bits of `Served.outside`, whether the threshold is reached, explanation) -> the text of a row, with
%b in the places of its value, low and high."""


def _written(
    served: Served, answered: Answered, template: _Template, failed: Mapping[int, bytes]
) -> Text:
    """The text of all rows: each by its template, or by what replaces a failed row."""
    prediction, threshold = answered.prediction, served.model.threshold
    numbers = np.empty((len(prediction.value), 3))
    numbers[:, 0], numbers[:, 1], numbers[:, 2] = prediction.value, prediction.low, prediction.high
    kinds = 2 * answered.bits
    if threshold is not None:
        kinds += prediction.value >= threshold
    if answered.explanations is not None:
        of_rows = zip(kinds.tolist(), answered.explanations, strict=True)
        templates = [template(kind >> 1, bool(kind & 1), e) for kind, e in of_rows]
    else:
        found, which = _distinct(kinds)
        of_kinds = [template(k >> 1, bool(k & 1), None) for k in found]
        rows = None if failed else _of_few_kinds(of_kinds, which, numbers)
        if rows is not None:
            return rows
        templates = [of_kinds[i] for i in which.tolist()]
    for i, text in failed.items():
        templates[i] = _escaped(text) + b"%.0b" * 3  # its numbers are formatted as nothing
    return b"".join(templates) % tuple(joined(numbers.ravel()).split(b","))


def _distinct(kinds: IntArray) -> tuple[list[int], IntArray]:
    """The distinct kinds, and for each row the index of its kind, (n_rows,)."""
    if all_of(kinds == kinds[:1]):  # nearly always
        return kinds[:1].tolist(), np.zeros(len(kinds), np.intp)
    found, which = np.unique(kinds, return_inverse=True)
    return found.tolist(), which


_MARKS = bytes(range(1, 9))
"""Bytes that no answer contains."""


def _of_few_kinds(templates: Sequence[bytes], which: IntArray, numbers: FloatArray) -> Text | None:
    """The text of all rows in half the time of `%`; None if they take too many different texts.

    All numbers, (n_rows, 3), are written as one JSON list, without making an object of any. Then every
    comma is overwritten with a mark for the text that belongs between its two numbers, and each mark is
    replaced by its text. Between two rows that is the end of one and the begin of the next, as if the rows
    stood in a ring: the brackets of the list count as commas, and what is too much at both ends is cut off.

    templates : all with the same begin, before their first number.
    which : (n_rows,), the index of each row's template.
    """
    marks: dict[bytes, int] = {}
    table, ends = [], []
    for template in templates:
        begin, second, third, end = (template % (b"\0", b"\0", b"\0")).split(b"\0")
        table.append([marks.setdefault(text, len(marks)) for text in (second, third, end + begin)])
        ends.append(len(end))
    if len(marks) > len(_MARKS):
        return None
    rows = bytearray(orjson.dumps(numbers.ravel(), option=orjson.OPT_SERIALIZE_NUMPY))
    rows[-1] = ord(",")
    letters = np.frombuffer(rows, np.uint8)
    of_rows = np.array(table, np.uint8) + _MARKS[0]
    of_rows = of_rows[0] if len(templates) == 1 else of_rows.take(which, axis=0)
    commas = np.flatnonzero(letters == ord(","))
    for place in range(3):
        letters[commas[place::3]] = of_rows[..., place]
    letters[0] = letters[-1]
    for text, mark in marks.items():
        rows = rows.replace(_MARKS[mark : mark + 1], text)
    return memoryview(rows)[ends[which[-1]] : len(rows) - len(begin)]


def _escaped(text: bytes) -> bytes:
    return text.replace(b"%", b"%%")


def batch_json(served: Served, parts: Sequence[Text]) -> bytes:
    """The JSON answer to a batch, from the texts of its slices."""
    rows = [piece for part in parts for piece in (b",", part)][1:]
    return b"".join((b'{"predictions":[', *rows, b'],"model":', served.model_json, b"}"))


def csv_header(served: Served, *, explained: bool = False) -> bytes:
    """The first line of a CSV answer."""
    task = served.model.task
    names = [*task.answer_names]
    if explained:
        names += ["baseline", *(f"contribution_{name}" for name in task.field_names)]
    return ",".join([*names, "warnings", "error"]).encode() + b"\r\n"


def rows_csv(served: Served, answered: Answered) -> Text:
    """The rows of a batch as lines of CSV (RFC 4180)."""

    def template(bits: int, reached: bool, explanation: Explanation | None) -> bytes:  # noqa: FBT001  # from a table
        cells = [b"%b", b"%b", b"%b"]
        if served.model.threshold is not None:
            cells.insert(1, b"true" if reached else b"false")
        if explanation is not None:
            cells.append(_numbers_csv(explanation))
        cells.append(_escaped(quoted("; ".join(served.warnings(bits)))))
        return b",".join(cells) + b",\r\n"

    return _written(served, answered, template, answered.failed)


def error_csv(served: Served, *, explained: bool) -> Callable[[Sequence[Fault]], bytes]:
    """A function that makes the line of a row that cannot be answered from its faults."""
    commas = csv_header(served, explained=explained).count(b",") * b","

    def line(faults: Sequence[Fault]) -> bytes:
        return commas + quoted("; ".join(fault.detail for fault in faults)) + b"\r\n"

    return line


def _numbers_csv(explanation: Explanation) -> bytes:
    numbers = [explanation.baseline, *explanation.contributions.values()]
    return joined(np.array(numbers))


def quoted(text: str) -> bytes:
    """A text as a CSV field."""
    if not text:
        return b""
    return b'"' + text.replace('"', '""').encode() + b'"'
