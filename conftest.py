"""What the machine must have for a test to run: an engine (`docker`), a Chromium, curl, kubectl, promtool.

A test whose need is not met is left out, and the end of the run says so. With REQUIRE_ALL=1 in the
environment, as in CI, a need that is not met or a test that is skipped fails the run instead.

A shell starts what runs behind it (`pytest &`) with SIGINT ignored, and so would be all that the tests
start and interrupt: here it is what it is in a terminal.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable

import pytest

signal.signal(signal.SIGINT, signal.default_int_handler)

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")


def _docker_fault() -> str | None:
    if shutil.which("docker") is None:
        return "there is no docker command"
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        answer = subprocess.run(command, capture_output=True, check=False, timeout=60)
        if answer.returncode:
            return f"`{' '.join(command)}` fails"
    return None


def _browser_fault() -> str | None:
    if any(shutil.which(name) for name in CHROMIUM_NAMES):
        return None
    return f"none of {', '.join(CHROMIUM_NAMES)} is installed"


def _curl_fault() -> str | None:
    return None if shutil.which("curl") else "there is no curl command"


def _kubectl_fault() -> str | None:
    return None if shutil.which("kubectl") else "there is no kubectl command"


def _promtool_fault() -> str | None:
    if shutil.which("promtool"):
        return None
    return "there is no promtool command; Debian's package prometheus has it"


NEEDS: dict[str, tuple[str, Callable[[], str | None]]] = {
    "docker": ("a Docker engine with Compose", _docker_fault),
    "browser": ("a Chromium", _browser_fault),
    "curl": ("curl", _curl_fault),
    "kubectl": ("kubectl", _kubectl_fault),
    "promtool": ("promtool", _promtool_fault),
}
LEFT_OUT = pytest.StashKey[list[str]]()
REQUIRE_ALL = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Note whether everything is required."""
    config.stash[LEFT_OUT] = []
    config.stash[REQUIRE_ALL] = os.environ.get("REQUIRE_ALL", "0") not in {"", "0"}


@pytest.hookimpl(trylast=True)  # after -k and -m have made their choice
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests whose need this machine does not meet."""
    for marker, (need, find_fault) in NEEDS.items():
        concerned = [item for item in items if item.get_closest_marker(marker)]
        fault = find_fault() if concerned else None
        if fault is None:
            continue
        count = "1 test that needs" if len(concerned) == 1 else f"{len(concerned)} tests that need"
        if config.stash[REQUIRE_ALL]:
            raise pytest.UsageError(f"REQUIRE_ALL is set, so {count} {need} must run: {fault}")
        items[:] = [item for item in items if item not in concerned]
        config.hook.pytest_deselected(items=concerned)
        config.stash[LEFT_OUT].append(f"{count} {need}: {fault}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a run that skipped a test although everything is required."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", ())) if reporter else 0
    if skipped and session.config.stash[REQUIRE_ALL] and exitstatus == pytest.ExitCode.OK:
        session.config.stash[LEFT_OUT].append(f"{skipped} skipped tests; REQUIRE_ALL is set")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say at the end what was left out, and why."""
    for line in config.stash[LEFT_OUT]:
        terminalreporter.write_sep("=", f"LEFT OUT: {line}", yellow=True, bold=True)
