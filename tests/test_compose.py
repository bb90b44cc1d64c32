"""The images and docker-compose.yml on a real engine: the whole cycle of serving and training."""

import os
from collections.abc import Iterator

import pytest

from tests.engine import REQUESTS, Stack, docker_json, free_port, predict, wait_until

MIB = 2**20
# What the serving image may add to its base image: NumPy and the web framework, little else.
OWN_LAYERS_MIB = 120
SWAP_SECONDS = 10

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The service, built and up from nothing; afterwards nothing of it is left."""
    stack = Stack(f"backprop-test-{os.getpid()}", free_port())
    try:
        stack.compose("--profile", "train", "build")
        stack.compose("up", "--detach", "--wait", "--wait-timeout", "120")
        yield stack
    finally:
        stack.down()


@pytest.mark.parametrize("model", REQUESTS)
def test_service_answers_with_an_empty_store(stack: Stack, model: str) -> None:
    """`docker compose up` is all that an answer needs: the image brings trained models."""
    _, answer = predict(stack.port, model)
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
    image = docker_json("image", "inspect", f"{stack.name}-serve")[0]
    base = docker_json("image", "inspect", "python:3.11-slim")[0]
    assert (image["Size"] - base["Size"]) / MIB <= OWN_LAYERS_MIB


def test_log_cannot_fill_the_disk(stack: Stack) -> None:
    """A line a request adds up: the engine keeps the latest gigabyte and drops what is older."""
    log = stack.container()["HostConfig"]["LogConfig"]
    assert log == {"Type": "json-file", "Config": {"max-size": "100m", "max-file": "10"}}


def test_running_service_takes_what_a_container_trains(stack: Stack) -> None:
    """`docker compose run --rm train` gives new answers without a new container."""
    before, old = stack.container(), stack.versions()
    stack.compose("run", "--rm", "--no-TTY", "train")
    wait_until(
        lambda: not set(old.items()) & set(stack.versions().items()),
        SWAP_SECONDS,
        "a new version of every model answers",
    )
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
