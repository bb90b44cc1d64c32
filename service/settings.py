"""The settings of the service: one frozen class is configuration, validation and documentation.

Each field is read from the environment variable `SERVICE_<FIELD>` and is an option of `serve`.
"""

import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from models.errors import SettingsError

PREFIX = "SERVICE_"
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?")


def _setting(
    default: Any, help_: str, *, low: float | None = None, high: float | None = None
) -> Any:
    return field(default=default, metadata={"help": help_, "low": low, "high": high})


@dataclass(frozen=True)
class Settings:
    """Everything that can be set, with its default.

    Raises SettingsError for a number outside its range, and for what is no origin.
    """

    host: str = _setting("127.0.0.1", "Address to listen on; 0.0.0.0 for every network")
    port: int = _setting(8000, "Port to listen on; 0 takes a free one", low=0, high=65535)
    store: Path = _setting(Path("store"), "Folder of the trained models and their versions")
    workers: int = _setting(1, "Number of worker processes", low=1, high=256)
    batch_rows: int = _setting(10_000, "Maximum number of rows in a batch", low=1, high=1_000_000)
    explain_rows: int = _setting(
        100, "Maximum number of rows in a batch with explanations", low=0, high=10_000
    )
    row_places: int = _setting(
        128, "Requests for a single row that a worker accepts at once", low=1, high=100_000
    )
    batch_places: int = _setting(
        4, "Batches and explanations that a worker accepts at once", low=1, high=10_000
    )
    row_bytes: int = _setting(
        65_536, "Largest body of a request for a single row", low=1_000, high=1_000_000_000
    )
    batch_bytes: int = _setting(
        8_000_000, "Largest body of any other request", low=1_000, high=1_000_000_000
    )
    deadline: float = _setting(
        0.0,
        "Time limit in seconds for a request without X-Request-Timeout; 0 for no limit",
        low=0,
        high=3600,
    )
    header_seconds: float = _setting(
        10.0, "Seconds within which the headers of a request must arrive", low=0.1, high=3600
    )
    body_seconds: float = _setting(
        30.0, "Seconds within which a body must arrive, and an answer be read", low=0.1, high=3600
    )
    drain_seconds: float = _setting(
        2.0, "Seconds between SIGTERM and the closing of the port", low=0, high=600
    )
    shutdown_seconds: float = _setting(
        30.0, "Seconds that requests in flight may take after the port is closed", low=0, high=3600
    )
    poll_seconds: float = _setting(
        0.5, "Seconds between two checks of the store for new versions", low=0.05, high=3600
    )
    signing_key_file: Path | None = _setting(
        None, "File with the key that every bundle must be signed with"
    )
    key_file: Path | None = _setting(
        None, "File with the digests of the API keys, see `python -m service.keys`"
    )
    keys: str = _setting("", "API keys as name:sha256:digest, separated by commas")
    require_keys: bool = _setting(
        default=False,
        help_="Refuse to start without API keys; they are required anyway if any key is given",
    )
    cors_origins: str = _setting(
        "", "Origins whose pages may read answers, separated by commas; * for all"
    )
    log_format: str = _setting("auto", "json, console, or auto: console in a terminal")
    log_inputs: bool = _setting(default=False, help_="Write the values of inputs to the log")
    metrics_folder: Path | None = _setting(
        None, "Folder that the workers of a group share for their metrics; set by the group"
    )

    def __post_init__(self) -> None:
        for setting in fields(self):
            _check_range(setting, getattr(self, setting.name))
        for origin in self.origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                key = f"{PREFIX}CORS_ORIGINS"
                raise SettingsError(
                    f"{key} must be origins such as https://example.org, and has {origin!r}"
                )

    @property
    def origins(self) -> list[str]:
        """The origins of `cors_origins`."""
        return [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """The settings that `environment` gives, the rest by default.

        Raises SettingsError, naming key and value, for a value of the wrong form and for a
        `SERVICE_` key that is no setting.
        """
        known = {PREFIX + setting.name.upper(): setting for setting in fields(cls)}
        for key in environment:
            if key.startswith(PREFIX) and key not in known:
                raise SettingsError(f"{key} is no setting; the settings are {', '.join(known)}")
        given = {
            setting.name: _parse(setting, key, environment[key])
            for key, setting in known.items()
            if key in environment
        }
        return cls(**given)

    def to_environment(self) -> dict[str, str]:
        """The environment that gives these settings: how they reach the workers."""
        return {
            PREFIX + setting.name.upper(): str(value)
            for setting in fields(self)
            if (value := getattr(self, setting.name)) is not None
        }


_WANTED = {"bool": "true or false", "int": "a whole number", "float": "a number"}
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def _parse(setting: Field[Any], key: str, text: str) -> Any:
    kind = setting.type.__name__ if isinstance(setting.type, type) else str(setting.type)
    try:
        match kind:
            case "bool":
                return _BOOLEANS[text.lower()]
            case "int":
                return int(text)
            case "float":
                return float(text)
    except (KeyError, ValueError):
        raise SettingsError(f"{key} must be {_WANTED[kind]}, and is {text!r}") from None
    if "Path" not in kind:
        return text
    if not text:  # which `Path` takes for the current folder
        raise SettingsError(f"{key} must be a path, and is empty")
    return Path(text)


def _check_range(setting: Field[Any], value: Any) -> None:
    low, high = setting.metadata["low"], setting.metadata["high"]
    if low is not None and not low <= value <= high:
        key = PREFIX + setting.name.upper()
        raise SettingsError(f"{key} must be between {low} and {high}, and is {value}")


def describe() -> list[tuple[str, str, str]]:
    """Key, default ("" for none) and help of each setting, as help and documentation have them."""
    return [
        (PREFIX + setting.name.upper(), _written(setting.default), setting.metadata["help"])
        for setting in fields(Settings)
    ]


def _written(default: Any) -> str:
    """A default as somebody would set it."""
    match default:
        case None:
            return ""
        case bool():
            return str(default).lower()
        case float():
            return f"{default:g}"
    return str(default)
