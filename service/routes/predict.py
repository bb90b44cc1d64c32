"""POST /predict/{name}: one row."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Query
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.types import Receive, Scope, Send

from models.arrays import Row
from models.interval import HIGHEST_LEVEL, LOWEST_LEVEL
from models.rows import columns_of
from service import explanations, query, replies
from service.batches import FORMS
from service.errors import MALFORMED, Fault, Problem, invalid
from service.exchange import Exchange
from service.fault_messages import faults_of, type_words
from service.microbatch import shared
from service.parsing import not_json
from service.query import DEFAULTS
from service.raw_routes import JSON, RawRoute, media_type, read_body, send_bytes
from service.registry import Registry
from service.routes import documented
from service.schemas import ANSWERS, REQUESTS

PARAMETERS = ("level", "explain")


class Predict:
    """Answers one row of the task `name`, as an ASGI application."""

    def __init__(self, name: str, registry: Registry) -> None:
        self._name = name
        self._registry = registry
        self._validate = REQUESTS[name].__pydantic_validator__.validate_json

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Raises Problem."""
        exchange: Exchange = scope["exchange"]
        served = exchange.served = self._registry[self._name]
        media_type(scope, JSON)  # raises for any other
        options = query.parse(scope["query_string"], PARAMETERS)
        body = await read_body(receive)
        try:
            request = self._validate(body)
        except ValidationError as error:
            raise self._problem(error, body) from None
        row: Row = request.__dict__
        answer = await shared(scope, served.model.predict_few, (row, options.level))
        explanation = None
        if options.explain:
            columns = columns_of([row], served.model.task)
            explanation = await explanations.of_row(scope, served, columns, answer.value)
        bits = served.outside_of_one(row)
        exchange.rows, exchange.row, exchange.value = 1, row, answer.value
        exchange.outside = int(bits != 0)
        body = replies.one(served, answer, options.level, bits, explanation)
        if not exchange.answer_whole(served, body):
            await send_bytes(send, JSON, body)

    def _problem(self, error: ValidationError, body: bytes) -> Problem:
        entries = error.errors(include_url=False, include_input=False)
        if entries[0]["type"] == "json_invalid":
            return not_json(body, entries[0]["ctx"]["error"])
        elsewhere = f"many rows go to /predict/{self._name}/batch"
        if not entries[0]["loc"]:
            value = from_json(body)
            hint = f"; {elsewhere}" if isinstance(value, list) else ""
            words = f"The body must be a JSON object with fields, and is {type_words(value)}{hint}."
            return Problem(MALFORMED, words)
        unknown = {entry["loc"][0] for entry in entries if entry["type"] == "extra_forbidden"}
        many = [
            Fault(f"there is no field {f}; {elsewhere}", f"/{f}") for f in FORMS if f in unknown
        ]
        if many:
            return invalid(many)
        return invalid(faults_of(error, self._registry[self._name].model.task))


def signature(name: str) -> Callable[..., Any]:
    """The documentation of the route: its parameters as FastAPI reads them."""
    request_class = REQUESTS[name]

    def predict(
        row: Any,
        level: Annotated[
            float, Query(ge=LOWEST_LEVEL, le=HIGHEST_LEVEL, description=documented.LEVEL)
        ] = DEFAULTS.level,
        explain: Annotated[bool, Query(description=documented.EXPLAIN)] = DEFAULTS.explain,
    ) -> Any: ...

    predict.__annotations__["row"] = request_class
    return predict


def route(name: str, title: str, registry: Registry) -> RawRoute:
    """The route of one task."""
    return RawRoute(
        f"/predict/{name}",
        signature(name),
        app=Predict(name, registry),
        methods=["POST"],
        name=f"predict_{name}",
        operation_id=f"predict_{name}",
        summary=title,
        tags=["predict"],
        response_model=ANSWERS[name],
        responses=documented.problems(*documented.ROW_PROBLEMS),
    )
