"""The headers of a request by name, and the security headers of answers.

`service.exchange` adds ALWAYS to every answer, errors included, and PAGE_POLICY to every page (text/html).
A route need not do anything for it.

No answer names the software or a version of it (uvicorn's `server` header is off), and other origins
may not read answers unless the setting `cors_origins` names them (`allow_origins`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from starlette.middleware.cors import CORSMiddleware

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

    from service.app import Layer

Header = tuple[bytes, bytes]

ALWAYS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)

PAGE_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""A page may load what this service serves and nothing else, has no inline code, and is in no frame."""


def of(scope: Scope) -> dict[bytes, bytes]:
    """The headers of a request by lower-case name; the first one if a name is repeated."""
    found: dict[bytes, bytes] | None = scope.get("headers_by_name")
    if found is None:
        found = scope["headers_by_name"] = dict(reversed(scope["headers"]))
    return found


def listed(scope: Scope, name: bytes) -> bytes:
    """A header whose value is a list, which may come in several lines (RFC 9110, section 5.3); or b""."""
    return b", ".join([value for key, value in scope["headers"] if key == name])


def qualities(value: bytes) -> dict[bytes, float]:
    """The weight of each choice of an Accept or Accept-Encoding header (RFC 9110, section 12.4.2)."""
    found: dict[bytes, float] = {}
    for part in value.lower().split(b","):
        choice, *parameters = (piece.strip() for piece in part.split(b";"))
        found[choice] = next((_quality(p[2:]) for p in parameters if p[:2] == b"q="), 1.0)
    return found


def _quality(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def is_held(tag: str, scope: Scope) -> bool:
    """Whether the client has the content with this ETag: If-None-Match names it, or any (`*`)."""
    known = listed(scope, b"if-none-match")
    return tag.encode() in known or known.strip() == b"*"


def of_page(headers: Iterable[Header]) -> tuple[Header, ...]:
    """The headers to add to an answer with these headers: PAGE_POLICY if it is a page."""
    for name, value in headers:
        if name == b"content-type" and value.startswith(b"text/html"):
            return ((b"content-security-policy", PAGE_POLICY),)
    return ()


class _Fork:
    """Sends preflights (a browser asks whether it may) one way, and all other requests another."""

    def __init__(self, preflights: ASGIApp, others: ASGIApp) -> None:
        self._preflights, self._others = preflights, others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_preflight = (
            scope["type"] == "http"
            and scope["method"] == "OPTIONS"
            and b"access-control-request-method" in of(scope)
        )
        await (self._preflights if is_preflight else self._others)(scope, receive, send)


def allow_origins(origins: Sequence[str]) -> tuple[list[Layer], list[Layer]]:
    """The CORS layers that let pages of `origins` read answers ("*": of all); none without one.

    Returns a layer outside the exchange, so that refusals have its headers, too, and one within it that
    answers preflights, so that they have an id and a line in the log.
    """
    if not origins:
        return [], []
    layer = partial(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=[
            "Authorization",
            "Content-Type",
            "If-None-Match",
            "Inference-Header-Content-Length",
            "Traceparent",
            "X-API-Key",
            "X-Request-ID",
            "X-Request-Timeout",
        ],
        expose_headers=[
            "ETag",
            "Inference-Header-Content-Length",
            "Retry-After",
            "X-Model-Version",
            "X-Request-ID",
        ],
    )
    return [lambda app: _Fork(app, layer(app))], [lambda app: _Fork(layer(app), app)]
