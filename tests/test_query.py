"""The query parameters of the prediction routes, and the messages for wrong ones."""

from urllib.parse import urlencode

import pytest

from service import query
from service.errors import Problem
from service.query import DEFAULTS, Options

TAKEN = ("level", "explain")


def faults_of(text: str) -> list[tuple[str | None, str]]:
    """The parameter and the words of each fault of a query string."""
    with pytest.raises(Problem) as caught:
        query.parse(text.encode(), TAKEN)
    return [(fault.parameter, fault.detail) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", DEFAULTS),
        ("level=0.5", Options(level=0.5)),
        ("explain=true&level=0.99", Options(level=0.99, explain=True)),
        ("explain=false", Options()),
        ("explain=True&level=0.8", Options(level=0.8, explain=True)),
    ],
)
def test_options(text: str, options: Options) -> None:
    """What is given counts, in any order; what is not is the default."""
    assert query.parse(text.encode(), TAKEN) == options


@pytest.mark.parametrize(
    "value", ["", "0.49", "1", "nan", "inf", "0_9", " 0.9", "\u0660", "9" * 9999]
)
def test_level_is_a_number_in_its_range(value: str) -> None:
    """Anything else as `level` is refused with what would be right."""
    words = "level must be a number from 0.5 to 0.99"
    assert faults_of(urlencode({"level": value})) == [("level", words)]


def test_every_fault_is_told_once() -> None:
    """A wrong value, a repeated parameter and an unknown one each give one fault."""
    assert faults_of("explain=1&level=0.9&level=0.8&levl=3") == [
        ("explain", "explain must be true or false"),
        ("level", "level is given twice"),
        ("levl", "there is no parameter levl; did you mean level?"),
    ]


def test_many_parameters_are_not_looked_at() -> None:
    """With too many parameters only the known ones are listed: guessing what each meant would be slow."""
    assert len(faults_of("&".join(f"p{i}=1" for i in range(20)))) == 20
    words = "there are more than 20 parameters; known are level, explain"
    assert faults_of("&".join(f"p{i}=1" for i in range(21))) == [(None, words)]
