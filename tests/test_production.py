"""The production overlay of compose: no answer without a key, no start without a file of keys."""

import json
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from service.keys import digest_of
from tests.engine import REQUESTS, Stack, free_port

KEY = "a key of the production tests"
FILES = ("docker-compose.yml", "deploy/production.yml")

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]


def status(port: int, key: str = "") -> int:
    """Of a prediction, with a key or without."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/predict/admission",
        data=json.dumps(REQUESTS["admission"]).encode(),
        headers={"Content-Type": "application/json", "X-API-Key": key},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_production_asks_for_keys_and_takes_them_back(tmp_path: Path) -> None:
    """Without keys nothing is brought up; with them one is asked for, and a removed line revokes it."""
    name = f"backprop-production-{os.getpid()}"
    with pytest.raises(AssertionError, match="names the folder with"):
        Stack(name, free_port(), FILES).compose("config")
    keys = tmp_path / "keys.txt"
    tmp_path.chmod(0o755)
    keys.write_text(f"tests sha256:{digest_of(KEY.encode()).decode()}\n")
    stack = Stack(name, free_port(), FILES, {"API_KEYS_FOLDER": str(tmp_path)})
    try:
        stack.compose("up", "--build", "--detach", "--wait", "--wait-timeout", "120")
        assert [status(stack.port), status(stack.port, "another"), status(stack.port, KEY)] == [
            401,
            401,
            200,
        ]
        edited = tmp_path / "keys.txt.new"  # as editors and `sed -i` do
        edited.write_text("# nobody\n")
        edited.replace(keys)
        ends = time.monotonic() + 30
        while status(stack.port, KEY) != 401:
            assert time.monotonic() < ends
            time.sleep(0.2)
        log = stack.compose("logs", "--no-log-prefix", "serve")
        assert '"caller":"tests"' in log
        assert KEY not in log
    finally:
        stack.down()
