"""POST /predict/{name}/batch: many rows, as JSON by rows or by columns, or as CSV."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Query
from python_multipart.exceptions import MultipartParseError
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Receive, Scope, Send

from models.interval import HIGHEST_LEVEL, LOWEST_LEVEL
from models.task import Task
from models.tasks import TASKS
from service import batches, query, tables
from service.errors import MALFORMED, Fault, Problem, invalid
from service.exchange import Exchange
from service.headers import listed, qualities
from service.limits import Turns
from service.parsing import check_csv
from service.query import DEFAULTS
from service.raw_routes import JSON, RawRoute, media_type, read_body, send_bytes
from service.registry import Registry
from service.routes import documented
from service.schemas import BATCH_ANSWERS, REQUESTS
from service.settings import Settings

PARAMETERS = ("level", "explain", "strict")
CSV = b"text/csv"
FORM = b"multipart/form-data"
_WITHOUT_PREFERENCE = {b"", b"*/*", JSON}
"""What most clients accept."""


class PredictBatch:
    """Answers many rows of the task `name`, as an ASGI application."""

    def __init__(self, name: str, registry: Registry, settings: Settings) -> None:
        self._name = name
        self._registry = registry
        self._most = settings.batch_rows
        self._most_explained = settings.explain_rows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Raises Problem."""
        exchange: Exchange = scope["exchange"]
        served = exchange.served = self._registry[self._name]
        options = query.parse(scope["query_string"], PARAMETERS)
        turns = Turns(scope)
        batch = await self._read(scope, receive, served.model.task, turns)
        if options.explain:
            batches.limit(batch.n_rows, self._most_explained, "With explain=true a batch")
        as_csv = wants_csv(listed(scope, b"accept"))
        reply = await batches.answer(turns, served, batch, options, as_csv=as_csv)
        exchange.rows, exchange.outside = batch.n_rows, reply.outside
        exchange.columns, exchange.values = reply.columns, reply.values
        await send_bytes(send, b"text/csv; charset=utf-8" if as_csv else JSON, reply.body)

    async def _read(
        self, scope: Scope, receive: Receive, task: Task, turns: Turns
    ) -> batches.Batch:
        found = media_type(scope, JSON, CSV, FORM)
        body = await read_body(receive)
        if found == FORM:
            body = await uploaded_file(scope, body)
        if found in (CSV, FORM):
            check_csv(body, self._most)
            table = await tables.read_csv(body, task, turns)
            return batches.of_table(table, task, self._most)
        return batches.read_json(body, task, self._most)


def wants_csv(accept: bytes) -> bool:
    """Whether an Accept header prefers CSV to JSON (RFC 9110, section 12.5.1); JSON is the default.

    Of two types with equal weight, one that is named is preferred to one that only a wildcard admits.
    """
    if accept in _WITHOUT_PREFERENCE:
        return False
    quality = qualities(accept)

    def wanted(*names: bytes) -> tuple[float, int]:
        found = ((quality[n], -at) for at, n in enumerate(names) if n in quality)
        return next(found, (0.0, 0))

    csv = wanted(CSV, b"text/*", b"*/*")
    return csv[0] > 0 and csv > wanted(JSON, b"application/*", b"*/*")


async def uploaded_file(scope: Scope, body: bytes) -> bytes:
    """The content of the one file of a form, in its field `file`. Raises Problem."""

    async def chunks() -> Any:
        yield body
        yield b""

    parser = MultiPartParser(Headers(scope=scope), chunks(), max_files=1, max_fields=0)
    parser.spool_max_size = len(body)  # else a file of more than 1 MB would go to a disk
    try:
        form = await parser.parse()
    except (MultiPartException, MultipartParseError, KeyError):
        words = "The form cannot be read; it must have one file, in the field file."
        raise Problem(MALFORMED, words) from None
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise invalid([Fault("the form must have one file, in the field file", "/file")])
        return await file.read()
    finally:
        await form.close()


def signature(most_explained: int) -> Callable[..., Any]:
    """The documentation of the route: its parameters as FastAPI reads them."""
    explain_words = f"{documented.EXPLAIN}; for at most {most_explained} rows"

    def predict_batch(
        level: Annotated[
            float, Query(ge=LOWEST_LEVEL, le=HIGHEST_LEVEL, description=documented.LEVEL)
        ] = DEFAULTS.level,
        explain: Annotated[bool, Query(description=explain_words)] = DEFAULTS.explain,
        strict: Annotated[bool, Query(description=documented.STRICT)] = DEFAULTS.strict,
    ) -> Any: ...

    return predict_batch


def route(name: str, title: str, registry: Registry, settings: Settings) -> RawRoute:
    """The route of one task."""
    return RawRoute(
        f"/predict/{name}/batch",
        signature(settings.explain_rows),
        app=PredictBatch(name, registry, settings),
        methods=["POST"],
        name=f"predict_{name}_batch",
        operation_id=f"predict_{name}_batch",
        summary=f"{title}, many rows",
        tags=["predict"],
        response_model=BATCH_ANSWERS[name],
        responses={
            200: {"content": {"text/csv": {"schema": csv_answer(name)}}},
            **documented.problems(*documented.ROW_PROBLEMS),
        },
        openapi_extra={"requestBody": request_body(name, settings.batch_rows)},
    )


def csv_answer(name: str) -> dict[str, Any]:
    """The schema of an answer in CSV."""
    task = TASKS[name]
    columns = ", ".join([*task.answer_names, "warnings", "error"])
    explained = ", ".join(["baseline", *(f"contribution_{field}" for field in task.field_names)])
    return {
        "type": "string",
        "description": f"A line a row, with the columns {columns}; a row that "
        "cannot be answered has its faults in the column error and nothing else. With explain=true "
        f"the columns {explained} stand before warnings",
    }


def request_body(name: str, most: int) -> dict[str, Any]:
    """The request body for the OpenAPI document.

    A row may be anything, because an invalid one is answered with its error in place; so the schema of
    a row is "such an object, or anything". The titles become the names of classes in generated clients.
    """
    request = REQUESTS[name]
    stem = request.__name__.removesuffix("Request")
    fields = request.model_json_schema()
    example = {field.name: field.example for field in TASKS[name].fields}
    row = {"anyOf": [{"$ref": f"#/components/schemas/{request.__name__}"}, {}]}
    rows = {
        "type": "array",
        "description": "Rows; one that is invalid has its error in place of its answer",
        "items": row,
        "maxItems": most,
    }
    columns = {
        field: {"type": "array", "items": {"anyOf": [schema, {}]}, "maxItems": most}
        for field, schema in fields["properties"].items()
    }
    inputs = {
        "type": "object",
        "title": f"{stem}Inputs",
        "description": "Lists of one length; a row that is invalid has its error in place of its answer",
        "properties": columns,
        "required": fields["required"],
        "additionalProperties": False,
    }
    lines = [",".join(example), ",".join(_cell(value) for value in example.values())]
    return {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "title": f"{stem}Batch",
                    "oneOf": [
                        _only("instances", rows, f"{stem}Instances"),
                        _only("inputs", inputs, f"{stem}Columns"),
                    ],
                },
                "examples": {
                    "rows": {"value": {"instances": [example]}},
                    "columns": {"value": {"inputs": {k: [v] for k, v in example.items()}}},
                },
            },
            "text/csv": {"schema": {"type": "string"}, "example": "\n".join(lines) + "\n"},
            "multipart/form-data": {
                "schema": _only("file", {"type": "string", "format": "binary"}, "BatchFile"),
            },
        },
    }


def _only(name: str, schema: dict[str, Any], title: str) -> dict[str, Any]:
    return {
        "type": "object",
        "title": title,
        "properties": {name: schema},
        "required": [name],
        "additionalProperties": False,
    }


def _cell(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
