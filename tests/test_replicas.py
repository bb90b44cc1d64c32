"""Several replicas: deploy/replicas.yml on one engine, deploy/stack.yml on a swarm of one node."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.engine import (
    Stack,
    build_proxy,
    docker_json,
    free_port,
    predict,
    run,
    wait_until,
)
from tests.load import BATCH, LARGE, ROW, Load

REPLICAS = 3
SWAP_SECONDS = 5

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]


def _answering(port: int) -> set[str]:
    """The processes that answer a dozen requests in a row."""
    return {predict(port, "bikes")[0] for _ in range(4 * REPLICAS)}


@pytest.fixture(scope="module")
def proxy() -> Iterator[str]:
    """The tag of an image of the proxy."""
    tag = f"backprop-test-proxy-{os.getpid()}"
    build_proxy(tag)
    yield tag
    run("docker", "rmi", "--force", tag)


@pytest.fixture(scope="module")
def replicas(proxy: str) -> Iterator[Stack]:
    """Three replicas behind the proxy; afterwards nothing of them is left."""
    files = ("docker-compose.yml", "deploy/replicas.yml")
    name = f"backprop-replicas-{os.getpid()}"
    stack = Stack(name, free_port(), files, {"PROXY_IMAGE": proxy})
    try:
        stack.compose("--profile", "train", "build")
        stack.compose("up", "--detach", "--wait", "--scale", f"serve={REPLICAS}")
        yield stack
    finally:
        stack.down()


def test_load_is_spread_over_all_replicas(replicas: Stack) -> None:
    """Each replica answers its share of the requests, within 20 %."""
    with Load(replicas.port, *4 * [ROW]) as load:
        wait_until(lambda: load.answers.total() >= 600, 60, "600 answers")
    share = load.answers.total() / REPLICAS
    assert load.failures == []
    assert len(load.answers) == REPLICAS
    assert all(0.8 * share <= n <= 1.2 * share for n in load.answers.values()), load.answers


def test_killed_replica_loses_no_request(replicas: Stack) -> None:
    """What a killed process had taken on, rows and batches that the proxy can keep, another answers."""
    wait_until(lambda: len(_answering(replicas.port)) == REPLICAS, 60, "all replicas answer")
    with Load(replicas.port, *3 * [ROW], BATCH, *3 * [LARGE]) as load:
        wait_until(lambda: len(load.answers) == REPLICAS, 60, "all replicas answer")
        for index in range(1, REPLICAS):
            number = load.answers.total() + 50
            container = f"{replicas.name}-serve-{index}"
            run("docker", "exec", container, "sh", "-c", "kill -9 -1; true")
            wait_until(lambda n=number: load.answers.total() >= n, 60, "the others answer")  # type: ignore[misc]
            successors = REPLICAS + index
            wait_until(lambda n=successors: len(load.answers) == n, 60, "the engine restarts it")  # type: ignore[misc]
    assert load.failures == []


def test_logs_of_all_containers_are_rotated(replicas: Stack) -> None:
    """Neither the replicas nor the proxy can fill the disk with their logs."""
    for found in docker_json(
        "inspect", *replicas.compose("ps", "--quiet", "serve", "proxy").split()
    ):
        assert "max-size" in found["HostConfig"]["LogConfig"]["Config"], found["Name"]


def test_new_release_loses_no_request(replicas: Stack) -> None:
    """As docs/scaling.md says: new replicas beside the old ones, which then are stopped."""
    wait_until(lambda: len(_answering(replicas.port)) == REPLICAS, 60, "all replicas answer")
    with Load(replicas.port, *3 * [ROW]) as load:
        wait_until(lambda: len(load.answers) == REPLICAS, 60, "all replicas answer")
        old = replicas.compose("ps", "--quiet", "serve").split()
        beside = ("--no-recreate", "--scale", f"serve={2 * REPLICAS}")
        replicas.compose("up", "--detach", "--wait", *beside)
        wait_until(lambda: len(load.answers) == 2 * REPLICAS, 60, "the new ones answer, too")
        run("docker", "stop", *old)
        run("docker", "rm", *old)
    assert load.failures == []
    assert len(replicas.compose("ps", "--quiet", "serve").split()) == REPLICAS


def test_all_replicas_take_what_a_container_trains(replicas: Stack) -> None:
    """One `train` is enough for every replica: they follow the pointers of one store."""
    old = predict(replicas.port, "admission")[1]["model"]["version"]
    replicas.compose("run", "--rm", "--no-TTY", "train", "admission")
    taken: set[str] = set()

    def all_have_taken() -> bool:
        process, answer = predict(replicas.port, "admission")
        if answer["model"]["version"] != old:
            taken.add(process)
        return len(taken) == REPLICAS

    wait_until(all_have_taken, SWAP_SECONDS, "every replica answers with the new version")


@dataclass(frozen=True)
class Swarm:
    """The services of deploy/stack.yml under a name, on a port and with the image of serving."""

    name: str
    port: int
    image: str

    def service(self, command: str, *arguments: str) -> None:
        """Run `docker service COMMAND` on the service, until it has had its effect."""
        run("docker", "service", command, "--detach=false", "--quiet", *arguments, self.serve)

    @property
    def serve(self) -> str:
        """The name of the service in the swarm."""
        return f"{self.name}_serve"

    def update_state(self) -> str:
        """What the engine says of the last update."""
        return str(docker_json("service", "inspect", self.serve)[0]["UpdateStatus"]["State"])


@pytest.fixture(scope="module")
def one_node() -> Iterator[None]:
    """A swarm: the engine's own, or one of this machine alone that is left afterwards."""
    is_member = docker_json("info", "--format", "{{json .Swarm}}")["LocalNodeState"] == "active"
    if not is_member:
        run("docker", "swarm", "init", "--advertise-addr=127.0.0.1", "--listen-addr=127.0.0.1")
    yield
    if not is_member:
        run("docker", "swarm", "leave", "--force")


@pytest.fixture(scope="module")
def swarm(proxy: str, one_node: None) -> Iterator[Swarm]:
    """The stack, deployed and answering; afterwards nothing of it is left."""
    name = f"backprop-swarm-{os.getpid()}"
    stack = Swarm(name, free_port(), f"{name}-serve")
    run("docker", "build", "--target", "serve", "--tag", stack.image, ".")
    environment = {
        "PROXY_IMAGE": proxy,
        "SERVE_IMAGE": stack.image,
        "SERVICE_PORT": str(stack.port),
    }
    try:
        command = ["docker", "stack", "deploy", "--resolve-image=never"]
        run(*command, "--compose-file=deploy/stack.yml", name, environment=environment)
        wait_until(lambda: _is_whole(stack), 120, "all replicas answer")
        yield stack
    finally:
        run("docker", "stack", "rm", name)
        mine = ["docker", "ps", "--all", "--quiet", "--filter", f"name={name}_"]
        wait_until(lambda: not run(*mine), 120, "the containers of the stack are gone")
        run("docker", "volume", "rm", "--force", f"{name}_store")
        run("docker", "rmi", "--force", stack.image, f"{stack.image}-broken")


def _is_whole(stack: Swarm) -> bool:
    try:
        return len(_answering(stack.port)) == REPLICAS
    except OSError:
        return False


def test_logs_of_a_swarm_cannot_fill_the_disks(swarm: Swarm) -> None:
    """The engine of each node keeps the latest gigabyte of a container's log."""
    for service in ("serve", "proxy", "train"):
        (found,) = docker_json("service", "inspect", f"{swarm.name}_{service}")
        assert found["Spec"]["TaskTemplate"]["LogDriver"]["Options"] == {
            "max-size": "100m",
            "max-file": "10",
        }


def test_rolling_update_and_rollback_lose_no_request(swarm: Swarm) -> None:
    """New replicas take over under load, and so do the old ones when the update is taken back."""
    with Load(swarm.port, *3 * [ROW]) as load:
        wait_until(lambda: len(load.answers) == REPLICAS, 60, "all replicas answer")
        # The time after it in which a failure would still count is for the test of a broken image.
        watch = ("--update-monitor=1s", "--rollback-monitor=1s")
        swarm.service("update", "--env-add=SERVICE_LOG_FORMAT=json", *watch)
        assert len(load.answers) == 2 * REPLICAS
        swarm.service("rollback")
        assert len(load.answers) == 3 * REPLICAS
    assert load.failures == []


def test_update_to_a_broken_image_takes_itself_back(swarm: Swarm) -> None:
    """An image whose service does not start never answers, and the old replicas go on."""
    broken = f"{swarm.image}-broken"
    recipe = f"FROM {swarm.image}\nENV SERVICE_ROW_PLACES=many\n"
    run("docker", "build", "--tag", broken, "-", text=recipe)
    before = _answering(swarm.port)
    with Load(swarm.port, *3 * [ROW]) as load:
        update = ["--no-resolve-image", f"--image={broken}"]
        run("docker", "service", "update", "--detach", "--quiet", *update, swarm.serve)
        wait_until(lambda: swarm.update_state() == "rollback_completed", 120, "it is taken back")
    assert load.failures == []
    # one has been replaced, and that again
    assert len(load.answers.keys() & before) >= REPLICAS - 1
