"""Tensors of the Open Inference Protocol v2: columns of rows on the wire, and back.

A body is JSON, or JSON followed by the bytes of tensors, in the order in which the JSON names them
(Triton's extension "binary tensor data"; the header Inference-Header-Content-Length says where the
JSON ends). Numbers are little-endian; an element of BYTES is its length as four bytes, then UTF-8.
"""

import struct
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import ValidationError

from models.interval import DEFAULT_LEVEL, HIGHEST_LEVEL, LOWEST_LEVEL
from models.model import Prediction
from models.task import Field, Task
from service.batches import limit
from service.errors import MALFORMED, Fault, Problem, invalid
from service.fault_messages import instead_of, type_words
from service.inference_schema import LARGEST_SIZE, InferenceRequest, RequestTensor
from service.limits import Turns
from service.parsing import json_of
from service.rows import Values
from service.served import Served

BYTES = "BYTES"
DTYPES = {
    "BOOL": "?",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
"""Of each datatype, NumPy's; BYTES has none."""

_INTEGERS = {
    name: (np.dtype(kind).char, int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    for name, kind in DTYPES.items()
    if np.dtype(kind).kind in "iu"
}
"""Of each datatype of integers, the code of its C type, the least and the greatest number."""

_NUMBERS = frozenset(DTYPES) - {"BOOL"}
_OF_KIND = {
    "timestamp": (BYTES, frozenset({BYTES})),
    "category": (BYTES, frozenset({BYTES})),
    "boolean": ("BOOL", frozenset({"BOOL"})),
    "number": ("FP64", _NUMBERS),
    "integer": ("INT64", _NUMBERS),
}
"""Of each kind of field, the datatype that is documented and those that are taken."""

_WHOLE = f"must be a whole number from 0 to {LARGEST_SIZE}"
_SHAPE = "must be [rows] or [rows, 1]"
_WORDS = {
    "missing": "is missing",
    "model_type": "must be an object",
    "list_type": "must be a list",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "float_type": "must be a number",
    "int_type": _WHOLE,
    "int_from_float": _WHOLE,  # also of a number of more than 64 bits
    "greater_than_equal": _WHOLE,
    "less_than_equal": _WHOLE,
    "literal_error": f"must be one of {', '.join((*DTYPES, BYTES))}",
    "too_short": _SHAPE,
    "too_long": _SHAPE,
}
"""Of each type of error that pydantic finds in the form of a request, what is wrong."""

_COLUMN_VECTOR = 2
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Asked:
    """A parsed request.

    values : the rows by column, `n_rows` of them.
    outputs : the requested outputs, each with whether it is to follow the JSON in binary.
    """

    id: str | None
    level: float
    n_rows: int
    values: Values
    outputs: Mapping[str, bool]


def inputs_of(task: Task) -> list[tuple[str, str]]:
    """Name and datatype of each input."""
    return [(field.name, _OF_KIND[field.kind][0]) for field in task.fields]


def outputs_of(task: Task) -> list[tuple[str, str]]:
    """Name and datatype of each output; those of a CSV answer."""
    kinds = [(name, "BOOL" if name == task.decision else "FP64") for name in task.answer_names]
    return [*kinds, ("warnings", BYTES)]


async def read(body: bytes, json_length: int | None, task: Task, most: int, turns: Turns) -> Asked:
    """The request in a body whose JSON has `json_length` bytes, all if it is None.

    Raises Problem, also for more than `most` rows.
    """
    end = len(body) if json_length is None else json_length
    if end > len(body):
        words = f"Inference-Header-Content-Length is {end}, and the body has {len(body)} bytes."
        raise Problem(MALFORMED, words)
    document = json_of(body[:end], most)
    await turns.pause()
    request = _request(document)
    values = await _values(request.inputs, memoryview(body)[end:], task, most, turns)
    given = request.parameters
    level = DEFAULT_LEVEL if given is None or given.level is None else given.level
    if not LOWEST_LEVEL <= level <= HIGHEST_LEVEL:
        raise _fault(f"level must be a number from {LOWEST_LEVEL} to {HIGHEST_LEVEL}")
    n_rows = len(next(iter(values.values())))
    return Asked(request.id, level, n_rows, values, _wanted(request, task))


def _request(document: Any) -> InferenceRequest:
    try:
        return InferenceRequest.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
    kind, where = first["type"], "/".join(map(str, first["loc"])) or "the body"
    words = _WORDS.get(kind, "is not as the protocol has it")
    is_other_type = kind.endswith("_type") and words is not _WHOLE
    found = f", and is {type_words(first['input'])}" if is_other_type else ""
    raise _fault(f"{where} {words}{found}")


def _fault(words: str) -> Problem:
    return invalid([Fault(words)])


def _wanted(request: InferenceRequest, task: Task) -> dict[str, bool]:
    given = request.parameters
    binary = given is not None and given.binary_data_output is True
    known = [name for name, _ in outputs_of(task)]
    if not request.outputs:
        return dict.fromkeys(known, binary)
    wanted: dict[str, bool] = {}
    for output in request.outputs:
        said = output.parameters
        if output.name not in known:
            raise _fault(f"there is no output {output.name[:50]}; {instead_of(output.name, known)}")
        if said is not None and said.classification:
            raise _fault(f"output {output.name}: the classification extension is not supported")
        chosen = None if said is None else said.binary_data
        wanted[output.name] = binary if chosen is None else chosen
    return wanted


async def _values(
    tensors: Iterable[RequestTensor], binary: memoryview, task: Task, most: int, turns: Turns
) -> Values:
    """The elements of each input, of one length."""
    values: Values = {}
    for tensor in tensors:
        field = task.field_of.get(tensor.name)
        if field is None:
            near = instead_of(tensor.name, task.field_names)
            raise _fault(f"there is no input {tensor.name[:50]}; {near}")
        if field.name in values:
            raise _fault(f"input {field.name} is there twice")
        _check_form(tensor, field)
        limit(tensor.shape[0], most)
        elements, binary = _elements(tensor, field, binary)
        if not field.required:  # a tensor of numbers has no other way to leave one out
            elements = [None if value != value else value for value in elements]  # noqa: PLR0124
        values[field.name] = elements
        await turns.pause()
    if binary:
        raise _fault(f"{len(binary)} bytes follow the last tensor")
    missing = [f.name for f in task.fields if f.required and f.name not in values]
    if missing:
        raise _fault(f"input {missing[0]} is missing")
    lengths = {name: len(column) for name, column in values.items()}
    if len(set(lengths.values())) > 1:
        words = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise _fault(f"the inputs must have as many rows, and have {words}")
    return values


def _check_form(tensor: RequestTensor, field: Field) -> None:
    preferred, taken = _OF_KIND[field.kind]
    if tensor.datatype not in taken:
        raise _fault(f"input {field.name}: must be {preferred}, and is {tensor.datatype}")
    if len(tensor.shape) == _COLUMN_VECTOR and tensor.shape[1] != 1:
        raise _fault(f"input {field.name}: the shape {_SHAPE}")


def _elements(
    tensor: RequestTensor, field: Field, binary: memoryview
) -> tuple[list[Any], memoryview]:
    """The elements of a tensor, and the rest of the binary part."""
    size = None if tensor.parameters is None else tensor.parameters.binary_data_size
    if (size is None) is (tensor.data is None):
        raise _fault(f"input {field.name}: must have either data or binary_data_size")
    if size is None:
        return _flat(tensor, field), binary
    if size > len(binary):
        words = f"has binary_data_size {size}, and {len(binary)} bytes are left of the body"
        raise _fault(f"input {field.name}: {words}")
    return _decoded(tensor, field, binary[:size]), binary[size:]


def _flat(tensor: RequestTensor, field: Field) -> list[Any]:
    data: list[Any] = tensor.data or []
    nested = [value for value in data if type(value) is list]
    if nested and len(tensor.shape) == _COLUMN_VECTOR and len(nested) == len(data):
        data = [value[0] if len(value) == 1 else value for value in data]
        nested = [value for value in data if type(value) is list]
    if nested:
        raise _fault(f"input {field.name}: the data must be flat, or nested as the shape says")
    _check_count(tensor, field, len(data))
    _check_datatype(tensor, field, data)
    return data


def _check_datatype(tensor: RequestTensor, field: Field, data: list[Any]) -> None:
    """Refuse a number that the declared datatype cannot hold; the field's check sees to all else."""
    if tensor.datatype not in _INTEGERS:
        return
    code, least, most = _INTEGERS[tensor.datatype]
    low, high = field.ends
    if field.kind == "integer" and least <= low and high <= most:
        return  # the field's check is stricter
    try:
        array(code, data)  # ten times as fast as the loop
    except (OverflowError, TypeError):
        for i, value in enumerate(data):
            if type(value) in (int, float) and not (least <= value <= most and value % 1 == 0):
                words = f"must be a whole number from {least} to {most}, as {tensor.datatype} says"
                raise _fault(f"input {field.name}: element {i} {words}") from None


def _check_count(tensor: RequestTensor, field: Field, count: int) -> None:
    if count != tensor.shape[0]:
        words = f"the shape says {tensor.shape[0]} elements, and there are {count}"
        raise _fault(f"input {field.name}: {words}")


def _decoded(tensor: RequestTensor, field: Field, content: memoryview) -> list[Any]:
    if tensor.datatype == BYTES:
        texts = _texts(content, field, tensor.shape[0])
        _check_count(tensor, field, len(texts))
        return texts
    dtype = np.dtype(DTYPES[tensor.datatype])
    if len(content) != tensor.shape[0] * dtype.itemsize:
        wanted = f"{tensor.shape[0]} elements of {tensor.datatype}"
        raise _fault(f"input {field.name}: {len(content)} bytes are not {wanted}")
    values: list[Any] = np.frombuffer(content, dtype).tolist()
    return values


def _texts(content: memoryview, field: Field, most: int) -> list[str]:
    """The texts in a tensor; of more than `most` only one more."""
    texts: list[str] = []
    at = 0
    try:
        while at < len(content) and len(texts) <= most:
            (length,) = _LENGTH.unpack_from(content, at)
            at += _LENGTH.size
            if at + length > len(content):
                raise _fault(f"input {field.name}: element {len(texts)} ends behind the tensor")
            texts.append(str(content[at : at + length], "utf-8"))
            at += length
    except (struct.error, UnicodeDecodeError):
        words = f"element {len(texts)} is no length and text in UTF-8"
        raise _fault(f"input {field.name}: {words}") from None
    return texts


def write(
    served: Served, asked: Asked, prediction: Prediction, bits: NDArray[np.int64]
) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON if tensors follow it."""
    columns = _columns(served, prediction, bits)
    datatypes = dict(outputs_of(served.model.task))
    outputs, behind = [], []
    for name, binary in asked.outputs.items():
        output: dict[str, Any] = {
            "name": name,
            "datatype": datatypes[name],
            "shape": [asked.n_rows],
        }
        if binary:
            behind.append(_encoded(columns[name], datatypes[name]))
            output["parameters"] = {"binary_data_size": len(behind[-1])}
        else:
            output["data"] = columns[name]
        outputs.append(output)
    answer: dict[str, Any] = {"model_name": served.name, "model_version": served.version}
    if asked.id is not None:
        answer["id"] = asked.id
    text = orjson.dumps(answer | {"outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join([text, *behind]), len(text) if any(asked.outputs.values()) else None


def _columns(served: Served, prediction: Prediction, bits: NDArray[np.int64]) -> dict[str, Any]:
    model = served.model
    words = {kind: "; ".join(served.warnings(kind)) for kind in set(bits.tolist())}
    columns: dict[str, Any] = {
        model.task.target: prediction.value,
        "low": prediction.low,
        "high": prediction.high,
        "warnings": [words[kind] for kind in bits.tolist()],
    }
    if model.threshold is not None:
        columns[model.task.decision] = prediction.value >= model.threshold
    return columns


def _encoded(column: Any, datatype: str) -> bytes:
    if datatype != BYTES:
        return np.asarray(column, DTYPES[datatype]).tobytes()
    texts = [text.encode() for text in column]
    return b"".join(_LENGTH.pack(len(text)) + text for text in texts)
