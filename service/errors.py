"""Every failure as RFC 9457 problem+json, and the only place where its status is chosen.

The service raises `Problem` with one of `KINDS`; `problem_of` translates the errors of `models` and of the
frameworks; `response_to` makes the answer. No answer contains a traceback or a Python repr. Answers under
/v2 have the form of the Open Inference Protocol.
"""

from asyncio import CancelledError
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from models.errors import InputError, ProjectError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = ((b"retry-after", b"1"),)


@dataclass(frozen=True)
class Kind:
    """A kind of problem, as `GET /problems/{slug}` explains it.

    slug : the end of its `type`.
    remedy : what a caller can do.
    example : a detail that such a problem may have.
    headers : names of the extra headers of such an answer.
    """

    slug: str
    status: int
    title: str
    remedy: str
    example: str
    headers: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        """The URI reference that names this kind."""
        return f"/problems/{self.slug}"


MALFORMED = Kind(
    "malformed-body",
    400,
    "The body cannot be read",
    "Mend the body at the position that is named.",
    "The body is not JSON: expected value at line 1 column 15.",
)
NO_REQUEST = Kind(
    "malformed-request",
    400,
    "The request cannot be read",
    "Send a request of HTTP/1.1, without TLS.",
    "This is no request of HTTP/1.1 that can be read.",
)
UNAUTHORIZED = Kind(
    "unauthorized",
    401,
    "An API key is needed",
    "Send a valid key in the X-API-Key header.",
    "There is no API key. Send one as X-API-Key, or as Authorization: Bearer.",
    ("WWW-Authenticate",),
)
NOT_FOUND = Kind(
    "not-found",
    404,
    "There is nothing here",
    "Look up the routes in /docs.",
    "There is no model bike; did you mean bikes?",
)
METHOD = Kind(
    "method-not-allowed",
    405,
    "The route does not take this method",
    "Use a method that the Allow header lists.",
    "/predict/bikes takes POST.",
    ("Allow",),
)
TIMEOUT = Kind(
    "request-timeout",
    408,
    "The request came too slowly",
    "Send headers and body without pauses.",
    "The body of the request did not arrive within 30 seconds.",
)
TOO_LARGE = Kind(
    "too-large",
    413,
    "The request is too large",
    "Send less at once; the limit is in the detail.",
    "A batch may have at most 10000 rows, and this one has 12000.",
)
MEDIA = Kind(
    "unsupported-media-type",
    415,
    "The body is of a type that the route does not take",
    "Send one of the types that the detail lists, and say so in Content-Type.",
    "The body must be application/json, and Content-Type says text/plain.",
    ("Accept-Post",),
)
INVALID = Kind(
    "invalid-input",
    422,
    "The input cannot be taken",
    "Mend what each entry of errors says.",
    "humidity must be between 0 and 100 %",
)
HEADERS_TOO_LARGE = Kind(
    "headers-too-large",
    431,
    "The headers are too large",
    "Send fewer or shorter headers, or a shorter URL.",
    "The headers are larger than 65536 bytes.",
)
INTERNAL = Kind(
    "internal",
    500,
    "The service made a mistake",
    "Try again; if it stays, report the X-Request-ID of the answer.",
    "The service failed on this request; the cause is in its log.",
)
UNAVAILABLE = Kind(
    "unavailable",
    503,
    "The service cannot answer now",
    "Try again after the time that Retry-After names.",
    "128 of 128 places for single rows are taken; try again after the time in Retry-After.",
    ("Retry-After",),
)
DEADLINE = Kind(
    "deadline-passed",
    504,
    "The request's time is over",
    "Allow more time, or send smaller batches.",
    "The time that the request allows was over before the work was done.",
)

KINDS = (
    NO_REQUEST,
    MALFORMED,
    UNAUTHORIZED,
    NOT_FOUND,
    METHOD,
    TIMEOUT,
    TOO_LARGE,
    MEDIA,
    INVALID,
    HEADERS_TOO_LARGE,
    INTERNAL,
    UNAVAILABLE,
    DEADLINE,
)
"""Every kind, in the order of their statuses."""

BY_STATUS = {kind.status: kind for kind in KINDS if kind is not NO_REQUEST}
"""The kinds that an answer of a route can have; what is no request reaches none."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a request.

    detail : words that a person can act on.
    pointer : where in the body (JSON pointer, RFC 6901), or
    parameter : which query parameter, or
    header : which header.
    """

    detail: str
    pointer: str | None = None
    parameter: str | None = None
    header: str | None = None

    def as_json(self) -> dict[str, str]:
        """The entry of `errors`."""
        if self.pointer is not None:  # nearly always, and of a batch thousands of times
            return {"pointer": self.pointer, "detail": self.detail}
        where = {"parameter": self.parameter, "header": self.header}
        named = {name: place for name, place in where.items() if place is not None}
        return {**named, "detail": self.detail}


class Problem(ProjectError):  # noqa: N818 - RFC 9457's word
    """A request that fails, and why."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        faults: Iterable[Fault] = (),
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.faults = tuple(faults)
        self.headers = tuple(headers)

    def document(self, instance: str) -> dict[str, object]:
        """The problem document; `instance` is the path that was asked for."""
        document: dict[str, object] = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "instance": instance,
        }
        if self.faults:
            document["errors"] = [fault.as_json() for fault in self.faults]
        return document

    def body(self, instance: str) -> bytes:
        """The problem document as bytes."""
        return orjson.dumps(self.document(instance))


class CallerGoneError(Exception):
    """Ends work whose caller has left: there is nobody to answer."""


def invalid(faults: Iterable[Fault]) -> Problem:
    """A 422 problem, whose detail is that of the first fault, with the number of the others."""
    faults = tuple(faults)
    return Problem(INVALID, first_of(faults), faults)


def first_of(faults: Sequence[Fault]) -> str:
    """The words of the first fault, with the number of the others."""
    rest = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return faults[0].detail + rest


def problem_of(error: BaseException, path: str) -> Problem:
    """The problem that a caller is told when `error` was raised for a request to `path`."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, CancelledError):
        # by the server, whose time for requests in flight is over
        words = "The service stops, and the request was not done in the time that was left."
        return Problem(UNAVAILABLE, words, headers=RETRY_AFTER)
    if isinstance(error, InputError):
        return Problem(INVALID, str(error))
    if isinstance(error, RequestValidationError):
        return invalid(_of_fastapi(entry) for entry in error.errors())
    if isinstance(error, HTTPException):
        return _of_http_exception(error, path)
    return Problem(INTERNAL, "The service failed on this request; the cause is in its log.")


def _of_fastapi(entry: Any) -> Fault:
    """A fault of a parameter of an ordinary route, in pydantic's words."""
    where, *path = entry["loc"]
    name = str(path[-1]) if path else where
    return Fault(f"{name}: {entry['msg']}", parameter=name)


def _of_http_exception(error: HTTPException, path: str) -> Problem:
    kind = BY_STATUS.get(error.status_code, INTERNAL)
    given = dict(error.headers or {})
    if "Allow" in given:  # GET takes HEAD with it, see `service.head`; Starlette's order is a set's
        methods = set(given["Allow"].split(", "))
        given["Allow"] = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
    headers = [(k.lower().encode(), v.encode()) for k, v in given.items()]
    details = {
        NOT_FOUND: f"There is no route {path}; /docs lists the routes.",
        METHOD: f"{path} takes {given.get('Allow', 'another method')}.",
    }
    return Problem(kind, details.get(kind, kind.title + "."), headers=headers)


def response_to(scope: Scope, problem: Problem) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of the answer that reports `problem` to the request."""
    status, media_type, body = answer_of(problem, instance_of(scope))
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", b"%d" % len(body)),
        *problem.headers,
    ]
    return status, headers, b"" if scope["method"] == "HEAD" else body


def answer_of(problem: Problem, path: str) -> tuple[int, str, bytes]:
    """Status, media type and body of the answer that reports `problem`.

    Under /v2 they are those of the Open Inference Protocol, which demands 400 for invalid input.
    """
    if is_inference(path):
        kind = MALFORMED if problem.kind is INVALID else problem.kind
        return kind.status, "application/json", orjson.dumps({"error": problem.detail})
    return problem.kind.status, MEDIA_TYPE, problem.body(path)


def is_inference(path: str) -> bool:
    """Whether a path belongs to the Open Inference Protocol."""
    return path == "/v2" or path.startswith("/v2/")


def instance_of(scope: Scope) -> str:
    """The request's path as it was sent, percent-encoded."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.decode("ascii", "replace")
