"""HEAD requests, answered as GET without the body (RFC 9110, section 9.3.2).

FastAPI's routes only take GET, but monitors and load balancers probe with HEAD, as does `curl -I`.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadLayer:
    """Wraps an ASGI application, which never sees HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer HEAD as GET, and hold back the body."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        # A copy, because the server looks at its own scope to see whether a body follows.
        await self._app({**scope, "method": "GET"}, receive, without_body)
