"""A real process, started as `make serve` starts it: the ready line, answers, and refusals."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest

from models.store import Store
from models.tasks import TASKS
from service.cli import main
from service.launch import url_of
from service.schemas import REQUESTS
from tests import tiny
from tests.engine import free_port, wait_until
from tests.process import ROOT, environment, launched_by, workers_of
from tests.serving import example

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[httpx.Client]:
    """A client of a running service."""
    with httpx.Client(base_url=url) as connected:
        yield connected


def refused(*options: str, **settings: object) -> str:
    """The one line that a service says which does not start."""
    ended = subprocess.run(
        [sys.executable, "-m", "service", *options],
        cwd=ROOT,
        env=environment(**settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2
    assert '"error"' not in ended.stdout  # a level of the log
    (line,) = ended.stderr.splitlines()
    return line


def _connected(client: httpx.Client) -> socket.socket:
    """A bare connection to the server of `client`."""
    return socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=30)


def _received(connection: socket.socket) -> bytes:
    """An answer that is a JSON object, whole."""
    answer = b""
    while not answer.endswith(b"}"):
        part = connection.recv(65536)
        assert part, answer
        answer += part
    return answer


@pytest.mark.parametrize("name", TASKS)
def test_answers_are_the_models(client: httpx.Client, store: Path, name: str) -> None:
    """Over a real connection, too, the answer is that of Model.predict_one to the bit."""
    row = example(TASKS[name])
    answer = client.post(f"/predict/{name}", json=row, headers={"X-Request-ID": "mine-1"})
    assert answer.status_code == 200
    version = Store(store).current(name)
    assert answer.headers["X-Request-ID"] == "mine-1"
    assert answer.headers["X-Model-Version"] == f"{name}/{version}"
    wanted = tiny.model(name).predict_one(vars(REQUESTS[name].model_validate(row)))
    body = answer.json()
    assert body[TASKS[name].target] == wanted.value
    assert body["interval"] == {"level": 0.9, "low": wanted.low, "high": wanted.high}
    batch = client.post(f"/predict/{name}/batch", json={"instances": [row, row]}).json()
    assert [r[TASKS[name].target] for r in batch["predictions"]] == pytest.approx(
        [wanted.value] * 2, rel=1e-5
    )


def test_every_page_of_an_operator_answers(client: httpx.Client) -> None:
    """Health, cards, metrics, the API reference and its document are there from the start."""
    for path in (
        "/health/live",
        "/health/ready",
        "/models",
        "/models/bikes",
        "/metrics",
        "/docs",
        "/openapi.json",
    ):
        assert client.get(path).status_code == 200, path


def test_large_body_is_refused_before_it_is_read(client: httpx.Client) -> None:
    """A body that says it is too large is answered 413 while the client still waits to send it."""
    with _connected(client) as connection:
        connection.sendall(
            b"POST /predict/bikes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 50000000\r\nExpect: 100-continue\r\n\r\n"
        )
        answer = _received(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"The body is larger than 65536 bytes" in answer


def test_endless_body_is_refused_at_the_limit(client: httpx.Client) -> None:
    """A body of unknown length is refused when it passes the limit, not when it ends."""
    with _connected(client) as connection:
        connection.sendall(
            b"POST /predict/bikes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(b"11000\r\n" + b" " * 0x11000 + b"\r\n")  # and more would come
        answer = _received(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")


MANY = 100
SOFT_LIMIT = 64
"""Open files; fewer than are needed for MANY connections."""


@pytest.mark.parametrize("workers", [1, 2])
def test_soft_limit_of_open_files_drops_no_connection(
    store: Path, tmp_path: Path, workers: int
) -> None:
    """The service raises its limit of open files as far as it may, so that many clients can stay."""
    command = ["sh", "-c", f"ulimit -Sn {SOFT_LIMIT}; exec {sys.executable} -m service"]
    settings = {"store": store, "workers": workers}
    with launched_by(command, tmp_path / "log", settings) as (_, url), ExitStack() as stack:
        with httpx.Client(base_url=url) as client:
            connections = [stack.enter_context(_connected(client)) for _ in range(MANY)]
        for connection in connections:
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: service\r\n\r\n")
        for connection in connections:
            assert _received(connection).startswith(b"HTTP/1.1 200 ")


def test_want_of_open_files_is_told(store: Path, tmp_path: Path) -> None:
    """Who comes when no file may be opened any more is sent away, and the log says why."""
    command = ["sh", "-c", f"ulimit -n {SOFT_LIMIT}; exec {sys.executable} -m service"]
    log = tmp_path / "log"
    with launched_by(command, log, {"store": store}) as (_, url), ExitStack() as stack:
        with httpx.Client(base_url=url) as client:
            for _ in range(MANY):
                stack.enter_context(_connected(client))
        said = "no connection can be taken: [Errno 24]"
        wait_until(lambda: said in log.read_text("utf-8"), 30, said)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),  # noqa: S104 - not bound here
        ("10.0.0.7", "http://10.0.0.7:80"),
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("fd00::7", "http://[fd00::7]:80"),
    ],
)
def test_url_that_is_announced_can_be_opened(host: str, url: str) -> None:
    """An address of every network is told as this machine's, one of IPv6 in brackets."""
    assert url_of(host, 80) == url


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"port": "many"}, "serve: SERVICE_PORT must be a whole number, and is 'many'"),
        ({"port": 65536}, "serve: SERVICE_PORT must be between 0 and 65535, and is 65536"),
        ({"workers": 0}, "serve: SERVICE_WORKERS must be between 1 and 256, and is 0"),
        ({"prot": 8000}, "serve: SERVICE_PROT is no setting; the settings are SERVICE_HOST, "),
        (
            {"metrics_folder": "/nowhere"},
            "serve: SERVICE_METRICS_FOLDER: /nowhere/0.cells: No such",
        ),
        ({"log_format": "xml"}, "serve: SERVICE_LOG_FORMAT must be auto, json or console"),
        ({"require_keys": "true"}, "serve: SERVICE_REQUIRE_KEYS is set and there is no key"),
        ({"signing_key_file": "/no/such"}, "serve: signing key: /no/such: No such file"),
        ({"host": "no.such.host.invalid"}, "serve: cannot listen on no.such.host.invalid port"),
        ({"host": "\u00fc" * 80}, "serve: cannot listen on \u00fc\u00fc"),
        ({"store": ""}, "serve: SERVICE_STORE must be a path, and is empty"),
        ({"cors_origins": "example.org"}, "serve: SERVICE_CORS_ORIGINS must be origins such as"),
    ],
    ids=[
        "form",
        "range",
        "workers",
        "unknown",
        "folder",
        "choice",
        "keys",
        "file",
        "host",
        "label",
        "path",
        "origins",
    ],
)
def test_bad_setting_is_refused_in_one_line(
    store: Path, settings: dict[str, object], words: str
) -> None:
    """A setting that cannot be used ends the start with one line and status 2."""
    assert refused(**({"store": store} | settings)).startswith(words)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"signing_key_file": "/no/such"}, "serve: signing key: /no/such: No such file"),
        ({"key_file": "/no/such"}, "serve: "),
        ({"keys": "none"}, "serve: "),
    ],
    ids=["signing key", "file of keys", "keys"],
)
def test_setting_that_a_worker_refuses_is_refused_in_one_line(
    store: Path, settings: dict[str, object], words: str
) -> None:
    """With several workers, too: all find it, and it is said once."""
    single = refused(store=store, **settings)
    assert single.startswith(words)
    assert refused(store=store, workers=2, **settings) == single


CLOSED = {"stdout": (">&-", 1), "stderr": ("2>&-", 0), "all": ("<&- >&- 2>&-", 0)}
"""What a shell closes, and how many lines then are said on standard error."""


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("closed", CLOSED)
def test_closed_standard_streams_keep_nobody_from_serving(
    store: Path, tmp_path: Path, closed: str, workers: int
) -> None:
    """What is written to them is lost, and said once where it can be; no socket takes their numbers."""
    redirections, said = CLOSED[closed]
    port = free_port()
    settings = environment(store=store, port=port, workers=workers)
    script = f'exec "$0" -m service {redirections}'
    with (tmp_path / "errors").open("wb") as errors:
        process = subprocess.Popen(
            ["/bin/sh", "-c", script, sys.executable],
            cwd=ROOT,
            env=settings,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as asking:
            wait_until(partial(_is_ready, asking), 60, "ready")
            for name, task in TASKS.items():
                assert asking.post(f"/predict/{name}", json=example(task)).is_success
        for pid in [process.pid, *workers_of(process.pid)]:
            streams = [Path(f"/proc/{pid}/fd/{number}").readlink() for number in range(3)]
            assert not any("socket" in str(stream) for stream in streams)
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0
    lines = (tmp_path / "errors").read_text().splitlines()
    assert lines == ["serve: standard output is closed: there is no log"] * said


def _is_ready(asking: httpx.Client) -> bool:
    try:
        return asking.get("/health/ready").is_success
    except httpx.TransportError:
        return False


def test_ctrl_c_during_the_start_is_the_end_and_no_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who stops a service that is not up yet reads no traceback."""

    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("service.launch.run", interrupted)
    monkeypatch.setattr("signal.signal", lambda *_: None)  # the tests keep their own handlers
    assert main([]) == 130
    assert capsys.readouterr().err == ""


def test_port_in_use_is_refused_in_one_line(store: Path, client: httpx.Client) -> None:
    """A port that is taken: one line that names it and the settings that choose it."""
    port = str(client.base_url.port)
    line = refused("--port", port, store=store)
    assert line.startswith(f"serve: cannot listen on 127.0.0.1 port {port}: ")
    assert "SERVICE_PORT" in line
