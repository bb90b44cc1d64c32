"""HEAD is GET without the body (RFC 9110, section 9.3.2); FastAPI's routes take GET alone.

Monitors and load balancers ask with it whether a service is well, and `curl -I` what an answer says of
itself.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadLayer:
    """Wraps an ASGI application, which never sees HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer HEAD as GET, and keep the body."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        # A copy: the server looks at its own scope for whether a body is to come.
        as_get = {**scope, "method": "GET"}
        try:
            await self._app(as_get, receive, without_body)
        finally:
            if "route" in as_get:  # the observers look for it, see `service.metrics`
                scope["route"] = as_get["route"]
