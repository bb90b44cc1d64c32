"""Parts of the OpenAPI document that several routes share."""

from typing import Any

from pydantic import BaseModel

from service.errors import BY_STATUS, INVALID, MEDIA_TYPE, Fault, Kind, Problem
from service.inference_schema import InferenceError
from service.schemas import ProblemDocument

LEVEL = "The level of the interval: the share of outcomes that it is to contain"
EXPLAIN = (
    "Whether the answer says what each field added to it (exact Shapley values against rows of the "
    "training data; they and the baseline add up to the answer)"
)
STRICT = "Whether one bad row refuses the whole batch"

ROW_PROBLEMS = (400, 413, 415, 422, 503, 504)
"""The statuses of problems with the body of a prediction, beside those of every route."""

_HEADERS = {
    "Accept-Post": "The types of body that the route takes",
    "ETag": "The digest of the content, for If-None-Match",
    "Allow": "The methods that the route takes",
    "Retry-After": "Seconds after which to try again",
    "WWW-Authenticate": "How to send a key",
    "X-Model-Version": "Name and version of the model that answers",
    "X-Request-ID": "The name of the request: the caller's, if it sent a sane one",
}


def headers(*names: str) -> dict[str, Any]:
    """The `headers` of a response."""
    return {name: {"description": _HEADERS[name], "schema": {"type": "string"}} for name in names}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that can fail with these statuses."""
    return {kind.status: problem(kind) for kind in BY_STATUS.values() if kind.status in statuses}


def problem(kind: Kind) -> dict[str, Any]:
    """The response of one kind of problem, with an example."""
    faults = [Fault(kind.example, "/humidity")] if kind is INVALID else []
    example = Problem(kind, kind.example, faults).document("/predict/bikes")
    return _response(kind, MEDIA_TYPE, ProblemDocument, example)


def inference_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """As `problems`, for the routes of the Open Inference Protocol."""
    return {
        kind.status: inference_problem(kind)
        for kind in BY_STATUS.values()
        if kind.status in statuses
    }


def inference_problem(kind: Kind) -> dict[str, Any]:
    """The response of one kind of problem in the form of the protocol."""
    return _response(kind, "application/json", InferenceError, {"error": kind.example})


def _response(kind: Kind, media_type: str, form: type[BaseModel], example: Any) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{form.__name__}"}
    return {
        "description": f"{kind.title}. {kind.remedy}",
        "headers": headers("X-Request-ID", *kind.headers),
        "content": {media_type: {"schema": schema, "example": example}},
    }
