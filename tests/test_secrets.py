"""Planted secrets: a key, a token in a header, a personal input. None of them is ever seen again."""

import io
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from models.store import Store
from service.keys import digest_of
from tests import tiny
from tests.engine import Stack, run, saved
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


# What a build could take up, and where people leave secrets: beside the code, and within it.
IN_THE_BUILD = ("LICENSE", "NOTICE", "deploy", "models", "requirements", "service", "training")
FOLDERS = (
    "",
    "deploy",
    "models",
    "models/artifacts/bikes",
    "requirements",
    "service",
    "service/routes",
    "service/web/pages",
    "service/web/static",
    "training",
    "training/datasets",
)
NAMES = (
    ".env",
    ".git/config",
    ".netrc",
    ".pypirc",
    "api_keys",
    "credentials.json",
    "id_ed25519",
    "pip.conf",
    "settings.py.orig",
    "signing.key",
)
MARK = f"planted-{secrets.token_hex(8)}-"
IN_THE_SHELL = ("AWS_SECRET_ACCESS_KEY", "FTP_PROXY", "PIP_INDEX_URL", "SERVICE_SIGNING_KEY")


def secret() -> str:
    """A new one."""
    return f"{MARK}{secrets.token_hex(8)}"


def plant(tree: Path) -> dict[bytes, str]:
    """Leave a secret of its own at every place of a checkout; secret -> place."""
    planted = {}
    for folder, name in product(FOLDERS, NAMES):
        path = tree / folder / name
        path.parent.mkdir(exist_ok=True)
        text = secret()
        path.write_text(f"TOKEN={text}\n", encoding="utf-8")
        planted[text.encode()] = f"{folder}/{name}"
    return planted


def found(planted: dict[bytes, str], parts: Iterable[bytes]) -> set[str]:
    """Which of the secrets are in some part."""
    marked = (part for part in parts if MARK.encode() in part)
    return {place for part in marked for text, place in planted.items() if text in part}


def files_of(part: bytes) -> set[str]:
    """The files of a layer that is of the application, but for what Python compiled."""
    if not part.startswith(b"app/"):  # the folder comes first
        return set()
    with tarfile.open(fileobj=io.BytesIO(part)) as layer:
        names = {member.name.removeprefix("app/") for member in layer if member.isfile()}
    return {name for name in names if not name.endswith(".pyc")}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the images are built from."""
    tree = tmp_path_factory.mktemp("checkout")
    for name in (".dockerignore", "Dockerfile", "docker-compose.yml", *IN_THE_BUILD):
        if (ROOT / name).is_dir():
            made = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, tree / name, ignore=made)
        else:
            shutil.copy2(ROOT / name, tree / name)
    return tree


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_secrets_are_in_no_image(checkout: Path) -> None:
    """What lies about in a checkout and in the shell that builds reaches no layer and no configuration."""
    wanted = {
        path.relative_to(checkout).as_posix()
        for folder in ("models", "service", "training")
        for path in (checkout / folder).rglob("*")
        if path.is_file() and path.suffix not in {".md", ".typed"}
    }
    planted = plant(checkout)
    shell = {name: secret() for name in IN_THE_SHELL}
    planted |= {text.encode(): name for name, text in shell.items()}
    arguments = [word for name in shell for word in ("--build-arg", name)]  # with the shell's value
    stack = Stack(f"backprop-secrets-{os.getpid()}", 0, environment=shell, folder=checkout)
    try:
        stack.compose("--profile", "train", "build", *arguments)
        parts = list(saved(*(f"{stack.name}-{image}" for image in ("serve", "train"))))
    finally:
        stack.down()
    assert found(planted, parts) == set()
    taken = set().union(*map(files_of, parts))
    assert taken == wanted | {"LICENSE", "NOTICE", "healthcheck.py"}


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_secret_in_an_image_would_be_found(tmp_path: Path) -> None:
    """The search sees a file that a later layer hides, and an argument that became a variable."""
    planted = {secret().encode(): place for place in ("file", "argument")}
    file, argument = (secret.decode() for secret in planted)
    recipe = "FROM scratch\nARG TOKEN\nENV PASSWORD=$TOKEN\nCOPY a /kept\nCOPY b /kept\n"
    for name, text in {"Dockerfile": recipe, "a": file, "b": ""}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    tag = f"backprop-leak-{os.getpid()}"
    build = ("docker", "build", "--build-arg", f"TOKEN={argument}", "--tag", tag)
    run(*build, "--no-cache", str(tmp_path))
    try:
        assert found(planted, saved(tag)) == {"file", "argument"}
    finally:
        run("docker", "rmi", "--force", tag)
