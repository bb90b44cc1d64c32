"""The OpenAPI document: FastAPI's, completed.

Every answer gets its headers, and every route the problems that any route can have, which are defined once
under `components`. FastAPI's own validation errors, which this service does not use, are removed. API keys
are declared as optional, because a setting decides whether they are required.
"""

from typing import Any

from service.errors import (
    BY_STATUS,
    HEADERS_TOO_LARGE,
    INTERNAL,
    TIMEOUT,
    UNAUTHORIZED,
    is_inference,
)
from service.inference_schema import InferenceError, InferenceRequest
from service.keys import is_open
from service.routes.documented import headers, inference_problem, problem
from service.schemas import ProblemDocument

DESCRIPTION = """\
Forecasts of bike rentals and of admissions, by two neural-network models.

Every failure says what is wrong and what would be right: in a problem document (RFC 9457), or
under `/v2` in the form of the Open Inference Protocol.
Every answer carries `X-Request-ID`: yours, if you send one of at most 128 letters, digits and
`. _ : -`. `X-Request-Timeout` says how many seconds a prediction may take.
"""
TAGS = [
    {"name": "predict", "description": "Answers of the models"},
    {"name": "models", "description": "What is served: model cards and versions"},
    {
        "name": "inference protocol",
        "description": "Open Inference Protocol v2: for its clients, such as those of Triton and KServe",
    },
    {"name": "problems", "description": "What the `type` of a problem means"},
    {"name": "health", "description": "For those who run the service"},
]
KEYS = {
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}

RESPONSES = "#/components/responses/"

_UNUSED = ("HTTPValidationError", "ValidationError")
_FIRST_ERROR = 400
_OF_A_MODEL = ("/predict/", "/models/", "/v2/models/")


def document(made: dict[str, Any]) -> dict[str, Any]:
    """Complete `made`, in place, and return it."""
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in _UNUSED:
        schemas.pop(name, None)
    for model in (ProblemDocument, InferenceRequest, InferenceError):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= {**schema.pop("$defs", {}), model.__name__: schema}
    components["securitySchemes"] = KEYS
    used: set[str] = set()
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            _complete(operation, path, method)
            used.update(response.get("$ref", "") for response in operation["responses"].values())
    _widen(made)
    kinds = BY_STATUS.values()
    responses = {kind.slug: problem(kind) for kind in kinds}
    responses |= {f"v2-{kind.slug}": inference_problem(kind) for kind in kinds}
    components["responses"] = {
        name: response for name, response in responses.items() if RESPONSES + name in used
    }
    return made


def _complete(operation: dict[str, Any], path: str, method: str) -> None:
    """Add to an operation what every route has, and replace its problems by references."""
    common = [HEADERS_TOO_LARGE, INTERNAL]
    if method == "post":
        common.append(TIMEOUT)
    operation["security"] = []  # said, because linters ask whether it was forgotten
    if not is_open(path):
        common.append(UNAUTHORIZED)
        operation["security"] = [{}, *({name: []} for name in KEYS)]
    prefix = "v2-" if is_inference(path) else ""
    responses = operation["responses"]
    for kind in BY_STATUS.values():
        status = str(kind.status)
        if kind in common or _is_ours(responses.get(status, {})):
            responses[status] = {"$ref": f"{RESPONSES}{prefix}{kind.slug}"}
        else:
            responses.pop(status, None)
    about_model = path.startswith(_OF_A_MODEL)
    for status, response in responses.items():
        if int(status) < _FIRST_ERROR:
            names = ("X-Request-ID", "X-Model-Version") if about_model else ("X-Request-ID",)
            response["headers"] = response.get("headers", {}) | headers(*names)
    operation["responses"] = dict(sorted(responses.items()))


def _widen(part: Any) -> None:
    """Say of each number that it is a float64; clients of Go would read it as a float32."""
    if isinstance(part, dict):
        if part.get("type") == "number":
            part["format"] = "double"
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            _widen(each)


def _is_ours(response: dict[str, Any]) -> bool:
    """Whether a response was declared by our route; FastAPI's own 422 has no headers."""
    return "headers" in response
