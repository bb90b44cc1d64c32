"""Planted secrets: a key, a token in a header, a personal input. None of them is ever seen again."""

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from models.store import Store
from service.keys import digest_of
from tests import tiny
from tests.process import ROOT, environment, fill, launched

KEY = "planted-api-key-" + "k" * 32
WRONG_KEY = "planted-wrong-key-" + "w" * 32
SIGNING = "planted-signing-key-" + "s" * 32
COOKIE = "planted-cookie"
QUERY = "planted-query-token"
INPUT = 654.321987
SECRETS = (KEY, WRONG_KEY, SIGNING, COOKIE, QUERY, str(INPUT))


def ask(url: str, path: str, body: Any = None, key: str = KEY) -> str:
    """All of an answer, headers included, whatever its status."""
    headers = {"X-API-Key": key, "Cookie": COOKIE, "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return f"{reply.status} {reply.headers} {reply.read().decode()}"
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.headers} {error.read().decode()}"


def test_secrets_are_in_no_log_answer_or_metric(tmp_path: Path) -> None:
    """Whatever is asked, right or wrong, log, answers and metrics repeat no secret and no input."""
    key_file, signing_file, log = (tmp_path / name for name in ("keys", "signing", "log"))
    key_file.write_text(f"owner sha256:{digest_of(KEY.encode()).decode()}\n")
    signing_file.write_text(SIGNING)
    store = fill(tmp_path / "store", SIGNING.encode())
    settings = {"store": store, "key_file": key_file, "signing_key_file": signing_file}
    with launched(log, **settings) as (_, url):
        row = {"gre": 700, "gpa": 3.7, "rank": 2}
        said = [
            ask(url, "/predict/admission", row),
            ask(url, f"/predict/admission?token={QUERY}", row),
            ask(url, "/predict/admission", row | {"gre": INPUT}),
            ask(url, "/predict/admission", row, WRONG_KEY),
            ask(url, "/predict/admission/batch", {"instances": [row, row | {"gpa": INPUT}]}),
            ask(url, f"/{QUERY}?{QUERY}"),
            ask(url, "/models/admission"),
            ask(url, "/openapi.json"),
        ]
        Store(store).publish(tiny.model("admission", 3), {}, b"another key")
        said.append(ask(url, "/metrics"))
    assert [answer[:3] for answer in said[:5]] == ["200", "422", "422", "401", "200"]
    told = log.read_text(encoding="utf-8")
    assert told.count('"event":"request"') == len(said)
    assert '"caller":"owner"' in told
    for secret in SECRETS:
        assert secret not in told, secret
    for secret in (KEY, WRONG_KEY, SIGNING, COOKIE):
        assert not [answer for answer in said if secret in answer], secret


def test_secrets_are_in_no_error_of_the_start(tmp_path: Path) -> None:
    """A key where its digest belongs is a mistake that is told without the key."""
    key_file = tmp_path / "keys"
    key_file.write_text(f"owner {KEY}\n")
    for wrong in ({"key_file": key_file}, {"keys": f"owner:{KEY}"}):
        result = subprocess.run(
            [sys.executable, "-m", "service"],
            cwd=ROOT,
            env=environment(store=fill(tmp_path / "store"), **wrong),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert result.returncode == 2
        assert re.search(r"^serve: .*entry 1: must be a name", result.stderr, re.MULTILINE)
        assert KEY not in result.stdout + result.stderr


def test_images_take_what_is_named_and_nothing_else() -> None:
    """What lies about in a checkout (.env, a store, keys) reaches no image: the build sees a short list."""
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [rule for rule in rules if rule and not rule.startswith("#")]
    assert rules[0] == "*"
    seen = {rule[1:] for rule in rules if rule.startswith("!")}
    assert seen == {
        "requirements/serve.txt",
        "requirements/train.txt",
        "models",
        "service",
        "training",
        "deploy/healthcheck.py",
        "LICENSE",
        "NOTICE",
    }
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (?!--from|--chmod|<<)(.*) \S+$", dockerfile, re.MULTILINE)
    assert {source for sources in copied for source in sources.split()} <= seen
