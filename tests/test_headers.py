"""Security headers: every answer has them, a page has a policy, other origins read nothing unless set."""

import pytest

from models.errors import SettingsError
from models.tasks import TASKS
from service import headers
from service.settings import Settings
from tests.serving import connect, example, tiny_app

pytestmark = pytest.mark.anyio

ORIGIN = "https://dashboard.example.org"
PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type, x-api-key",
}


@pytest.mark.parametrize(
    "path",
    [
        "/docs",
        "/static/reference.js",
        "/models",
        "/models/bikes",
        "/health/live",
        "/none",
        "/openapi.json",
    ],
)
async def test_every_answer_has_the_security_headers(path: str) -> None:
    """Pages, assets, JSON and errors alike are not sniffed, tell no referrer and name no software."""
    async with connect(tiny_app()) as client:
        answer = await client.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert not {"server", "x-powered-by", "access-control-allow-origin"} & answer.headers.keys()
    is_page = answer.headers["content-type"].startswith("text/html")
    assert ("content-security-policy" in answer.headers) == is_page


async def test_predictions_and_their_errors_have_them_too() -> None:
    """The short way to a prediction leaves out no header."""
    async with connect(tiny_app()) as client:
        for row in (example(TASKS["bikes"]), {}):
            answer = await client.post("/predict/bikes", json=row)
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_page_may_load_what_the_service_serves_and_nothing_else() -> None:
    """The policy of a page starts from nothing, has no inline code, and forbids framing."""
    async with connect(tiny_app()) as client:
        found = (await client.get("/docs")).headers["content-security-policy"]
    assert found == headers.PAGE_POLICY.decode()
    assert found.startswith("default-src 'none'; script-src 'self'; ")
    assert "frame-ancestors 'none'" in found
    assert "unsafe" not in found
    assert "http" not in found


async def test_named_origin_may_read_answers_and_errors() -> None:
    """With the setting, a page of a named origin may ask with a key and read answers."""
    async with connect(tiny_app(cors_origins=f"{ORIGIN}, http://localhost:3000")) as client:
        preflight = await client.options("/predict/bikes", headers=PREFLIGHT)
        error = await client.post("/predict/bikes", json={}, headers={"Origin": ORIGIN})
        other = await client.get("/models", headers={"Origin": "https://evil.example.org"})
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert "x-api-key" in preflight.headers["access-control-allow-headers"].lower()
    assert preflight.headers["x-request-id"]
    assert preflight.headers["x-content-type-options"] == "nosniff"
    assert error.status_code == 422
    assert error.headers["access-control-allow-origin"] == ORIGIN
    assert "X-Request-ID" in error.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in other.headers


async def test_page_of_another_origin_may_keep_a_card() -> None:
    """Such a page reads the ETag of an answer and may ask with it again."""
    wanted = {
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "if-none-match",
    }
    async with connect(tiny_app(cors_origins=ORIGIN)) as client:
        preflight = await client.options("/models/bikes", headers={"Origin": ORIGIN, **wanted})
        card = await client.get("/models/bikes", headers={"Origin": ORIGIN})
    assert preflight.status_code == 200
    assert "ETag" in card.headers["access-control-expose-headers"]


async def test_no_origin_is_named_by_default() -> None:
    """Without the setting a preflight is an ordinary request for a method that is not there."""
    async with connect(tiny_app()) as client:
        preflight = await client.options("/predict/bikes", headers=PREFLIGHT)
    assert preflight.status_code == 405
    assert "access-control-allow-origin" not in preflight.headers


@pytest.mark.parametrize(
    "origins", ["example.org", "https://example.org/path", "https://a b", "null"]
)
def test_what_is_no_origin_is_refused_at_the_start(origins: str) -> None:
    """A setting that no browser would match is told with its key and value."""
    with pytest.raises(SettingsError, match="SERVICE_CORS_ORIGINS must be origins such as"):
        Settings(cors_origins=origins)
