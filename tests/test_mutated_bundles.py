"""2,000 damaged, tampered and hostile bundles, each refused in one clear line; see tests/mutants.py."""

import sys
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from models import bundle, weights
from models.errors import BundleError
from tests import mutants
from tests.traffic import measured

SECONDS, MIB = 2.0, 2**20
MOST_MIB = 96
"""Six times the largest file that is read at all."""

_FORBIDDEN = (
    "exec",
    "compile",
    "os.",
    "pickle.find_class",
    "socket.",
    "subprocess.",
    "shutil.",
    "ctypes.",
)
_watching: list[str] | None = None


def _note(event: str, _: tuple[Any, ...]) -> None:
    if _watching is not None and event.startswith(_FORBIDDEN):
        _watching.append(event)


sys.addaudithook(_note)


@contextmanager
def no_code_runs() -> Iterator[None]:
    """Fail if Python runs, or starts, anything on behalf of what is loaded."""
    global _watching  # noqa: PLW0603  # an audit hook stays for ever, so it needs a switch
    seen: list[str] = []
    _watching = seen
    try:
        yield
    finally:
        _watching = None
    assert not seen


def refusal_of(folder: Path, key: bytes | None) -> tuple[str, float]:
    """The line with which a bundle is refused, and the seconds of processor time that it took."""
    started = time.process_time()
    with no_code_runs():
        try:
            loaded = bundle.load(folder, key)
        except BundleError as error:
            line = str(error)
        else:
            pytest.fail(f"{loaded.model.task.name} was loaded")
    return line, time.process_time() - started


def test_there_are_two_thousand() -> None:
    """The number that the documentation promises."""
    assert sum(count for _, count in mutants.FAMILIES.values()) == 2000


def test_good_bundles_are_accepted(tmp_path: Path) -> None:
    """What the mutants are made from loads; else nothing would be shown by a refusal."""
    for name, content in mutants.GOOD.items():
        mutants.write(content)(tmp_path / name)
        bundle.load(tmp_path / name)
        assert bundle.unpack(mutants.resealed(content)).manifest == mutants.body_of(content)


@pytest.mark.parametrize("family", mutants.FAMILIES)
def test_mutant_is_refused_in_one_line(family: str, tmp_path: Path) -> None:
    """No mutant is loaded, runs code, or takes more time and memory than its size allows."""
    make, count = mutants.FAMILIES[family]
    trace = tmp_path / "trace"
    made = make(np.random.default_rng(len(family)), trace)
    key = mutants.KEY if family == "wrongly signed" else None
    traced = family in {"a huge shape", "code in the pickle"}
    slowest = most = 0.0
    for i in range(count):
        folder = tmp_path / str(i) / "it"
        folder.parent.mkdir()
        next(made)(folder)
        if traced:
            tracemalloc.start()
        try:
            line, seconds = refusal_of(folder, key)
            most = max(most, tracemalloc.get_traced_memory()[1] / MIB)
        finally:
            tracemalloc.stop()
        assert line.startswith(("manifest.json: ", "weights.joblib: ", str(folder))), line
        assert "\n" not in line
        assert len(line) < 400, line
        slowest = max(slowest, seconds)
        assert slowest < SECONDS, line
        assert most < MOST_MIB, line
        assert not trace.exists(), line
    memory = f", {most:.1f} MiB at most" if traced else ""
    measured(f"{count} bundles, {family}: refused in {slowest * 1000:.0f} ms at most{memory}")


def test_code_of_the_mutants_does_run_elsewhere(tmp_path: Path) -> None:
    """The files with code are what they say: joblib.load runs what `parse` refuses."""
    ran = 0
    for i, data in enumerate(mutants.code_files(tmp_path / "trace")):
        path = tmp_path / f"{i}.joblib"
        path.write_bytes(data)
        with pytest.raises(BundleError):
            weights.parse(data)
        assert not (tmp_path / "trace").exists()
        with suppress(Exception):  # many fail after their code has run
            joblib.load(path)
        ran += (tmp_path / "trace").exists()
        (tmp_path / "trace").unlink(missing_ok=True)
    assert ran >= 0.8 * (i + 1)


def test_refused_pickle_leaves_nothing_behind() -> None:
    """A pickle cannot give a state to the classes that read it: the next bundle is read as ever."""
    before = {kind: dict(vars(kind)) for kind in weights._NAMES.values()}
    for data in mutants.odd_files():
        with suppress(BundleError):
            weights.parse(data)
    assert {kind: dict(vars(kind)) for kind in weights._NAMES.values()} == before
