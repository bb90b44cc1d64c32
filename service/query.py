"""The query parameters of the prediction routes."""

from dataclasses import dataclass
from urllib.parse import parse_qsl

from models.interval import DEFAULT_LEVEL, HIGHEST_LEVEL, LOWEST_LEVEL
from service.errors import Fault, invalid
from service.fault_messages import instead_of

_SWITCH = {"true": True, "false": False}
"""By their small letters: Python's `requests` writes True."""
_MOST = 20
"""The most parameters of a query: finding what thousands were meant to be would be slow."""


@dataclass(frozen=True)
class Options:
    """What a caller chose.

    level : of the interval, 0.5 to 0.99.
    explain : whether each answer is explained.
    strict : whether one bad row fails its whole batch.
    """

    level: float = DEFAULT_LEVEL
    explain: bool = False
    strict: bool = False


DEFAULTS = Options()


def parse(query: bytes, taken: tuple[str, ...]) -> Options:
    """The options that a query string gives.

    taken : the parameters of the route. Raises Problem for any other, and for an invalid value.
    """
    if not query:
        return DEFAULTS
    faults: list[Fault] = []
    given: dict[str, float | bool] = {}
    text = query.decode("latin-1")
    if text.count("&") >= _MOST:
        raise invalid(
            [Fault(f"there are more than {_MOST} parameters; known are {', '.join(taken)}")]
        )
    pairs = parse_qsl(text, keep_blank_values=True, errors="replace")
    for name, text in pairs:
        if name not in taken:
            words = f"there is no parameter {name[:50]}; {instead_of(name, taken)}"
            faults.append(Fault(words, parameter=name[:50]))
        elif name in given:
            faults.append(Fault(f"{name} is given twice", parameter=name))
        else:
            value = _level(text) if name == "level" else _SWITCH.get(text.lower())
            if value is None:
                faults.append(Fault(f"{name} must be {_WANTED[name]}", parameter=name))
            else:
                given[name] = value
    if faults:
        raise invalid(faults)
    return Options(**given)  # type: ignore[arg-type]


_WANTED = {
    "level": f"a number from {LOWEST_LEVEL} to {HIGHEST_LEVEL}",
    "explain": "true or false",
    "strict": "true or false",
}


def _level(text: str) -> float | None:
    if not text.isascii() or "_" in text or text != text.strip():
        return None
    try:
        level = float(text)
    except ValueError:
        return None
    return level if LOWEST_LEVEL <= level <= HIGHEST_LEVEL else None
