"""The bytes of an answer.

Answers are put together from constant pieces and the numbers' own shortest text, which is several
times faster than building an object a row and serialising it. A test holds them equal to the answer
classes of `service.schemas`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from models.arrays import FloatArray
from models.explain import Explanation
from models.model import Answer, Prediction
from service.served import Served


@dataclass(frozen=True)
class Answered:
    """Some rows of a batch, answered.

    bits : (n_rows,), `Served.outside` of each row.
    failed : row -> its error as a JSON object; the other members of such a row mean nothing.
    explanations : one a row, if they were asked for.
    """

    prediction: Prediction
    bits: Any
    failed: Mapping[int, Mapping[str, Any]]
    explanations: Sequence[Explanation] | None = None


def texts(numbers: FloatArray) -> list[bytes]:
    """The shortest JSON text of each number that reads back as the same float64."""
    if not len(numbers):
        return []
    whole = np.ascontiguousarray(numbers, dtype=np.float64)
    return orjson.dumps(whole, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")


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


def rows_json(served: Served, answered: Answered, level: float) -> bytes:
    """The rows of a batch as JSON objects with commas between them."""
    n_rows = len(answered.prediction.value)
    task = served.model.task
    columns: list[Any] = [b',{"' + task.target.encode() + b'":', texts(answered.prediction.value)]
    if served.model.threshold is not None:
        yes, no = (
            orjson.dumps({task.decision: said, "threshold": served.model.threshold})[1:-1]
            for said in (True, False)
        )
        reached = (answered.prediction.value >= served.model.threshold).tolist()
        columns += [b",", [yes if is_so else no for is_so in reached]]
    columns += [
        b',"interval":{"level":' + orjson.dumps(level) + b',"low":',
        texts(answered.prediction.low),
        b',"high":',
        texts(answered.prediction.high),
        b'},"warnings":',
        _warnings_json(served, answered),
    ]
    if answered.explanations is not None:
        columns += [b',"explanation":', [orjson.dumps(e) for e in answered.explanations]]
    columns.append(b"}")
    failed = {i: b',{"error":' + orjson.dumps(e) + b"}" for i, e in answered.failed.items()}
    return _interleave(columns, n_rows, failed)[1:]


def _warnings_json(served: Served, answered: Answered) -> list[bytes]:
    bits = answered.bits.tolist()
    words = {kind: orjson.dumps(served.warnings(kind)) for kind in set(bits)}
    return [words[kind] for kind in bits]


def _interleave(columns: list[Any], n_rows: int, failed: Mapping[int, bytes]) -> bytes:
    """Constants and columns of texts, row by row; a failed row is replaced whole."""
    width = len(columns)
    constants = [column if isinstance(column, bytes) else b"" for column in columns]
    pieces = constants * n_rows
    for j, column in enumerate(columns):
        if not isinstance(column, bytes):
            pieces[j::width] = column
    for i, text in failed.items():
        pieces[i * width : (i + 1) * width] = [text, *[b""] * (width - 1)]
    return b"".join(pieces)


def batch_json(served: Served, parts: Sequence[bytes]) -> bytes:
    """The answer to a batch, from the answers to its slices."""
    rows = b",".join(part for part in parts if part)
    return b'{"predictions":[' + rows + b'],"model":' + served.model_json + b"}"


def csv_header(served: Served, *, explained: bool = False) -> bytes:
    """The first line of a CSV answer."""
    task = served.model.task
    decision = [] if served.model.threshold is None else [task.decision]
    names = [task.target, *decision, "low", "high"]
    if explained:
        names += ["baseline", *(f"contribution_{name}" for name in task.field_names)]
    return ",".join([*names, "warnings", "error"]).encode() + b"\r\n"


def rows_csv(served: Served, answered: Answered) -> bytes:
    """The rows of a batch as lines of CSV (RFC 4180)."""
    n_rows = len(answered.prediction.value)
    columns: list[Any] = [texts(answered.prediction.value)]
    if served.model.threshold is not None:
        reached = (answered.prediction.value >= served.model.threshold).tolist()
        columns += [b",", [b"true" if is_so else b"false" for is_so in reached]]
    bits = answered.bits.tolist()
    words = {kind: quoted("; ".join(served.warnings(kind))) for kind in set(bits)}
    columns += [b",", texts(answered.prediction.low), b",", texts(answered.prediction.high), b","]
    explained = answered.explanations is not None
    if answered.explanations is not None:
        columns += [[_numbers_csv(e) for e in answered.explanations], b","]
    columns += [[words[kind] for kind in bits], b",\r\n"]
    commas = csv_header(served, explained=explained).count(b",") * b","
    failed = {
        i: commas + quoted("; ".join(entry["detail"] for entry in e["errors"])) + b"\r\n"
        for i, e in answered.failed.items()
    }
    return _interleave(columns, n_rows, failed)


def _numbers_csv(explanation: Explanation) -> bytes:
    numbers = [explanation.baseline, *explanation.contributions.values()]
    return b",".join(texts(np.array(numbers)))


def quoted(text: str) -> bytes:
    """A text as a CSV field."""
    if not text:
        return b""
    return b'"' + text.replace('"', '""').encode() + b'"'
