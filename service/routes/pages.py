"""GET / and its siblings: the pages of the product, and the files that they are made of.

The files of `web/pages` (of the types that pages consist of) are read once, compressed when they are first
asked for, and kept in memory. Pages refer to their assets under `/pages/assets/`; in what is sent these
links lead to a folder whose name is a digest of all assets, so browsers can cache them for ever, and
new code has new names. `<!-- include NAME -->` in a page is replaced by a file of `web/pages/parts`.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from models import calendar
from service import headers
from service.errors import INVALID, NOT_FOUND, Fault, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.requests import Request
    from starlette.types import Scope

FOLDER = Path(__file__).parent.parent / "web" / "pages"
ASSETS = "/pages/assets/"
PARTS = "parts/"  # of the pages, below FOLDER: never sent alone

FOR_EVER = "public, max-age=31536000, immutable"
_PACKED = {".html", ".css", ".js", ".json", ".svg", ".txt"}
_SENT = _PACKED | {".woff2"}
_INCLUDE = re.compile(rb" *<!-- include ([\w.]+)(?:, current (\S+))? -->\n")
_TYPES = {".js": "text/javascript", ".woff2": "font/woff2"}


@dataclass(frozen=True)
class File:
    """A file as it is sent; its type follows from the suffix of its name."""

    name: str
    body: bytes

    @cached_property
    def tags(self) -> tuple[str, str]:
        """The ETags of the file as it is and compressed, whose bytes differ (RFC 9110, section 8.8.3.3)."""
        digest = _digest(self.body)
        return f'"{digest}"', f'"{digest}-gzip"'

    @cached_property
    def media_type(self) -> str:
        """The media type, by the suffix."""
        known = _TYPES.get(Path(self.name).suffix) or mimetypes.guess_type(self.name)[0]
        return known or "application/octet-stream"

    @cached_property
    def packed(self) -> bytes | None:
        """The body compressed by gzip, or None for a type that is compressed already."""
        return gzip.compress(self.body, mtime=0) if Path(self.name).suffix in _PACKED else None

    def answer(self, request: Request, cache_control: str) -> Response:
        """The file, or 304 to a client that has it."""
        packed = self.packed if _takes_gzip(request.scope) else None
        told = {"etag": self.tags[packed is not None], "cache-control": cache_control}
        if self.packed is not None:
            told["vary"] = "Accept-Encoding"
        if headers.is_held(told["etag"], request.scope):
            return Response(status_code=304, headers=told)
        if packed is not None:
            told["content-encoding"] = "gzip"
        body = self.body if packed is None else packed
        return Response(body, media_type=self.media_type, headers=told)


def _takes_gzip(scope: Scope) -> bool:
    weights = headers.qualities(headers.listed(scope, b"accept-encoding"))
    return weights.get(b"gzip", weights.get(b"*", 0.0)) > 0.0


class Site:
    """The files of a folder: `pages` are its HTML, `assets` the rest, under their digest."""

    def __init__(self, folder: Path) -> None:
        found = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix in _SENT
        }
        assets = {name: body for name, body in found.items() if not name.endswith(".html")}
        parts = (f"{name}\0{_digest(body)}\n".encode() for name, body in assets.items())
        self.digest = _digest(b"".join(parts))
        self.assets = {name: File(name, body) for name, body in assets.items()}
        base = f"{ASSETS}{self.digest}/".encode()
        self.pages = {
            name: File(name, _whole(body, found).replace(ASSETS.encode(), base))
            for name, body in found.items()
            if name.endswith(".html") and not name.startswith(PARTS)
        }


def _whole(page: bytes, files: Mapping[str, bytes]) -> bytes:
    """The page with its parts included, and the navigation's link to the page itself marked as current."""

    def part(found: re.Match[bytes]) -> bytes:
        name, current = found.groups()
        body = files[PARTS + name.decode()]
        link = b'<li><a href="%s"' % current if current else b""
        return body.replace(link, link + b' aria-current="page"') if link else body

    return _INCLUDE.sub(part, page)


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]


def routes(names: Iterable[str]) -> list[BaseRoute]:
    """The routes of this module; `names` are the models that are served."""
    site = Site(FOLDER)
    pages = {
        "/": "bikes.html",
        "/admission": "admission.html",
        **{f"/learned/{name}": "learned.html" for name in names},
        "/backpropagation": "backpropagation.html",
        "/batch": "batch.html",
    }

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in site.assets:
            raise Problem(NOT_FOUND, f"There is no file {name[:100]} among those of the pages.")
        current = request.path_params["digest"] == site.digest
        return site.assets[name].answer(request, FOR_EVER if current else "no-cache")

    async def icon(request: Request) -> Response:
        return site.assets["icon.svg"].answer(request, "no-cache")

    moved = {"/bikes": "/", "/learned": "/learned/bikes"}
    moved |= {
        f"{path}/": moved.get(path, path) for path in (*pages, *moved, "/docs") if path != "/"
    }
    return [
        *[Route(path, _page(site.pages[file])) for path, file in pages.items()],
        *[Route(path, _redirect(to)) for path, to in moved.items()],
        Route("/favicon.ico", icon),
        Route(ASSETS + "{digest}/{name:path}", asset),
        Route("/pages/calendar/{date}", day),
    ]


def _redirect(to: str) -> Any:
    async def redirect(_: Request) -> Response:
        return RedirectResponse(to, 308)

    return redirect


def _page(file: File) -> Any:
    async def page(request: Request) -> Response:
        return file.answer(request, "no-cache")

    return page


async def day(request: Request) -> Response:
    """What the calendar knows about a date, for the bikes page."""
    try:
        asked = date.fromisoformat(request.path_params["date"])
    except ValueError:
        raise _refusal("must be a date such as 2012-06-01") from None
    if not calendar.FIRST_YEAR <= asked.year <= calendar.LAST_YEAR:
        raise _refusal(f"must be in the years {calendar.FIRST_YEAR} to {calendar.LAST_YEAR}")
    content = {
        "date": asked.isoformat(),
        "weekday": f"{asked:%A}",
        "season": calendar.SEASONS[calendar.season_of(asked)],
        "holiday": calendar.holidays_of(asked.year).get(asked),
        "weekend": asked.weekday() >= calendar.SATURDAY,
        "day_off": calendar.is_day_off(asked),
    }
    body = orjson.dumps(content)
    return Response(body, media_type="application/json", headers={"cache-control": "no-cache"})


def _refusal(words: str) -> Problem:
    fault = f"the date {words}"
    return Problem(INVALID, fault, [Fault(fault, parameter="date")])
