"""The Open Inference Protocol v2 over REST, under /v2: its clients work unchanged.

Every failure is `{"error": "..."}`, the form that `service.errors` gives to answers under /v2. A bad
row fails the whole request, because the protocol has no other way to report it. Only the active version
is loaded, so any other one is not found.
"""

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Request
from starlette.types import Receive, Scope, Send

from models import __version__
from models.model import Prediction
from models.tasks import TASKS
from service import batches, headers, tensors
from service.errors import NOT_FOUND, RETRY_AFTER, UNAVAILABLE, Fault, Problem, invalid
from service.exchange import Exchange
from service.inference_schema import (
    InferenceRequest,
    InferenceResponse,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
    TensorMetadata,
)
from service.limits import Turns
from service.raw_routes import JSON, RawRoute, media_type, read_body, send_bytes
from service.registry import Registry
from service.routes import documented, models
from service.routes.models import Name
from service.served import Served
from service.settings import Settings

EXTENSIONS = ["binary_tensor_data"]
OCTETS = b"application/octet-stream"
JSON_LENGTH = b"inference-header-content-length"

Version = Annotated[
    str, Path(description="The version that answers", examples=["20261124T013000Z-1a2b3c4d"])
]
_TAGS: list[Any] = ["inference protocol"]


def router(registry: Registry) -> APIRouter:
    """Health and metadata."""
    routes = APIRouter(prefix="/v2", tags=_TAGS)
    missing = documented.inference_problems(404)

    @routes.get("/", include_in_schema=False)
    @routes.get("", summary="What the server is")
    async def v2_server() -> ServerMetadata:
        return ServerMetadata(name="backprop-service", version=__version__, extensions=EXTENSIONS)

    @routes.get("/health/live", summary="Whether the server takes requests")
    async def v2_live() -> ServerLive:
        return ServerLive(live=True)

    @routes.get(
        "/health/ready",
        summary="Whether every model can answer",
        responses=documented.inference_problems(503),
    )
    async def v2_ready() -> ServerReady:
        if not registry.ready:
            raise Problem(UNAVAILABLE, "The server is not ready.", headers=RETRY_AFTER)
        return ServerReady(live=True, ready=True)

    def metadata(served: Served) -> ModelMetadata:
        return ModelMetadata(
            name=served.name,
            versions=[served.version],
            platform="backprop_numpy",
            inputs=_described(tensors.inputs_of(served.model.task)),
            outputs=_described(tensors.outputs_of(served.model.task)),
        )

    @routes.get("/models/{name}", summary="What a model takes and gives", responses=missing)
    async def v2_model(request: Request, name: Name) -> ModelMetadata:
        return metadata(find(registry, request.scope, name))

    @routes.get(
        "/models/{name}/versions/{version}",
        summary="What a version takes and gives",
        responses=missing,
    )
    async def v2_version(request: Request, name: Name, version: Version) -> ModelMetadata:
        return metadata(find(registry, request.scope, name, version))

    @routes.get("/models/{name}/ready", summary="Whether a model can answer", responses=missing)
    async def v2_model_ready(request: Request, name: Name) -> ModelReady:
        return ModelReady(name=find(registry, request.scope, name).name, ready=True)

    @routes.get(
        "/models/{name}/versions/{version}/ready",
        summary="Whether a version can answer",
        responses=missing,
    )
    async def v2_version_ready(request: Request, name: Name, version: Version) -> ModelReady:
        return ModelReady(name=find(registry, request.scope, name, version).name, ready=True)

    return routes


def _described(columns: list[tuple[str, str]]) -> list[TensorMetadata]:
    return [TensorMetadata(name=name, datatype=kind, shape=[-1]) for name, kind in columns]


def find(registry: Registry, scope: Scope, name: str, version: str | None = None) -> Served:
    """As `models.find`, and of a version if one is given. Raises Problem."""
    served = models.find(registry, scope, name)
    if version is not None and version != served.version:
        words = f"version {version[:50]} of {name} is not loaded; {served.version} is"
        raise Problem(NOT_FOUND, words)
    return served


class Infer:
    """Answers columns of rows, as an ASGI application."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._registry = registry
        self._most = settings.batch_rows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Raises Problem."""
        served = find(self._registry, scope, **scope["path_params"])
        media_type(scope, JSON, OCTETS)  # raises for any other
        body, turns = await read_body(receive), Turns(scope)
        task = served.model.task
        asked = await tensors.read(body, json_length(scope), task, self._most, turns)
        prediction, bits = await answer(turns, served, asked, self._most)
        body, length = tensors.write(served, asked, prediction, bits)
        if length is None:
            await send_bytes(send, JSON, body)
        else:
            await send_bytes(send, OCTETS, body, (JSON_LENGTH, b"%d" % length))


def json_length(scope: Scope) -> int | None:
    """The length of the JSON in a body with binary tensors, else None. Raises Problem."""
    value = headers.of(scope).get(JSON_LENGTH)
    if not value:
        return None
    if not (value.isdigit() and len(value) < 19):  # noqa: PLR2004 - what fits 63 bits
        raise invalid([Fault("Inference-Header-Content-Length must be a whole number")])
    return int(value)


async def answer(
    turns: Turns, served: Served, asked: tensors.Asked, most: int
) -> tuple[Prediction, Any]:
    """The answers, slice by slice, and `Served.outside` of each row. Raises Problem."""
    batch = batches.of_columns(asked.values, served.model.task, most)
    pieces, bits, inputs = [], [], []
    for start in range(0, max(batch.n_rows, 1), batches.SLICE_ROWS):
        rows = await batch.piece(start, min(start + batches.SLICE_ROWS, batch.n_rows), turns)
        if rows.faults:
            raise _refusal(rows.faults, start)
        await turns.pause()
        pieces.append(served.model.predict(rows.columns, asked.level))
        bits.append(served.outside(rows.columns))
        inputs.append(rows.columns)
        await turns.pause()
    ends = ([getattr(p, end) for p in pieces] for end in ("value", "low", "high"))
    prediction = Prediction(*map(np.concatenate, ends))
    outside = np.concatenate(bits)
    exchange: Exchange = turns.scope["exchange"]
    exchange.rows, exchange.values = batch.n_rows, prediction.value
    exchange.columns = {name: np.concatenate([c[name] for c in inputs]) for name in inputs[0]}
    exchange.outside = int(np.count_nonzero(outside))
    return prediction, outside


def _refusal(faults: dict[int, list[Fault]], start: int) -> Problem:
    (row, found), *others = sorted(faults.items())
    rest = f" (and {len(others)} more rows)" if others else ""
    return invalid([Fault(f"row {start + row}: {found[0].detail}{rest}")])


def infer_routes(registry: Registry, settings: Settings) -> list[RawRoute]:
    """The routes of inference, for a model and for a version of it."""

    def v2_infer(name: Name) -> Any: ...

    def v2_version_infer(name: Name, version: Version) -> Any: ...

    app = Infer(registry, settings)
    return [
        _route("/v2/models/{name}/infer", v2_infer, app, "Infer: rows by column"),
        _route(
            "/v2/models/{name}/versions/{version}/infer",
            v2_version_infer,
            app,
            "Infer with a version: rows by column",
        ),
    ]


def _route(path: str, signature: Callable[..., Any], app: Infer, summary: str) -> RawRoute:
    octets = {"schema": {"type": "string", "format": "binary"}}
    request = {"schema": {"$ref": f"#/components/schemas/{InferenceRequest.__name__}"}}
    return RawRoute(
        path,
        signature,
        app=app,
        methods=["POST"],
        name=signature.__name__,
        operation_id=signature.__name__,
        summary=summary,
        tags=_TAGS,
        response_model=InferenceResponse,
        responses={
            200: {"content": {OCTETS.decode(): octets}},
            **documented.inference_problems(400, 404, 413, 415, 503, 504),
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {JSON.decode(): request | {"examples": _examples()}},
            }
        },
    )


def _examples() -> dict[str, Any]:
    """A request of one row for each model."""
    return {
        task.name: {
            "value": {
                "id": "42",
                "inputs": [
                    {"name": name, "datatype": kind, "shape": [1], "data": [field.example]}
                    for (name, kind), field in zip(
                        tensors.inputs_of(task), task.fields, strict=True
                    )
                ],
            }
        }
        for task in TASKS.values()
    }
