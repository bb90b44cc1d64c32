"""What is said of a path that no route has."""

from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from service.errors import NOT_FOUND, Problem


async def missing(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - an ASGI application
    """Refuse a request; where only a slash at its end is too much, say so. Raises Problem, HTTPException.

    It is not redirected: few clients send a body a second time, and a caller who writes the slash
    would pay for two requests at each. (Pages are, see `service.routes.pages`.)
    """
    path: str = scope["path"]
    shorter = path.rstrip("/")
    asked = {**scope, "path": shorter}
    if shorter != path and any(
        r.matches(asked)[0] is not Match.NONE for r in scope["router"].routes
    ):
        raise Problem(NOT_FOUND, f"There is no route {path}; did you mean {shorter}?")
    raise HTTPException(404)  # whose words are those of `service.errors`
