"""GET /docs and /static: the API reference works with no internet and under a strict policy."""

import asyncio
import hashlib
import re
import shutil
from threading import Event
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from conftest import CHROMIUM_NAMES
from service import openapi
from service.routes.web import FOLDER
from tests.serving import connect, tiny_app

APP = tiny_app()


@pytest.mark.anyio
async def test_reference_loads_only_what_the_service_serves() -> None:
    """Each script and style of the API reference comes from the service, and no script is inline."""
    async with connect(APP) as client:
        page = await client.get("/docs")
        assert page.status_code == 200
        links = re.findall(r'(?:src|href)="(static/[^"]+)"', page.text)
        answers = [await client.get(f"/{link}") for link in links]
    assert len(links) == len(re.findall(r"<script|<link rel=.stylesheet", page.text)) == 3
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert not re.search(r"https?:|<script>|<style|\son\w+=", page.text)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.anyio
async def test_others_are_answered_while_the_description_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who first asks for the OpenAPI document keeps nobody else waiting, and it is made once."""
    begun, go, made = Event(), Event(), []
    document = openapi.document

    def slowly(found: dict[str, Any]) -> dict[str, Any]:
        made.append(found)
        begun.set()
        go.wait(10)
        return document(found)

    monkeypatch.setattr(openapi, "document", slowly)
    async with connect(tiny_app()) as client:
        waiting = [asyncio.create_task(client.get("/openapi.json")) for _ in range(2)]
        await asyncio.to_thread(begun.wait, 10)
        assert (await client.get("/health/live")).status_code == 200
        assert not any(task.done() for task in waiting)
        go.set()
        first, second = [(await task).json() for task in waiting]
    assert len(made) == 1
    assert first == second == tiny_app().openapi()


@pytest.mark.anyio
async def test_assets_are_kept_by_their_version() -> None:
    """A file in a folder with a version is kept for good; any other is asked for again, by ETag."""
    async with connect(APP) as client:
        kept = await client.get("/static/swagger-ui-5.35.0/swagger-ui.css")
        asked = await client.get("/static/reference.js")
        again = await client.get(
            "/static/reference.js", headers={"If-None-Match": asked.headers["ETag"]}
        )
        missing = await client.get("/static/swagger-ui-5.35.0/none.css")
        outside = await client.get("/static/..%2freference.html")
    assert "immutable" in kept.headers["cache-control"]
    assert asked.headers["cache-control"] == "no-cache"
    assert again.status_code == 304
    assert missing.status_code == outside.status_code == 404
    assert missing.headers["content-type"] == "application/problem+json"


@pytest.mark.anyio
@pytest.mark.parametrize("asked", ["bytes=0-5", "bytes=99999999-", "bytes=abc", "items=0-5"])
async def test_file_is_sent_whole_whatever_range_is_asked_for(asked: str) -> None:
    """A range is ignored and not offered: one that cannot be sent would be refused in plain text."""
    async with connect(APP) as client:
        whole = await client.get("/static/reference.js")
        part = await client.get("/static/reference.js", headers={"Range": asked})
    assert (part.status_code, part.content) == (200, whole.content)
    assert "accept-ranges" not in part.headers


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
async def test_who_has_the_reference_is_told_so(path: str) -> None:
    """The page and the document have an ETag that is heard, and are sent packed to who can unpack."""
    async with connect(APP) as client:
        first = await client.get(path)
        again = await client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        plain = await client.get(path, headers={"Accept-Encoding": "identity"})
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["content-encoding"] == "gzip"
    assert (again.status_code, again.content) == (304, b"")
    assert plain.content == first.content


def test_vendored_files_are_those_of_their_readme() -> None:
    """Vendored files are never edited: their digests are the documented ones."""
    (folder,) = (FOLDER / "static").glob("swagger-ui-*")
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `([\w.-]+)` \| `([0-9a-f]{64})` \|$", text, re.MULTILINE))
    found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
    assert found == documented
    assert f"`static/{folder.name}/`" in text
    assert folder.name in (FOLDER / "reference.html").read_text(encoding="utf-8")


@pytest.mark.browser
def test_reference_answers_a_prediction_in_a_browser(url: str) -> None:
    """In a browser the reference shows every route and sends a request, asking no other host."""
    chromium = next(path for path in map(shutil.which, CHROMIUM_NAMES) if path)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        asked: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{url}/docs")
        row = page.locator(".opblock", has=page.locator('[data-path="/predict/bikes"]'))
        row.locator(".opblock-summary-control").click()
        row.get_by_role("button", name="Execute").click()
        answer = row.locator(".live-responses-table .response .microlight").first.inner_text()
        browser.close()
    assert '"rentals"' in answer
    assert complaints == []
    assert all(address.startswith((url, "data:")) for address in asked)
