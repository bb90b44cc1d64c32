"""What is loaded."""

from collections.abc import Mapping

from service.served import Served


class Registry:
    """The version of each model that answers requests."""

    def __init__(self, served: Mapping[str, Served]) -> None:
        self._served = dict(served)

    def __getitem__(self, name: str) -> Served:
        """The version of `name` that answers now: ask once a request. Raises KeyError."""
        return self._served[name]

    def names(self) -> tuple[str, ...]:
        """The models that answer."""
        return tuple(self._served)

    @property
    def ready(self) -> bool:
        """Whether there is anything that answers."""
        return bool(self._served)

    def versions(self, name: str) -> list[str]:
        """The versions of a model, the oldest first. Raises KeyError for an unknown model."""
        return [self[name].version]
