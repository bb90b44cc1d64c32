"""API keys: who may ask, and what a key leaves behind."""

import errno
import hmac
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from models.errors import SettingsError
from models.tasks import TASKS
from service import keys, logs, main
from service.app import create_app
from service.keys import Keyring, KeysLayer, digest_of, is_open, parse
from service.registry import Registry
from service.settings import Settings
from tests.serving import connect, tiny_served

ROW = {"gre": 700, "gpa": 3.7, "rank": 2}


def line(name: str, key: str) -> str:
    """The line of a key."""
    return f"{name} sha256:{digest_of(key.encode()).decode()}\n"


class Clock:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.mark.parametrize(
    "text",
    ["dashboard", "dashboard sha256:abc", "a b c", "x md5:" + "0" * 64, "é sha256:" + "0" * 64],
)
def test_line_that_is_no_key_is_named_and_not_repeated(text: str) -> None:
    """Somebody may have put a key itself there: the error says which line, and not what it says."""
    with pytest.raises(SettingsError) as caught:
        parse(["# keys", text], "keys.txt")
    assert str(caught.value) == "keys.txt, entry 2: must be a name and sha256:digest"


def test_comments_and_empty_lines_are_no_keys() -> None:
    """A file of keys can be written for people."""
    assert parse(["# ours", "", "  ", line("a", "k").strip() + "  # until May"], "x") == {
        digest_of(b"k"): "a"
    }


def test_several_keys_from_file_and_setting(tmp_path: Path) -> None:
    """Each key has its owner; any other text, a digest itself included, has none."""
    file = tmp_path / "keys"
    file.write_text(line("one", "first") + line("two", "second"))
    ring = Keyring(file, line("three", "third").strip().replace(" ", ":"))
    assert [ring.owner(k) for k in (b"first", b"second", b"third")] == ["one", "two", "three"]
    assert len(ring) == 3
    for other in (b"", b"First", b"first ", digest_of(b"first"), b"x" * 10_000):
        assert ring.owner(other) is None


def test_file_of_keys_that_cannot_be_read_is_told_in_words(tmp_path: Path) -> None:
    """What the system says, without Python's form of it."""
    with pytest.raises(SettingsError, match=r"cannot be read: No such file or directory$"):
        Keyring(tmp_path / "none")
    (tmp_path / "keys").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match=r"cannot be read: it is not UTF-8$"):
        Keyring(tmp_path / "keys")


def test_removed_line_revokes_a_key_within_a_second(tmp_path: Path) -> None:
    """The file is read again when it has changed; one that cannot be read leaves the keys as they were."""
    file, clock = tmp_path / "keys", Clock()
    file.write_text(line("one", "first") + line("two", "second"))
    ring = Keyring(file, clock=clock)
    file.write_text(line("two", "second"))
    clock.now += 1.0
    assert ring.owner(b"first") is None
    assert ring.owner(b"second") == "two"
    file.write_text("nonsense")
    clock.now += 1.0
    assert ring.owner(b"second") == "two"
    file.unlink()
    clock.now += 1.0
    assert ring.owner(b"second") == "two"
    file.write_text(line("new", "third"))
    clock.now += 1.0
    assert ring.owner(b"third") == "new"
    assert ring.owner(b"second") is None
    file.write_text(line("two", "second"))
    clock.now += 0.9
    assert ring.owner(b"third") == "new", "the file is looked at once a second, and no more often"


def test_keys_of_the_setting_alone_stay_valid() -> None:
    """There is no file to look at again, however late it is."""
    clock = Clock()
    ring = Keyring(listed=line("one", "first").strip().replace(" ", ":"), clock=clock)
    clock.now += 3600.0
    assert ring.owner(b"first") == "one"


def test_change_that_could_not_be_read_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that is revoked while the process has no file left to open is revoked a look later."""
    file, clock = tmp_path / "keys", Clock()
    file.write_text(line("one", "first") + line("two", "second"))
    ring = Keyring(file, clock=clock)
    file.write_text(line("two", "second"))

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", fail)
        patched.setattr(Path, "read_bytes", fail)
        clock.now += 1.0
        assert ring.owner(b"first") == "one"
    clock.now += 1.0
    assert ring.owner(b"first") is None


def test_faulty_file_of_keys_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is wrong in it does not fill the log until it is mended."""
    file, clock = tmp_path / "keys", Clock()
    file.write_text(line("one", "first"))
    ring = Keyring(file, clock=clock)
    for content in (b"\xff", b"nonsense"):
        file.write_bytes(content)
        for _ in range(3):
            clock.now += 1.0
            assert ring.owner(b"first") == "one"
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


def test_missing_file_of_keys_is_told_once_in_each_outage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A volume that is not mounted does not fill the log either; a second outage is told again."""
    file, clock = tmp_path / "keys", Clock()
    file.write_text(line("one", "first"))
    ring = Keyring(file, clock=clock)
    away = tmp_path / "away"
    for before, after in ((file, away), (away, file), (file, away)):
        before.rename(after)
        for _ in range(3):
            clock.now += 1.0
            assert ring.owner(b"first") == "one"
    assert len(caplog.records) == 2


def test_every_key_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time says neither how much of a key is right nor which key it is: all are compared, by hmac."""
    compared: list[bytes] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append(a)
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", compare)
    listed = ",".join(line(n, n).strip().replace(" ", ":") for n in ("one", "two", "three"))
    ring = Keyring(listed=listed)
    assert ring.owner(b"one") == "one"
    assert len(compared) == 3


@pytest.mark.parametrize(
    ("path", "opened"),
    [
        ("/health/live", True),
        ("/health/ready", True),
        ("/v2/health/ready", True),
        ("/docs", True),
        ("/static/x.css", True),
        ("/predict/bikes", False),
        ("/models", False),
        ("/metrics", False),
        ("/v2/models/bikes/infer", False),
        ("/Health/live", False),
        ("//predict/bikes", False),
        ("/healthy", False),
    ],
)
def test_what_answers_without_a_key(path: str, opened: bool) -> None:  # noqa: FBT001
    """Whether the service is up, and pages; no model's answer, no card, no metric."""
    assert is_open(path) == opened


def asking_app() -> FastAPI:
    """The service with tiny models, which asks for a key."""
    registry = Registry({name: tiny_served(name) for name in TASKS})
    ring = Keyring(listed=line("dashboard", "a good key").strip().replace(" ", ":"))
    return create_app(registry, Settings(), layers=[partial(KeysLayer, keyring=ring)])


async def unread() -> AsyncIterator[bytes]:
    """A body that must not be asked for."""
    pytest.fail("a body was read without a key")
    yield b""


@pytest.mark.anyio
async def test_request_needs_a_key() -> None:
    """Either header carries it; without one, or with a wrong one, the answer is 401 and how to ask."""
    async with connect(asking_app()) as client:
        answers = [
            await client.post("/predict/admission", json=ROW, headers=headers)
            for headers in (
                {"X-API-Key": "a good key"},
                {"X-API-Key": "a good key \t"},
                {"Authorization": "Bearer a good key"},
                {"Authorization": "bearer  a good key"},
                {},
                {"X-API-Key": "a bad key"},
                {"Authorization": "Basic a good key"},
                {"Authorization": "Digest a good key"},
            )
        ]
        live = await client.get("/health/live")
        posted = [
            await client.post(path, content=unread()) for path in ("/health/live", "/pages/x")
        ]
    assert [answer.status_code for answer in posted] == [401, 401]
    assert [answer.status_code for answer in answers] == [*[200] * 4, *[401] * 4]
    assert live.status_code == 200
    refused = answers[4]
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["www-authenticate"] == 'Bearer realm="predictions"'
    assert refused.json()["detail"].startswith("There is no API key.")
    assert answers[5].json()["detail"].startswith("The API key is not valid.")
    assert "bad" not in answers[5].text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"require_keys": True}, "SERVICE_REQUIRE_KEYS is set and there is no key"),
        ({"keys": "bad"}, "SERVICE_KEYS, entry 1: must be"),
    ],
)
def test_a_bad_setting_is_refused_before_the_store_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], said: str
) -> None:
    """A service that was told to require keys does not start without one, and leaves nothing behind."""
    monkeypatch.setattr(logs, "configure_by", lambda _: None)
    store = tmp_path / "store"
    with pytest.raises(SettingsError, match=said):
        main.build(Settings(store=store, **settings))
    assert not store.exists()


def test_made_key_is_good_for_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m service.keys NAME` prints a key of 256 bits and the line that admits it."""
    assert keys.main(["dashboard"]) == 0
    key, admits = (said.split(": ", 1)[1].strip() for said in capsys.readouterr().out.splitlines())
    assert len(key) >= 43
    assert parse([admits], "x") == {digest_of(key.encode()): "dashboard"}
    assert keys.main(["no name"]) == keys.main(["--help"]) == keys.main([]) == 2
