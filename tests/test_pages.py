"""The pages of the product as the service sends them; `test_browser.py` drives them in a Chromium."""

import gzip
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from models.tasks import TASKS
from service.keys import is_open
from service.routes.pages import ASSETS, FOLDER, Site
from tests.serving import connect, tiny_app

pytestmark = pytest.mark.anyio

PAGES = {name: page.body.decode() for name, page in Site(FOLDER).pages.items()}
URLS = ["/", "/admission", "/learned/bikes", "/learned/admission", "/backpropagation", "/batch"]


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of the service."""
    return "asyncio"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service with tiny models."""
    async with connect(tiny_app()) as connected:
        yield connected


@pytest.mark.parametrize("url", URLS)
async def test_page_answers_under_a_strict_policy(client: httpx.AsyncClient, url: str) -> None:
    """Every page is HTML that may load from this service alone, and run no script within itself."""
    answer = await client.get(url)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert (await client.head(url)).headers["etag"] == answer.headers["etag"]


@pytest.mark.parametrize("url", URLS)
async def test_parts_of_a_page_are_there_and_kept_for_ever(
    client: httpx.AsyncClient, url: str
) -> None:
    """Each part that a page names is served, under a name that changes when any of them changes."""
    named = re.findall(r'(?:src|href)="(/pages/assets/[^"]+)"', (await client.get(url)).text)
    assert named
    for part in named:
        answer = await client.get(part)
        assert answer.status_code == 200, part
        assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("name", PAGES)
def test_page_has_nothing_inline_and_names_no_other_host(name: str) -> None:
    """A page holds no script, style or handler of its own, and loads nothing from elsewhere."""
    text = PAGES[name]
    assert not re.search(r"<style|<script(?![^>]*\bsrc=)| style=| on\w+=", text)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)


async def test_page_marks_the_link_to_itself(client: httpx.AsyncClient) -> None:
    """Every page has the same header; the one link in it that is marked as current leads to the page."""
    for url in URLS:
        text = (await client.get(url)).text
        assert "<!-- include" not in text
        header = text[text.index('<header class="site">') : text.index("</header>")]
        (current,) = re.findall(r'<a href="([^"]+)" aria-current="page"', header)
        assert current == ("/learned/bikes" if url.startswith("/learned/") else url)


@pytest.mark.parametrize("name", PAGES)
def test_every_field_has_a_label(name: str) -> None:
    """Each input is named by a label or by aria-label: also where axe does not run."""
    text = PAGES[name]
    labelled = set(re.findall(r'<label[^>]* for="([\w-]+)"', text))
    for tag in re.findall(r"<(?:input|select|textarea)\b[^>]*>", text):
        within = re.search(rf"<label[^>]*>\s*{re.escape(tag)}", text)
        ident = re.search(r' id="([\w-]+)"', tag)
        assert within or "aria-label" in tag or (ident and ident[1] in labelled), tag


async def test_part_is_packed_for_who_takes_it(client: httpx.AsyncClient) -> None:
    """A script goes out under gzip to a browser and plain to anybody else, with the same content."""
    url = f"{ASSETS}{Site(FOLDER).digest}/bikes.js"
    async with client.stream("GET", url, headers={"accept-encoding": "gzip"}) as packed:
        raw = b"".join([part async for part in packed.aiter_raw()])
    plain = await client.get(url, headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < len(plain.content) / 2


@pytest.mark.parametrize(
    ("takes", "is_packed"),
    [
        ("br, gzip;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("identity, gzip; q=0.0, *", False),
        ("*;q=0", False),
        ("br", False),
        ("", False),
    ],
)
async def test_part_is_packed_for_nobody_who_refuses_it(
    client: httpx.AsyncClient,
    takes: str,
    is_packed: bool,  # noqa: FBT001
) -> None:
    """A weight of 0 says no, as RFC 9110, section 12.4.2, has it."""
    answer = await client.get("/batch", headers={"accept-encoding": takes})
    assert ("content-encoding" in answer.headers) is is_packed


async def test_known_part_is_not_sent_again(client: httpx.AsyncClient) -> None:
    """Who has a page gets 304 and no body."""
    tag = (await client.get("/")).headers["etag"]
    for known in (tag, f'"x", W/{tag}', "*"):
        again = await client.get("/", headers={"if-none-match": known})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("url", ["/", "/docs", "/openapi.json"])
async def test_packed_form_has_a_tag_of_its_own(client: httpx.AsyncClient, url: str) -> None:
    """A strong ETag names bytes, and those of the two forms differ: none is taken for the other."""
    tags = {}
    for takes in ("gzip", "identity"):
        tags[takes] = (await client.get(url, headers={"accept-encoding": takes})).headers["etag"]
    assert tags["gzip"] != tags["identity"]
    for takes, other in (("gzip", "identity"), ("identity", "gzip")):
        for known, status in ((tags[takes], 304), (tags[other], 200)):
            asked = {"accept-encoding": takes, "if-none-match": known}
            answer = await client.get(url, headers=asked)
            assert (answer.status_code, answer.headers["etag"]) == (status, tags[takes])


@pytest.mark.parametrize("url", ["/", "/models", "/openapi.json"])
async def test_known_tags_may_come_in_several_lines(client: httpx.AsyncClient, url: str) -> None:
    """Header lines of one name are one list, so a tag in any of them counts."""
    tag = (await client.get(url)).headers["etag"]
    again = await client.get(url, headers=[("if-none-match", '"x"'), ("if-none-match", tag)])
    assert again.status_code == 304


async def test_part_of_another_version_is_not_kept(client: httpx.AsyncClient) -> None:
    """During an update a page may ask for a part by the digest of another replica: it gets ours."""
    answer = await client.get(f"{ASSETS}0000/bikes.js")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["nothing.js", "../pages.py", "..%2f..%2fapp.py", "bikes.html"])
async def test_no_other_file_is_served(client: httpx.AsyncClient, name: str) -> None:
    """Only the parts of pages are served, whatever a path says."""
    assert (await client.get(f"{ASSETS}x/{name}")).status_code == 404


def test_what_lies_about_in_the_folder_is_not_served(tmp_path: Path) -> None:
    """A site takes the kinds of files that pages are made of: no `.env`, key or editor's copy."""
    for name in ("a.js", "page.html", ".env", "signing.key", "id_rsa", "a.js~", "README.md"):
        (tmp_path / name).write_text("")
    found = Site(tmp_path)
    assert [*found.assets, *found.pages] == ["a.js", "page.html"]


def test_digest_follows_every_part(tmp_path: Path) -> None:
    """A change of any part, or of its name, gives all of them new names."""
    (tmp_path / "a.js").write_text("1")
    (tmp_path / "page.html").write_text(f'<script src="{ASSETS}a.js">')
    first = Site(tmp_path)
    assert f"{ASSETS}{first.digest}/a.js".encode() in first.pages["page.html"].body
    (tmp_path / "a.js").write_text("2")
    second = Site(tmp_path)
    (tmp_path / "a.js").rename(tmp_path / "b.js")
    assert len({first.digest, second.digest, Site(tmp_path).digest}) == 3


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2012-06-01", ("Friday", "spring", None, False, False)),
        ("2012-07-04", ("Wednesday", "summer", "Independence Day", False, True)),
        ("2012-12-23", ("Sunday", "winter", None, True, False)),
        ("2012-12-24", ("Monday", "winter", None, False, True)),
        ("2012-04-16", ("Monday", "spring", "Emancipation Day", False, False)),
    ],
    ids=["working day", "holiday", "weekend", "day off by custom", "holiday that few take"],
)
async def test_calendar_says_what_a_day_is(
    client: httpx.AsyncClient, day: str, expected: tuple[object, ...]
) -> None:
    """A page shows the weekday, season and holiday that the model reads, and works out none itself."""
    content = (await client.get(f"/pages/calendar/{day}")).json()
    names = ("weekday", "season", "holiday", "weekend", "day_off")
    assert tuple(content[name] for name in names) == expected


@pytest.mark.parametrize(
    ("day", "words"),
    [("2012-02-30", "must be a date"), ("today", "must be a date"), ("1969-12-31", "1970 to 2100")],
)
async def test_calendar_refuses_what_is_no_day(
    client: httpx.AsyncClient, day: str, words: str
) -> None:
    """A date that the service cannot take is said in the words of any other fault."""
    answer = await client.get(f"/pages/calendar/{day}")
    assert answer.status_code == 422
    assert words in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    "path",
    [
        *URLS,
        "/bikes",
        "/learned",
        "/batch/",
        "/docs/",
        "/favicon.ico",
        f"{ASSETS}x/bikes.js",
        "/pages/calendar/x",
    ],
)
def test_pages_need_no_key(path: str) -> None:
    """Pages answer without a key: what they show, they ask for with one."""
    assert is_open(path)


@pytest.mark.parametrize("url", [*URLS[1:], "/docs"])
async def test_page_is_found_with_a_slash_at_its_end(client: httpx.AsyncClient, url: str) -> None:
    """Who types one is led to the page, by a path of this service: a proxy may have changed its name."""
    answer = await client.get(f"{url}/")
    assert (answer.status_code, answer.headers["location"]) == (308, url)


async def test_bikes_is_the_first_page(client: httpx.AsyncClient) -> None:
    """/bikes leads to the first page, /learned to that of bikes, and a browser's favicon is there."""
    assert (await client.get("/bikes")).headers["location"] == "/"
    assert (await client.get("/learned")).headers["location"] == "/learned/bikes"
    assert (await client.get("/learned/")).headers["location"] == "/learned/bikes"
    assert (await client.get("/favicon.ico")).headers["content-type"] == "image/svg+xml"


def test_vendored_font_is_that_of_the_readme() -> None:
    """What is vendored is pinned: the file, its licence and its digest stand in the README beside it."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for path in sorted((FOLDER / "fonts").iterdir()):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in text, path.name


def test_number_below_zero_can_be_typed_on_a_phone() -> None:
    """The keyboard of a phone for decimals has no minus; that for text has all signs."""
    inputs = re.findall(r'<input id="(\w+)(?:-b)?" inputmode="(\w+)"', "".join(PAGES.values()))
    lows = {field.name: field.low or 0.0 for task in TASKS.values() for field in task.fields}
    found = {(name, mode) for name, mode in inputs if name in lows}
    assert found == {(name, "text" if lows[name] < 0.0 else "decimal") for name, _ in found}
    assert {"temperature", "feels_like", "humidity", "gre"} <= {name for name, _ in found}
