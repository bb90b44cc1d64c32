"""The images and docker-compose.yml on a real engine: the whole cycle of serving and training."""

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
MIB = 2**20
# What the serving image may add to its base image: NumPy and the web framework, little else.
OWN_LAYERS_MIB = 120
SWAP_SECONDS = 10
REQUESTS = {
    "bikes": {
        "timestamp": "2012-06-01T17:00:00",
        "temperature": 27.0,
        "humidity": 55.0,
        "wind_speed": 12.0,
        "weather": "clear",
    },
    "admission": {"gre": 700, "gpa": 3.7, "rank": 2},
}

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Stack:
    """The project of docker-compose.yml under a name and on a port of its own."""

    name: str
    port: int

    def compose(self, *arguments: str) -> str:
        """Run `docker compose` on the stack; its standard output."""
        command = [
            "docker",
            "compose",
            "--project-name",
            self.name,
            "--progress",
            "plain",
            *arguments,
        ]
        result = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "SERVICE_PORT": str(self.port)},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}\n{result.stderr}"
        return result.stdout

    def inside(self, *command: str) -> str:
        """Run a command in the container of the service; its standard output."""
        return self.compose("exec", "--no-TTY", "serve", *command).strip()

    def container(self) -> dict[str, Any]:
        """What the engine says of the container of the service."""
        identity = self.compose("ps", "--all", "--quiet", "serve").strip()
        return dict(_docker_json("inspect", identity)[0])

    def predict(self, model: str) -> dict[str, Any]:
        """The answer of the service to the request of a model."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/predict/{model}",
            data=json.dumps(REQUESTS[model]).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as reply:
            return dict(json.load(reply))

    def versions(self) -> dict[str, str]:
        """The version that answers now, of each model."""
        return {model: self.predict(model)["model"]["version"] for model in REQUESTS}


def _docker_json(*arguments: str) -> Any:
    result = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(result.stdout)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The service, built and up from nothing; afterwards nothing of it is left."""
    stack = Stack(f"backprop-test-{os.getpid()}", _free_port())
    try:
        stack.compose("--profile", "train", "build")
        stack.compose("up", "--detach", "--wait", "--wait-timeout", "120")
        yield stack
    finally:
        stack.compose(
            "--profile", "train", "down", "--volumes", "--rmi", "local", "--timeout", "40"
        )


@pytest.mark.parametrize("model", REQUESTS)
def test_service_answers_with_an_empty_store(stack: Stack, model: str) -> None:
    """`docker compose up` is all that an answer needs: the image brings trained models."""
    answer = stack.predict(model)
    assert answer["model"]["name"] == model
    assert answer["interval"]["low"] <= answer["interval"]["high"]


def test_service_runs_with_no_privilege(stack: Stack) -> None:
    """The process is not root, has no capability, and can gain none."""
    status = dict(
        line.split(":\t", 1) for line in stack.inside("cat", "/proc/1/status").splitlines()
    )
    assert status["Uid"].split() == ["10001"] * 4
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"


def test_service_can_write_to_tmp_alone(stack: Stack) -> None:
    """What runs in the container can change neither its code nor its models."""
    probe = "touch $1/probe 2> /dev/null && rm $1/probe && echo writable || echo read-only"
    found = {
        folder: stack.inside("sh", "-c", probe, "probe", folder)
        for folder in ("/", "/app", "/venv", "/store", "/tmp")  # noqa: S108  # of the container
    }
    assert found == {
        "/": "read-only",
        "/app": "read-only",
        "/venv": "read-only",
        "/store": "read-only",
        "/tmp": "writable",  # noqa: S108  # of the container
    }


@pytest.mark.parametrize("module", ["training", "pandas", "matplotlib", "typer", "pip", "pytest"])
def test_serving_image_has_nothing_that_serving_does_not_need(stack: Stack, module: str) -> None:
    """No training code and no tool is in reach of the service."""
    look = f"import importlib.util; print(importlib.util.find_spec({module!r}))"
    assert stack.inside("python", "-c", look) == "None"


def test_serving_image_is_small(stack: Stack) -> None:
    """What we add to the base image stays within its budget."""
    image = _docker_json("image", "inspect", f"{stack.name}-serve")[0]
    base = _docker_json("image", "inspect", "python:3.11-slim")[0]
    assert (image["Size"] - base["Size"]) / MIB <= OWN_LAYERS_MIB


def test_running_service_takes_what_a_container_trains(stack: Stack) -> None:
    """`docker compose run --rm train` gives new answers without a new container."""
    before, old = stack.container(), stack.versions()
    stack.compose("run", "--rm", "--no-TTY", "train")
    deadline = time.monotonic() + SWAP_SECONDS
    while any(old[model] == version for model, version in stack.versions().items()):
        assert time.monotonic() < deadline, f"still answers with {stack.versions()}"
        time.sleep(0.2)
    after = stack.container()
    assert (after["Id"], after["State"]["StartedAt"]) == (
        before["Id"],
        before["State"]["StartedAt"],
    )
    assert after["State"]["Health"]["Status"] == "healthy"


def test_restarted_service_keeps_the_trained_versions(stack: Stack) -> None:
    """The store outlives the container: a new one answers with the versions of the volume."""
    versions = stack.versions()
    stack.compose("up", "--detach", "--wait", "--force-recreate", "--wait-timeout", "120")
    assert stack.versions() == versions


def test_stopped_service_ends_in_good_order(stack: Stack) -> None:
    """A stop is no failure: the service ends by itself, in time, with exit status 0."""
    stack.compose("stop", "serve")
    assert stack.container()["State"]["ExitCode"] == 0
