"""Follows a page of the documentation: does what it says, and compares what comes with what it shows.

A page is followed from top to bottom in a copy of the project, with the commands of this environment
on the path. Its fenced blocks are

    sh            commands; one that starts the service runs on until the next such one or the end
    console       commands after `$ `, each with what it prints below it
    python        a program; with `# file: PATH` in its first line, a file that is written
    diff          a change of the copy
    json, text    what the block before it printed; `...` stands for anything, numbers may differ a
                  little, and versions, digests and times wholly
    anything else is left alone
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.engine import free_port
from tests.fences import ROOT, Fence, fences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

COMMANDS = {"sh", "console", "python"}
OUTPUTS = {"json", "text"}
CHANGES = {"diff"}
SHOWN = {"yaml", "ini"}
"""Kinds that are only shown: a file of the reader's own."""
PORT = 8000
"""The port that the pages name. The service that follows them listens on a free one."""

_SERVES = re.compile(r"(\w+=\S+ )*(make serve|serve)\b[^|&\n]*")
_WORKERS = re.compile(r"SERVICE_WORKERS=(\d+)")
_IS_UP = re.compile(r"\bworker \d+ is up\b")
_FILE = re.compile(r"# file: (?P<path>[\w./-]+)\n")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")
_CHANGING = (
    (re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}"), "<version>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<digest>"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<id>"),
    (re.compile(r"\b[0-9a-f]{40}\b"), "<commit>"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "<now>"),
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_RELATIVE, _ABSOLUTE = 0.25, 0.05
"""How much a number may differ from the one that is shown (but not in a date): a model that is trained
anew, or on another machine, answers a little differently."""
_SECONDS = 800.0
"""For one command: a training, on a machine that is busy with other things."""


class PageError(AssertionError):
    """What a page shows is not what comes."""


def follow(page: Path, folder: Path) -> None:
    """Do what `page` says in a copy of the project in `folder`. Raises PageError."""
    with Reader(folder) as reader:
        for fence in fences(page):
            reader.read(fence)


class Reader:
    """Somebody who follows a page, with a copy of the project in `folder` as the working folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.printed: str | None = None
        self._used_docker = False
        self._port = free_port()
        self._service: subprocess.Popen[bytes] | None = None
        self._log = folder / "service.log"
        _copy_project(self.folder)
        self._environment = self._environment_of_copy()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()
        if self._used_docker:
            command = ["docker", "compose", "--profile", "*", "down", "--volumes", "--rmi", "local"]
            subprocess.run(
                command,
                cwd=self.folder,
                env=self._environment,
                capture_output=True,
                check=False,
                timeout=_SECONDS,
            )

    def read(self, fence: Fence) -> None:
        """Do what one block says."""
        if fence.info in OUTPUTS:
            self._compare(fence, fence.text)
            return
        self.printed = None
        if fence.info == "sh":
            self._commands(fence, fence.text)
        elif fence.info == "console":
            for command, shown in _session(fence.text):
                self._commands(fence, command)
                self._compare(fence, shown)
        elif fence.info == "python":
            self._program(fence)
        elif fence.info == "diff":
            self._run(fence, fence.text, ["git", "apply", "--whitespace=nowarn"])

    def _commands(self, fence: Fence, text: str) -> None:
        if _SERVES.fullmatch(text.strip()):
            self._serve(fence, text)
        else:
            self._run(fence, text, ["bash", "-euo", "pipefail"])

    def _program(self, fence: Fence) -> None:
        file = _FILE.match(fence.text)
        if file is None:
            self._run(fence, fence.text, [sys.executable, "-"])
            return
        path = self.folder / file["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(fence.text[file.end() :], encoding="utf-8")

    def _run(self, fence: Fence, text: str, command: list[str]) -> None:
        self._used_docker |= "docker compose" in text
        result = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment,
            input=self._on_our_port(text),
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        if result.returncode:
            raise PageError(f"{fence} fails:\n{text}\n{result.stdout}{result.stderr}")
        self.printed = self._on_their_port(result.stdout)

    def _serve(self, fence: Fence, text: str) -> None:
        """Start the service and wait until every worker is up; what it has printed is its log."""
        self._stop()
        asked = _WORKERS.search(text)
        workers = int(asked[1]) if asked else 1
        with self._log.open("wb") as log:
            self._service = subprocess.Popen(
                ["bash", "-c", self._on_our_port(text)],
                cwd=self.folder,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + _SECONDS
        while not (self._ready() and self._workers_up() >= workers):
            if self._service.poll() is not None or time.monotonic() > deadline:
                raise PageError(f"{fence}: no service:\n{text}\n{self._log.read_text('utf-8')}")
            time.sleep(0.05)
        self.printed = self._on_their_port(self._log.read_text("utf-8"))

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health/ready", timeout=5):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def _workers_up(self) -> int:
        """How many the log says, and one if it says none: it names workers only where there are several."""
        return max(1, len(_IS_UP.findall(self._log.read_text("utf-8"))))

    def _stop(self) -> None:
        if self._service is not None and self._service.poll() is None:
            os.killpg(self._service.pid, signal.SIGTERM)  # the shell's own group, nobody else's
            self._service.wait(timeout=60)
        self._service = None

    def _compare(self, fence: Fence, shown: str) -> None:
        if self.printed is None:
            raise PageError(f"{fence} is shown as the output of nothing")
        is_json = fence.info == "json" or (fence.info == "console" and shown[:1] in set("{["))
        compare = difference_of_json if is_json else difference_of_text
        difference = compare(shown, self.printed)
        if difference:
            raise PageError(f"{fence}: {difference}\n\nshown:\n{shown}\n\ncame:\n{self.printed}")

    def _on_our_port(self, text: str) -> str:
        return re.sub(rf"\b{PORT}\b", str(self._port), text)

    def _on_their_port(self, text: str) -> str:
        return re.sub(rf"\b{self._port}\b", str(PORT), text)

    def _environment_of_copy(self) -> dict[str, str]:
        """The commands of this environment on the path, and the copy as the project that they run."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SERVICE_")}
        _stand_in_for_venv(self.folder / ".venv")
        return kept | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder),
            "MAKEFLAGS": "--no-print-directory",
            "ARGS": "",  # those of `make test ARGS=...` are not the reader's
            "SERVICE_PORT": str(self._port),
            "COMPOSE_PROJECT_NAME": f"backprop-docs-{self._port}",
            "COMPOSE_PROGRESS": "plain",
            "SERVICE_DRAIN_SECONDS": "0",
            "SERVICE_LOG_FORMAT": "console",
            "OPENBLAS_NUM_THREADS": "1",
            "COLUMNS": "120",
        }


def _session(text: str) -> Iterator[tuple[str, str]]:
    """Each command after a `$ `, over several lines where they end in a backslash, and its output."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        match = re.match(r"(?:.*\\\n)*.*\n?", part)
        assert match is not None
        yield match[0], part[match.end() :]


def _copy_project(folder: Path) -> None:
    """The project without what was made in it."""
    made = (".*", "store", "reports", "site", "build", "dist", "__pycache__")
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*made))


def _stand_in_for_venv(folder: Path) -> None:
    """What the Makefile takes for an environment that is up to date: this one."""
    folder.mkdir()
    (folder / "bin").symlink_to(Path(sys.executable).parent)
    for lock in (ROOT / "requirements").glob("*.txt"):
        (folder / f".{lock.stem}").touch()


def difference_of_json(shown: str, came: str) -> str | None:
    """Where two JSON documents differ by more than they may, or None."""
    try:
        found = json.loads(came)
    except ValueError:
        return "what came is not JSON"
    return _difference(json.loads(shown), found, "")


def _difference(shown: Any, came: Any, at: str) -> str | None:
    if shown == "...":
        return None
    if isinstance(shown, dict) and isinstance(came, dict):
        return _difference_of_objects(shown, came, at)
    if isinstance(shown, list) and isinstance(came, list):
        return _difference_of_lists(shown, came, at)
    if _is_number(shown) and _is_number(came):
        return None if _close(shown, came) else f"{at or '/'} is {came}"
    if isinstance(shown, str) and isinstance(came, str):
        return None if _line_fits(shown, came) else f"{at or '/'} is {came!r}"
    return None if shown == came and type(shown) is type(came) else f"{at or '/'} is {came!r}"


def _difference_of_objects(shown: dict[str, Any], came: dict[str, Any], at: str) -> str | None:
    names = shown.keys() - {"..."}
    missing, more = names - came.keys(), came.keys() - names
    if missing or (more and "..." not in shown):
        return f"{at or '/'}: not there: {sorted(missing)}, not shown: {sorted(more)}"
    found = (_difference(shown[name], came[name], f"{at}/{name}") for name in names)
    return next(filter(None, found), None)


def _difference_of_lists(shown: list[Any], came: list[Any], at: str) -> str | None:
    if shown[-1:] == ["..."] and len(came) >= len(shown) - 1:
        shown, came = shown[:-1], came[: len(shown) - 1]
    if len(shown) != len(came):
        return f"{at or '/'} has {len(came)} items"
    found = (
        _difference(s, c, f"{at}/{i}") for i, (s, c) in enumerate(zip(shown, came, strict=True))
    )
    return next(filter(None, found), None)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _close(shown: float, came: float) -> bool:
    return abs(shown - came) <= max(_ABSOLUTE, _RELATIVE * max(abs(shown), abs(came)))


def difference_of_text(shown: str, came: str) -> str | None:
    """The first line that is shown and did not come, or None. A line `...` is any number of lines.

    Blank lines count for nothing.
    """
    lines = [line.rstrip() for line in came.splitlines() if line.strip()]
    at, skipping = 0, False
    for line in filter(str.strip, shown.splitlines()):
        if line.strip() == "...":
            skipping = True
            continue
        while skipping and at < len(lines) and not _line_fits(line.rstrip(), lines[at]):
            at += 1
        if at == len(lines) or not _line_fits(line.rstrip(), lines[at]):
            return f"this line did not come: {line!r}"
        at, skipping = at + 1, False
    return None if skipping or at == len(lines) else f"this line is not shown: {lines[at]!r}"


def _line_fits(shown: str, came: str) -> bool:
    """Whether a line is the one that is shown, but for what may differ."""
    for pattern, word in _CHANGING:
        shown, came = pattern.sub(word, shown), pattern.sub(word, came)
    parts = [_NUMBER.split(part) for part in shown.split("...")]
    pattern_text = ".*".join(
        r"([-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)".join(_spaced(piece) for piece in part)
        for part in parts
    )
    match = re.fullmatch(pattern_text, came)
    if match is None:
        return False
    if not {*_DATE.findall(shown)} <= {*_DATE.findall(came)}:
        return False
    numbers = _NUMBER.findall(shown)
    return all(_close(float(s), float(c)) for s, c in zip(numbers, match.groups(), strict=True))


def _spaced(text: str) -> str:
    """A pattern for text in which a run of spaces, or of a table's lines, may be longer or shorter."""
    pieces = re.split(r"( {2,}|[─━]{2,})", text)
    return "".join(
        re.escape(piece) if i % 2 == 0 else re.escape(piece[0]) + "+"
        for i, piece in enumerate(pieces)
    )
