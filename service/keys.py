"""API keys: who may use the service.

A key is a random text of 256 bits, which its owner sends as `X-API-Key: KEY` or `Authorization:
Bearer KEY`. The service only knows SHA-256 digests of keys (a random key cannot be guessed, so a slow hash
is not needed), one in each line of a file:

    # name        digest
    dashboard     sha256:6ca13d52ca70c883e0f0bb101e425a89e8624de51db2d2392593af6a84118090

or as `name:sha256:digest`, separated by commas, in the setting `keys`. The file is checked for changes at
most once a second; removing a line revokes its key.

`python -m service.keys NAME` makes a key and prints it with its line.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import sys
import time
from typing import TYPE_CHECKING

from models.errors import SettingsError
from service.errors import UNAUTHORIZED, Problem
from service.limits import WITHOUT_BODY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

_LINE = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,64})[\s:]+sha256:(?P<digest>[0-9a-f]{64})")
_CHALLENGE = ((b"www-authenticate", b'Bearer realm="predictions"'),)
_LOOK_SECONDS = 1.0

OPEN_PATHS = frozenset(
    {
        "/",
        "/bikes",
        "/learned",
        "/admission",
        "/backpropagation",
        "/batch",
        "/docs",
        "/openapi.json",
        "/favicon.ico",
        "/problems",
    }
)
OPEN_PREFIXES = (
    "/health/",
    "/v2/health/",
    "/docs/",
    "/static/",
    "/problems/",
    "/pages/",
    "/learned/",
)
"""Paths that need no key to be read: health, and pages without any model's answer."""

_log = logging.getLogger("service.keys")


def digest_of(key: bytes) -> bytes:
    """The digest of a key, as it is stored."""
    return hashlib.sha256(key).hexdigest().encode()


def parse(lines: Iterable[str], source: str) -> dict[bytes, str]:
    """Owners by digest. Raises SettingsError, which names the line without repeating it."""
    known = {}
    for number, line in enumerate(lines, 1):
        text = line.split("#", 1)[0].strip()
        if text:
            match = _LINE.fullmatch(text)
            if match is None:
                raise SettingsError(f"{source}, entry {number}: must be a name and sha256:digest")
            known[match["digest"].encode()] = match["name"]
    return known


class Keyring:
    """The valid keys, from a file, from a setting, or from both."""

    def __init__(
        self,
        file: Path | None = None,
        listed: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._listed = parse(listed.split(","), "SERVICE_KEYS")
        self._clock = clock
        self._stamp: tuple[int, int, int] | None = None
        self._trouble = ""
        self._looked = clock()
        self._known = self._listed
        if file is not None:
            self._read(file)

    def __len__(self) -> int:
        return len(self._known)

    def owner(self, key: bytes) -> str | None:
        """The name of a key's owner, or None for a key that is not valid."""
        now = self._clock()
        if self._file is not None and now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._look_again(self._file)
        digest, found = digest_of(key), None
        # always all of them, so that the time tells nothing
        for known, name in self._known.items():
            if hmac.compare_digest(known, digest):
                found = name
        return found

    def _look_again(self, file: Path) -> None:
        """Read the file if it has changed; a failure is told once, and the keys stay as they were."""
        trouble = ""
        try:
            self._read(file)
        except SettingsError as error:
            trouble = str(error)
        if trouble and trouble != self._trouble:
            _log.error("the keys stay as they were: %s", trouble)
        self._trouble = trouble

    def _read(self, file: Path) -> None:
        try:
            status = file.stat()
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            if stamp == self._stamp:
                return
            content = file.read_bytes()
        except OSError as error:
            raise SettingsError(
                f"the file of keys {file} cannot be read: {error.strerror}"
            ) from None
        self._stamp = stamp  # not before it was read, and so that a faulty file is reported once
        try:
            lines = content.decode().splitlines()
        except UnicodeDecodeError:
            raise SettingsError(
                f"the file of keys {file} cannot be read: it is not UTF-8"
            ) from None
        self._known = {**self._listed, **parse(lines, str(file))}


class KeysLayer:
    """An ASGI layer that requires a key, and puts its owner's name into the scope as "caller"."""

    def __init__(self, app: ASGIApp, keyring: Keyring) -> None:
        self._app = app
        self._keyring = keyring

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request with a valid key, or that reads an open path. Raises Problem for any other.

        What has a body is asked for a key wherever it goes: keeping the body takes memory from others.
        """
        if scope["type"] == "http" and not (
            scope["method"] in WITHOUT_BODY and is_open(scope["path"])
        ):
            key = presented(scope)
            owner = self._keyring.owner(key) if key else None
            if owner is None:
                words = "The API key is not valid." if key else "There is no API key."
                raise Problem(
                    UNAUTHORIZED,
                    f"{words} Send one as X-API-Key, or as Authorization: Bearer.",
                    headers=_CHALLENGE,
                )
            scope["caller"] = owner
        await self._app(scope, receive, send)


def is_open(path: str) -> bool:
    """Whether a path is read without a key."""
    return (
        path in OPEN_PATHS or path.startswith(OPEN_PREFIXES) or path.removesuffix("/") in OPEN_PATHS
    )


def presented(scope: Scope) -> bytes:
    """The key that a request carries, or nothing."""
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            return bytes(value).strip()
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return bytes(value[7:]).strip()
    return b""


def main(arguments: list[str]) -> int:
    """Make a key and print it with its line for the file; returns the exit status."""
    if len(arguments) != 1 or not re.fullmatch(r"[A-Za-z0-9._][A-Za-z0-9._-]{0,63}", arguments[0]):
        print("usage: python -m service.keys NAME  (letters, digits, . _ -)", file=sys.stderr)  # noqa: T201
        return 2
    key = secrets.token_urlsafe(32)
    line = f"{arguments[0]} sha256:{digest_of(key.encode()).decode()}"
    print(f"key, for its owner:     {key}\nline, for the key file: {line}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
