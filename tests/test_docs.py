"""The documentation: it builds, its links lead somewhere, and what it shows is what comes."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from typer.main import get_command

from models.activations import ACTIVATIONS
from models.links import LINKS
from models.task import Task
from models.tasks import TASKS
from service.settings import describe
from tests.fences import ROOT, Fence, fences
from tests.reader import CHANGES, COMMANDS, OUTPUTS, SHOWN, Reader, follow
from tests.serving import tiny_app
from training import overrides
from training.cli import app
from training.losses import LOSSES

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
QUOTING = DOCS / "backpropagation.md"
"""Its blocks of Python are quotations; tests/test_backpropagation_doc.py holds them to their files."""
FOLLOWED = [
    page for page in PAGES if page != QUOTING and any(f.info in COMMANDS for f in fences(page))
]
LOADING = {
    ("link", "href"),
    ("script", "src"),
    ("img", "src"),
    ("source", "src"),
    ("iframe", "src"),
}


def _marked(page: Path) -> Any:
    """A page as a parameter, with the marker of what it needs besides curl."""
    docker = any("docker " in f.text for f in fences(page) if f.info in COMMANDS)
    marks = [pytest.mark.docker] if docker else []
    return pytest.param(page, marks=marks, id=str(page.relative_to(ROOT)))


def _ids(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


@pytest.mark.slow
@pytest.mark.curl
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", [_marked(page) for page in FOLLOWED])
def test_following_a_page_gives_what_it_shows(page: Path, tmp_path: Path) -> None:
    """Every command of a page runs, in order, and prints what stands below it."""
    follow(page, tmp_path)


def test_changes_of_the_code_that_a_page_shows_fit_the_code(tmp_path: Path) -> None:
    """The patches of the guide to a third model apply to the code as it is."""
    with Reader(tmp_path) as reader:
        for fence in fences(DOCS / "guides" / "extend.md", "diff"):
            reader.read(fence)


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_every_block_is_of_a_kind_that_is_checked(page: Path) -> None:
    """What a page shows as output follows a command; no block is of a kind that nobody checks."""
    before: Fence | None = None
    for fence in fences(page):
        directive = fence.info.startswith("{")
        assert directive or fence.info in COMMANDS | OUTPUTS | CHANGES | SHOWN | {"pycon"}, fence
        if fence.info == "json":
            json.loads(fence.text)
        if fence.info in OUTPUTS:
            assert before is not None, fence
            assert before.info in COMMANDS | OUTPUTS, f"{fence} is the output of nothing"
        before = fence


class Page(HTMLParser):
    """The links of a built page, what it loads, and the places in it that a link can name."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.places = {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag refers to."""
        for name, value in attrs:
            if value is None:
                continue
            if name == "id":
                self.places.add(value)
            elif (tag, name) in LOADING:
                self.loads.add(value)
            elif (tag, name) == ("a", "href"):
                self.links.add(value)

    def targets(self) -> Iterator[tuple[str, Path, str]]:
        """Each reference within the site: as written, the file, the place in it."""
        for reference in sorted(self.links | self.loads):
            parts = urlsplit(reference)
            if not parts.scheme and not parts.netloc:
                path = self.path.parent / unquote(parts.path) if parts.path else self.path
                yield reference, path.resolve(), unquote(parts.fragment)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--nitpicky", "--fail-on-warning", "--keep-going"]
    result = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(DOCS), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert result.returncode == 0, result.stderr
    return folder.resolve()


def test_options_of_the_build_are_those_of_make() -> None:
    """What the tests build is what `make docs` builds."""
    command = "sphinx-build --quiet --nitpicky --fail-on-warning --keep-going docs site"
    assert command in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_page_is_in_the_navigation(site: Path) -> None:
    """From the first page one click leads to every page."""
    links = {path for _, path, _ in Page(site / "index.html").targets()}
    built = {(site / page.relative_to(DOCS)).with_suffix(".html") for page in PAGES}
    missing = sorted(path.stem for path in built - links)
    assert not missing, f"docs/index.md does not lead to {', '.join(missing)}"


def test_every_link_leads_somewhere(site: Path) -> None:
    """A link within the site names a file that is there and a place in it."""
    pages = {path: Page(path) for path in site.rglob("*.html")}
    for page in pages.values():
        for written, path, place in page.targets():
            assert path.is_file(), f"{page.path.name}: {written}"
            if path in pages:
                assert place in pages[path].places, f"{page.path.name}: {written}"


def test_site_works_without_internet(site: Path) -> None:
    """No page and no style sheet loads anything from another host."""
    for path in site.rglob("*.html"):
        for reference in Page(path).loads:
            assert not urlsplit(reference).netloc, f"{path.name} loads {reference}"
    for path in site.rglob("*.css"):
        assert "url(http" not in path.read_text(encoding="utf-8").replace('"', ""), path


def test_formulas_need_no_script(site: Path) -> None:
    """A formula is MathML when the page arrives, with the font that the site brings."""
    page = site / "backpropagation.html"
    assert page.read_text(encoding="utf-8").count("<math") > 100
    assert not [script for script in Page(page).loads if "math" in script.lower()]
    style = (site / "_static" / "site.css").read_text(encoding="utf-8")
    font = style.split('src: url("')[1].split('"')[0]
    assert (site / "_static" / font).is_file()


def _sections(page: Path) -> dict[str, str]:
    """The text below each heading of the third level."""
    text = page.read_text(encoding="utf-8")
    parts = re.split(r"^### (.+)\n|^##? .+\n", text, flags=re.MULTILINE)
    return {name: below for name, below in zip(parts[1::2], parts[2::2], strict=True) if name}


def test_every_setting_has_its_heading() -> None:
    """The reference names the settings that there are, in their order, with help and default."""
    sections = _sections(DOCS / "reference" / "settings.md")
    assert list(sections) == [key for key, _, _ in describe()]
    for key, default, help_ in describe():
        said = f"Default: `{default}`." if default else "Not set by default."
        assert f"{help_}. {said}" in sections[key], (
            f"settings.md must say of {key}: {help_}. {said}"
        )


def test_every_command_has_its_heading() -> None:
    """The reference has a section for each command of `train`, with the help and default of each option."""
    sections = _sections(DOCS / "reference" / "commands.md")
    commands = dict(_commands(get_command(app), "train"))
    assert list(sections) == list(commands), "commands.md has not the commands that there are"
    for name, command in commands.items():
        text = sections[name].partition("\n## ")[0]
        assert str(command.help) in text, f"commands.md must say of {name}: {command.help}"
        for parameter in command.params:
            is_option = parameter.param_type_name == "option"
            shown = parameter.opts[0] if is_option else str(parameter.name).upper()
            row = next((row for row in text.splitlines() if row.startswith(f"| `{shown}")), "")
            if getattr(parameter, "hidden", False):
                assert not row, f"{shown} of {name} is hidden, and commands.md has it"
                continue
            assert parameter.help, f"{shown} of {name} has no help"
            words = parameter.help.rstrip(".").replace("|", r"\|")
            assert words in row, f"commands.md must say of {name} {shown}: {words}"
            if is_option and not isinstance(parameter.default, bool | None):
                assert f"Default: `{parameter.default}`." in row, f"{name} {shown}"


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    for below, found in getattr(command, "commands", {}).items():
        yield from _commands(found, f"{name} {below}")
    if not hasattr(command, "commands"):
        yield name, command


def test_every_target_of_make_is_explained() -> None:
    """The reference's table of make is what `make help` says."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    for target, words in re.findall(r"^([a-z]+):.*?## (.*)", makefile, re.MULTILINE):
        assert f"| `make {target}` | {words} |" in text, f"commands.md must explain make {target}"


def test_every_hyper_parameter_is_explained() -> None:
    """The reference's list of `--set` has the keys that it takes, in their order."""
    text = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", text.split("## Hyper-parameters")[1], re.MULTILINE)
    assert listed == list(overrides._settable())


@pytest.mark.parametrize("table", [ACTIVATIONS, LOSSES, LINKS], ids=["activation", "loss", "links"])
def test_every_choice_is_explained(table: dict[str, Any], request: pytest.FixtureRequest) -> None:
    """The reference names each activation, loss and link; the derivation has a row for the former two."""
    key = request.node.callspec.id
    text = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    (told,) = re.findall(rf"^\| `{key}` \| (.*)$", text, re.MULTILINE)
    assert [name for name in table if f"`{name}`" not in told] == []
    derived = QUOTING.read_text(encoding="utf-8").split("### Other activations and losses")[1]
    assert key == "links" or [name for name in table if f"\n| `{name}` |" not in derived] == []


def test_every_metric_is_explained() -> None:
    """The reference has a row for each metric that the service writes, of its kind."""
    text = (DOCS / "reference" / "metrics.md").read_text(encoding="utf-8")
    listed = re.findall(
        r"^\| `(\w+)` \| (counter|gauge|histogram|summary) \| .", text, re.MULTILINE
    )
    code = (ROOT / "service" / "metrics.py").read_text(encoding="utf-8")
    named = set(re.findall(r'"((?:http|model|service)_[a-z_]+)"', code))
    assert named == {name for name, _ in listed}
    kinds = set(re.findall(r'Family\(\s*"(\w+)",\s*"(\w+)"', code))
    assert kinds <= set(listed)


def test_every_key_of_a_manifest_is_explained() -> None:
    """The reference has a row for each key that a bundle's manifest has, and says which older ones lack."""
    text = (DOCS / "reference" / "bundle.md").read_text(encoding="utf-8")
    rows = "".join(re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", text, re.MULTILINE))
    later = set(re.findall(r"^\| `(\w+)` \| .*; not in older bundles \|$", text, re.MULTILINE))
    for path in (ROOT / "models" / "artifacts").glob("*/manifest.json"):
        assert set(re.findall(r"`(\w+)`", rows)) == set(json.loads(path.read_bytes())) | later


def test_every_route_is_listed() -> None:
    """The reference lists every route of the OpenAPI document, and no other of its prefixes."""
    text = (DOCS / "reference" / "http.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`((?:GET|POST) /[^`]*)`", text.split("## One row")[0]))
    paths = tiny_app().openapi()["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert listed - routes == {"GET /", "GET /docs", "GET /metrics", "GET /openapi.json"}
    assert routes <= listed


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_field_is_explained(task: Task) -> None:
    """The reference has a row for each field of a request, as the task declares it."""
    text = (DOCS / "reference" / "http.md").read_text(encoding="utf-8")
    section = text.split(f"### {task.name}\n")[1].split("\n#")[0]
    rows = re.findall(
        r"^\| `(\w+)` \| (.*?) \| (.*?) \|.*?\| (optional)? *\|$", section, re.MULTILINE
    )
    expected = [
        (f.name, f.description, f.unit or "", "" if f.required else "optional") for f in task.fields
    ]
    assert rows == expected
    for field in task.fields:
        if field.low is not None:
            assert f"{field.low:g} to {field.high:g}" in section
        assert all(f"`{choice}`" in section for choice in field.choices)
