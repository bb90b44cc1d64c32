"""One loaded version of a model, with everything that requests need computed in advance."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from models.bundle import Bundle
from models.model import Model
from models.outside import TrainingRange
from service.headers import ALWAYS


@dataclass(frozen=True)
class Served(TrainingRange):
    """A model under its name and version.

    manifest : what the bundle says about the model: recipe, metrics, digests.
    """

    name: str
    version: str
    model: Model
    manifest: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, version: str, bundle: Bundle) -> "Served":
        """A bundle of the store as a served version."""
        return cls(name, version, bundle.model, bundle.manifest)

    @cached_property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The headers of every answer of this version."""
        return ((b"x-model-version", f"{self.name}/{self.version}".encode()),)

    @cached_property
    def head(self) -> bytes:
        """The headers of a JSON answer of status 200, with %d for its length and %b for the request id."""
        escaped = ((name, value.replace(b"%", b"%%")) for name, value in self.headers)
        first = ((b"content-type", b"application/json"), (b"content-length", b"%d"))
        every = (*first, (b"x-request-id", b"%b"), *ALWAYS, *escaped)
        return b"".join(b"%b: %b\r\n" % header for header in every) + b"\r\n"

    @cached_property
    def model_json(self) -> bytes:
        """The `model` member of an answer, as its bytes."""
        return orjson.dumps(self.model_member)

    @cached_property
    def model_member(self) -> dict[str, str]:
        """The `model` member of an answer."""
        return {"name": self.name, "version": self.version}
