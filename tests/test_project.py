"""The rules of the project that no linter knows: versions, lock files, imports, data, size."""

import ast
import hashlib
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import models

ROOT = Path(__file__).parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PRODUCT = [
    path
    for name in ("models", "service", "training")
    for path in sorted((ROOT / name).rglob("*.py"))
]
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def _ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _pins(lock: Path) -> dict[str, set[str]]:
    """Each package of a lock file with its versions (several where markers choose)."""
    pins: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9.-]+)==([^\s;]+)", lock.read_text(), re.MULTILINE):
        pins.setdefault(name, set()).add(version)
    return pins


def _requirements(name: str) -> list[Requirement]:
    """What pyproject.toml asks of the lock file `name`."""
    project, groups = _pyproject()["project"], _pyproject()["dependency-groups"]
    serve = project["dependencies"]
    extras = project["optional-dependencies"]
    train = serve + extras["train"]
    score = train + extras["score"] + extras["dask"]
    own = [line for line in groups["dev"] if isinstance(line, str)]
    lines: dict[str, list[str]] = {
        "build": groups["build"],
        "dev": score + own + groups["build"] + groups["docs"],
        "docs": groups["docs"],
        "score": score,
        "serve": serve,
        "train": train,
    }
    return [Requirement(line) for line in lines[name]]


def test_changelog_opens_with_the_version_of_the_package() -> None:
    """The newest heading of the changelog is the version that the package gives itself."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[([^\]]+)\]", text, re.MULTILINE)
    assert newest is not None
    assert newest[1] == models.__version__


@pytest.mark.parametrize("lock", LOCKS, ids=_ids(LOCKS))
def test_lock_pins_every_package_with_hashes_and_names_no_index(lock: Path) -> None:
    """A lock file installs the same bytes from whatever index the machine has."""
    text = lock.read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"https?:|file:|--(extra-)?index-url|--find-links|@ ", text)


@pytest.mark.parametrize("lock", LOCKS, ids=_ids(LOCKS))
def test_lock_answers_every_range_of_pyproject(lock: Path) -> None:
    """A range that is changed in pyproject.toml is locked anew."""
    pins = _pins(lock)
    for requirement in _requirements(lock.stem):
        versions = pins.get(canonicalize_name(requirement.name), set())
        assert versions, f"{requirement.name} is not in {lock.name}: make lock"
        assert all(version in requirement.specifier for version in versions), requirement


@pytest.mark.parametrize("lock", LOCKS, ids=_ids(LOCKS))
def test_lock_agrees_with_the_lock_of_development(lock: Path) -> None:
    """What is tested is what is installed: no lock file has a version that dev.txt has not."""
    development = _pins(ROOT / "requirements" / "dev.txt")
    for name, versions in _pins(lock).items():
        assert versions == development[name], name


def test_serving_lock_leaves_out_the_training_environment() -> None:
    """The serving image stays small: no data frames, no plots, no test tools."""
    pins = _pins(ROOT / "requirements" / "serve.txt")
    assert not {"pandas", "matplotlib", "typer", "rich", "pytest", "scikit-learn"} & pins.keys()


def _imported(path: Path) -> Iterator[str]:
    """Each top-level name that a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield (node.module or "").partition(".")[0]


def test_models_imports_little() -> None:
    """A model needs NumPy, joblib, holidays and the standard library, and nothing else."""
    allowed = {"models", "numpy", "joblib", "holidays"} | sys.stdlib_module_names
    for path in sorted((ROOT / "models").rglob("*.py")):
        assert set(_imported(path)) <= allowed, path


def test_serving_imports_what_it_depends_on() -> None:
    """A package that no module imports would only make the image larger."""
    modules = [path for path in PRODUCT if not path.is_relative_to(ROOT / "training")]
    by_name = {"holidays", "tzdata", "uvloop"}  # as text, the second by zoneinfo
    imported = {name for path in modules for name in _imported(path)} | by_name
    needed = {requirement.name.replace("-", "_") for requirement in _requirements("serve")}
    assert needed <= imported, needed - imported


@pytest.mark.parametrize("path", PRODUCT, ids=_ids(PRODUCT))
def test_module_is_of_readable_size(path: Path) -> None:
    """A module of the product is one concept, of at most 400 lines."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", TESTS, ids=_ids(TESTS))
def test_every_test_states_the_rule_it_protects(path: Path) -> None:
    """Each test function has a docstring."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
            "test_"
        ):
            assert ast.get_docstring(node), f"{path.name}::{node.name}"


def test_data_sets_are_those_of_their_readme() -> None:
    """The embedded data are never edited: their digests are the documented ones."""
    folder = ROOT / "training" / "datasets"
    text = (folder / "README.md").read_text(encoding="utf-8")
    documented = dict(
        re.findall(r"^\| `([\w.]+)` \| [\d,]+ \| `([0-9a-f]{64})` \|$", text, re.MULTILINE)
    )
    found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*.csv")}
    assert found == documented


def test_every_make_target_is_explained() -> None:
    """`make help` lists each target that a person may ask for."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    explained = set(re.findall(r"^([a-z]+):.*## \S", text, re.MULTILINE))
    assert explained == set(phony[1].split())
