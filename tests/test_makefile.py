"""The set-up of the Makefile: one clear line where it cannot go on, nothing the second time."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def _make(venv: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make on the project with a virtual environment elsewhere."""
    return subprocess.run(
        ["make", "--no-print-directory", f"VENV={venv}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _fake_python(folder: Path, body: str) -> Path:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def _complaint(result: subprocess.CompletedProcess[str]) -> str:
    """The one line that the recipe wrote; make's own line about the failed target aside."""
    lines = [line for line in result.stderr.splitlines() if "***" not in line]
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.mark.parametrize("target", ["serve", "train", "test"])
def test_old_python_is_named_in_one_line(tmp_path: Path, target: str) -> None:
    """A Python older than 3.11 is refused before anything is installed, with the remedy."""
    old = _fake_python(tmp_path, 'if [ "$1" = -V ]; then echo Python 3.9.2; else exit 1; fi')
    result = _make(tmp_path / "venv", f"PYTHON={old}", target)
    assert result.returncode != 0
    assert "is Python 3.9.2; Python 3.11 or later is needed" in _complaint(result)
    assert not (tmp_path / "venv").exists()


def test_missing_python_is_named_in_one_line(tmp_path: Path) -> None:
    """A machine without the Python that was asked for gets one line with the remedy."""
    result = _make(tmp_path / "venv", "PYTHON=no-such-python", "serve")
    assert result.returncode != 0
    assert "there is no 'no-such-python'" in _complaint(result)


def test_missing_venv_module_is_named_in_one_line(tmp_path: Path) -> None:
    """Debian's Python without python3-venv gets the name of the package to install."""
    bare = _fake_python(tmp_path, 'case "$2" in *ensurepip*) exit 1;; esac')
    result = _make(tmp_path / "venv", f"PYTHON={bare}", "serve")
    assert result.returncode != 0
    assert "apt-get install python3-venv" in _complaint(result)


@pytest.mark.parametrize(("target", "command"), [("serve", "/bin/serve"), ("test", "-m pytest")])
def test_second_call_does_no_set_up(tmp_path: Path, target: str, command: str) -> None:
    """Where the dependencies stand, a target runs its one command and nothing else."""
    for name in ("bin/python", ".serve", ".dev"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    result = _make(tmp_path, "--dry-run", target)
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    assert command in line


def test_artifacts_are_those_of_every_model_that_was_trained(tmp_path: Path) -> None:
    """The target names no model, so a third one is carried, too."""
    for name in ("bin/python", ".train"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    result = _make(tmp_path, "--dry-run", "artifacts")
    assert result.returncode == 0, result.stderr
    assert "models/artifacts" in result.stdout
    assert "bikes" not in result.stdout


def test_changed_lock_file_is_installed(tmp_path: Path) -> None:
    """An environment that is older than its lock file is brought up to date."""
    for name in ("bin/python", ".serve"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    result = _make(tmp_path, "--dry-run", "--what-if=requirements/serve.txt", "serve")
    assert "--require-hashes" in result.stdout
    assert "requirements/serve.txt" in result.stdout
