"""The fast path to the prediction routes, and helpers for routes that are plain ASGI callables.

FastAPI's handling of a request (middleware stack, routing by regular expressions, dependency solving,
body parsing, response serialisation) costs several times as much as a prediction. So the prediction routes
are `RawRoute`s. To FastAPI's router and its OpenAPI document each is an ordinary route with a signature,
but it is answered by our own ASGI callable, which reads the body, validates it with the same pydantic
class, and writes the bytes. `Shortcut` sits in front of FastAPI and calls it directly if method and path
are exactly those of a raw route. Any other request (another method, an unknown path, a trailing slash)
goes to FastAPI, whose router ends at the same callable. Errors are raised as everywhere else and answered
in one place (`service.exchange`).
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service import headers
from service.errors import MALFORMED, MEDIA, Problem
from service.headers import Header

JSON = b"application/json"


class RawRoute(APIRoute):
    """A route that is documented by `signature` and answered by the ASGI callable `app`."""

    def __init__(
        self, path: str, signature: Callable[..., Any], *, app: ASGIApp, **options: Any
    ) -> None:
        super().__init__(path, signature, **options)
        self.app = app


class Shortcut:
    """Calls raw routes directly; passes every other request to `app`."""

    def __init__(self, app: ASGIApp, routes: Iterable[RawRoute]) -> None:
        self._app = app
        self._routes = {
            (method, route.path): route.app for route in routes for method in route.methods or ()
        }

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Route by a dictionary of methods and paths."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        app = self._routes.get((scope["method"], scope["path"]), self._app)
        return app(scope, receive, send)


async def read_body(receive: Receive) -> bytes:
    """The whole body of a request; `service.limits` has checked its size. Raises Problem."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise Problem(MALFORMED, "The connection was closed before the body was complete.")
    return body


def media_type(scope: Scope, *taken: bytes) -> bytes:
    """The media type of the body, lower-case, without parameters; b"" where the caller does not say.

    Raises Problem for one that is not `taken`, and for a compressed body.
    """
    given = headers.of(scope)
    encoding = given.get(b"content-encoding", b"")
    if encoding and encoding.strip().lower() != b"identity":
        shown = encoding.decode("latin-1")[:50]
        words = f"The body must be sent as it is, and Content-Encoding says {shown}."
        raise Problem(MEDIA, words, headers=[(b"accept-encoding", b"identity")])
    found = given.get(b"content-type", b"")
    if found not in taken:
        found = found.split(b";", 1)[0].strip().lower()
    if found and found not in taken:
        shown = found.decode("latin-1")[:50]
        words = f"The body must be {b' or '.join(taken).decode()}, and Content-Type says {shown}."
        raise Problem(MEDIA, words, headers=[(b"accept-post", b", ".join(taken))])
    return found


async def send_bytes(send: Send, content_type: bytes, body: bytes, *more: Header) -> None:
    """Send an answer of status 200, with these headers and `more`."""
    given = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": 200, "headers": given})
    await send({"type": "http.response.body", "body": body})
