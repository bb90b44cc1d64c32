"""The comparison of what a page shows with what comes."""

import pytest

from tests.reader import difference_of_json, difference_of_text


@pytest.mark.parametrize(
    ("shown", "came"),
    [
        ('{"rentals": 400.0}', '{"rentals": 430.1}'),
        ('{"a": 1, "...": "..."}', '{"a": 1, "b": 2}'),
        ('{"version": "20260102T030405Z-0a1b2c3d"}', '{"version": "20271231T235959Z-ffffffff"}'),
        ('{"anything": "..."}', '{"anything": [1, 2]}'),
        ('[1, 2, "..."]', "[1, 2, 3, 4]"),
    ],
    ids=["number", "more-fields", "version", "any-value", "more-items"],
)
def test_json_may_differ_where_it_says_so(shown: str, came: str) -> None:
    """Numbers differ a little, versions wholly, and `...` is anything."""
    assert difference_of_json(shown, came) is None


@pytest.mark.parametrize(
    ("shown", "came", "where"),
    [
        ('{"rentals": 400.0}', '{"rentals": 600.0}', "/rentals is 600.0"),
        ('{"a": 1}', '{"a": 1, "b": 2}', "not shown: ['b']"),
        ('{"a": 1, "b": 2}', '{"a": 1}', "not there: ['b']"),
        ('{"admitted": true}', '{"admitted": false}', "/admitted is False"),
        ('{"admitted": true}', '{"admitted": 1}', "/admitted is 1"),
        ('{"a": [{"b": "x"}]}', '{"a": [{"b": "y"}]}', "/a/0/b is 'y'"),
        ("[1]", "[1, 2]", "has 2 items"),
        ("{}", "Internal Server Error", "not JSON"),
    ],
    ids=["number", "more", "less", "boolean", "kind", "word", "items", "no-json"],
)
def test_json_is_told_apart(shown: str, came: str, where: str) -> None:
    """A number far off, a field more or less, another word or kind: named with its place."""
    difference = difference_of_json(shown, came)
    assert difference is not None
    assert where in difference


@pytest.mark.parametrize(
    ("shown", "came"),
    [
        ("MAE  31.6", "MAE     33.1\n"),
        ("first\n...\nlast 3", "first\nsecond\nthird\nlast 3"),
        ("...\nlast", "a\nb\nlast\n"),
        ("started in ... s", "started in 0.3 s"),
        ("published 20260102T030405Z-0a1b2c3d", "published 20261124T154257Z-52256b1c"),
    ],
    ids=["number", "lines-left-out", "beginning-left-out", "words-left-out", "version"],
)
def test_text_may_differ_where_it_says_so(shown: str, came: str) -> None:
    """Numbers and the width of a table differ a little; `...` is words of a line, or lines."""
    assert difference_of_text(shown, came) is None


@pytest.mark.parametrize(
    ("shown", "came"),
    [
        ("MAE 31.6", "MAE 89.4"),
        ("one", "one\ntwo"),
        ("one\ntwo", "one"),
        ("one\n...\nfour", "one\ntwo\nthree"),
        ("one", "two"),
        ("on 2012-06-13", "on 2012-06-14"),
    ],
    ids=["number", "more", "less", "end-missing", "word", "date"],
)
def test_text_is_told_apart(shown: str, came: str) -> None:
    """Another word, a number far off, a line more or less."""
    assert difference_of_text(shown, came) is not None
