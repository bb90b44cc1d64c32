"""GET /docs, /openapi.json and /static/...: the API reference, and the files that pages need."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).parent.parent / "web"

PAGE_HEADERS = {"cache-control": "no-cache"}
"""The headers of every page, beside those of `service.headers`."""


class Assets(StaticFiles):
    """The files of `web/static`; one in a folder with a version never changes."""

    def file_response(self, full_path: Any, *arguments: Any, **options: Any) -> Response:
        """A file with its caching headers."""
        response = super().file_response(full_path, *arguments, **options)
        versioned = Path(full_path).parent.name[-1:].isdigit()
        response.headers["cache-control"] = (
            "public, max-age=31536000, immutable" if versioned else "no-cache"
        )
        return response


def router() -> APIRouter:
    """The routes of this module."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/docs")
    async def reference() -> Response:
        return FileResponse(FOLDER / "reference.html", headers=PAGE_HEADERS)

    @routes.get("/openapi.json")
    def document(request: Request) -> Response:
        """Answer in a thread: to make it takes hundreds of milliseconds, when it is first asked for."""
        return JSONResponse(request.app.openapi())

    routes.mount("/static", Assets(directory=FOLDER / "static"))
    return routes
