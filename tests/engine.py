"""A Docker engine for the tests: the compose project under a name and on a port of its own."""

import gzip
import json
import os
import socket
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
REQUESTS: dict[str, dict[str, Any]] = {
    "bikes": {
        "timestamp": "2012-06-01T17:00:00",
        "temperature": 27.0,
        "humidity": 55.0,
        "wind_speed": 12.0,
        "weather": "clear",
    },
    "admission": {"gre": 700, "gpa": 3.7, "rank": 2},
}
GZIP = b"\x1f\x8b"
# The image of the proxy, made of Debian's package: an engine of CI may reach no image registry.
_PROXY = """
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends haproxy
USER haproxy
STOPSIGNAL SIGUSR1
ENTRYPOINT ["haproxy"]
CMD ["-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
"""


def run(
    *command: str,
    environment: Mapping[str, str] | None = None,
    text: str | None = None,
    folder: Path = ROOT,
) -> str:
    """Run a command in the project's folder; its standard output. What it says if it fails."""
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def docker_json(*arguments: str) -> Any:
    """What `docker` answers, as JSON."""
    return json.loads(run("docker", *arguments))


def saved(*images: str) -> Iterator[bytes]:
    """All that an engine would push of the images: their configurations, and each layer as a tar."""
    command = ["docker", "save", *images]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as parts:
            for part in parts:
                file = parts.extractfile(part)
                content = file.read() if file else b""
                yield gzip.decompress(content) if content.startswith(GZIP) else content
        assert process.wait() == 0


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(is_so: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait for a condition and return the seconds it took; fails with `what` after `seconds`."""
    started = time.monotonic()
    while not is_so():
        waited = time.monotonic() - started
        assert waited < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - started


def build_proxy(tag: str) -> None:
    """Build the stand-in of the proxy's image."""
    run("docker", "build", "--tag", tag, "-", text=_PROXY)


def predict(port: int, model: str) -> tuple[str, dict[str, Any]]:
    """The process that answers the request of a model, and its answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/predict/{model}",
        data=json.dumps(REQUESTS[model]).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        return process_of(reply.headers["X-Request-ID"]), dict(json.load(reply))


def process_of(request_id: str) -> str:
    """Which process gave a request its identity: each begins its own with random digits."""
    return request_id.split("-", maxsplit=1)[0]


@dataclass(frozen=True)
class Stack:
    """The project of docker-compose.yml, and of further files, under a name and on a port.

    folder : the checkout that it is built from.
    """

    name: str
    port: int
    files: tuple[str, ...] = ("docker-compose.yml",)
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = ROOT

    def compose(self, *arguments: str) -> str:
        """Run `docker compose` on the stack; its standard output."""
        files = [word for file in self.files for word in ("--file", file)]
        command = ["docker", "compose", *files, "--project-name", self.name, "--progress", "plain"]
        environment = {**self.environment, "SERVICE_PORT": str(self.port)}
        return run(*command, *arguments, environment=environment, folder=self.folder)

    def inside(self, *command: str) -> str:
        """Run a command in the (first) container of the service; its standard output."""
        return self.compose("exec", "--no-TTY", "serve", *command).strip()

    def container(self) -> dict[str, Any]:
        """What the engine says of the container of the service."""
        identity = self.compose("ps", "--all", "--quiet", "serve").strip()
        return dict(docker_json("inspect", identity)[0])

    def versions(self) -> dict[str, str]:
        """The version that answers now, of each model."""
        return {model: predict(self.port, model)[1]["model"]["version"] for model in REQUESTS}

    def down(self) -> None:
        """Leave nothing of the stack behind."""
        self.compose("--profile", "train", "down", "--volumes", "--rmi", "local", "--timeout", "40")
