"""GET /docs, /openapi.json and /static/...: the API reference, and the files that pages need."""

from pathlib import Path
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from service.headers import Header
from service.routes.pages import FOR_EVER, File

FOLDER = Path(__file__).parent.parent / "web"


class Assets(StaticFiles):
    """The files of `web/static`; one in a folder with a version never changes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        whole = {**scope, "headers": _without_range(scope)}
        await super().__call__(whole, receive, send)

    def file_response(self, full_path: Any, *arguments: Any, **options: Any) -> Response:
        """A file with its caching headers."""
        response = super().file_response(full_path, *arguments, **options)
        versioned = Path(full_path).parent.name[-1:].isdigit()
        response.headers["cache-control"] = FOR_EVER if versioned else "no-cache"
        del response.headers["accept-ranges"]
        return response


def _without_range(scope: Scope) -> list[Header]:
    """The headers of a request for a file, which is sent whole, as RFC 9110, section 14.2, allows.

    Starlette answers a range that it cannot send, or does not know, in plain text.
    """
    return [header for header in scope["headers"] if header[0] != b"range"]


def router() -> APIRouter:
    """The routes of this module."""
    routes = APIRouter(include_in_schema=False)
    page = File("reference.html", (FOLDER / "reference.html").read_bytes())
    described: list[File] = []

    @routes.get("/docs")
    async def reference(request: Request) -> Response:
        return page.answer(request, "no-cache")

    @routes.get("/openapi.json")
    def document(request: Request) -> Response:
        """Answer in a thread: to make it takes hundreds of milliseconds, when it is first asked for."""
        if not described:
            described.append(File("openapi.json", orjson.dumps(request.app.openapi())))
        return described[0].answer(request, "no-cache")

    routes.mount("/static", Assets(directory=FOLDER / "static"))
    return routes
