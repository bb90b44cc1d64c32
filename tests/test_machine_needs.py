"""The root conftest.py: a test whose need the machine does not meet is left out, and it is said."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT_CONFTEST = (Path(__file__).parent.parent / "conftest.py").read_text(encoding="utf-8")
SUITE = """
    import pytest

    @pytest.mark.docker
    def test_with_an_engine():
        pass

    def test_without():
        pass
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A small suite under the project's root conftest.py, on a machine with an empty PATH."""
    pytester.makeconftest(ROOT_CONFTEST)
    pytester.makeini(
        "[pytest]\nmarkers =\n    docker\n    browser\n    curl\n    kubectl\n    promtool\n"
    )
    pytester.makepyfile(SUITE)
    monkeypatch.setenv("PATH", str(pytester.mkdir("empty")))
    monkeypatch.delenv("REQUIRE_ALL", raising=False)
    return pytester


def test_missing_engine_is_said_plainly(suite: pytest.Pytester) -> None:
    """Without a Docker engine the run passes, and its end says which tests it left out and why."""
    result = suite.runpytest_inprocess()
    result.assert_outcomes(passed=1, deselected=1)
    result.stdout.fnmatch_lines(["*LEFT OUT: 1 test that needs a Docker engine*no docker command*"])
    assert result.ret == pytest.ExitCode.OK


def test_missing_engine_fails_where_everything_is_required(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CI never passes because a test could not run."""
    monkeypatch.setenv("REQUIRE_ALL", "1")
    result = suite.runpytest_inprocess()
    result.stderr.fnmatch_lines(
        ["*REQUIRE_ALL is set, so 1 test that needs a Docker engine*must run*"]
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_need_of_a_test_that_is_not_chosen_is_not_asked_for(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of the suite runs with what that part needs."""
    monkeypatch.setenv("REQUIRE_ALL", "1")
    result = suite.runpytest_inprocess("-m", "not docker")
    result.assert_outcomes(passed=1, deselected=1)
    assert result.ret == pytest.ExitCode.OK


def test_skipped_test_fails_where_everything_is_required(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test cannot hide from CI by skipping itself."""
    suite.makepyfile(test_skip="import pytest\ndef test_shy():\n    pytest.skip('not today')\n")
    chosen = ("-m", "not docker")
    assert suite.runpytest_inprocess(*chosen).ret == pytest.ExitCode.OK
    monkeypatch.setenv("REQUIRE_ALL", "1")
    assert suite.runpytest_inprocess(*chosen).ret == pytest.ExitCode.TESTS_FAILED
