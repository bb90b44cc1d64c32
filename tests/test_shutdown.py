"""Leaving under load: SIGTERM, rolling restarts of a group, a worker that is killed.

With LONG=1 in the environment the group is restarted 20 times, and 20 times more behind an nginx, which the
machine must then have (Debian's package nginx-light).
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from service.app import create_app
from service.registry import Registry
from service.server import Server
from service.settings import Settings
from tests.engine import free_port
from tests.process import ROOT, environment, fill, launched, lines, workers_of
from tests.traffic import (
    LONG,
    Answer,
    Client,
    Load,
    faults,
    get,
    measured,
    metric,
    request,
    wait_for,
)

pytestmark = pytest.mark.slow

RESTARTS = 20 if LONG else 3
WORKERS = 2
# A start takes 1.5 s of processor time: ten seconds at a load of ten on two cores, forty times over.
LONGEST = 1800 if LONG else 300
SLOW_BATCH = {"gre": [700] * 10_000, "gpa": [3.7] * 10_000, "rank": [2] * 10_000}

row = partial(request, "/predict/admission", {"gre": 700, "gpa": 3.7, "rank": 2})
batch = partial(request, "/predict/admission/batch", {"inputs": SLOW_BATCH})


async def _ready(url: str, status: int) -> bool:
    return (await get(url, "/health/ready")).status == status


async def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None


async def _whole(url: str, supervisor: int, gone: set[int]) -> bool:
    """Whether the group has its number of workers, all up, and none of those that should be gone."""
    workers = workers_of(supervisor)
    if len(workers) != WORKERS or gone & set(workers):
        return False
    return await metric(url, "service_workers") == WORKERS


async def _all_up(process: subprocess.Popen[bytes], url: str, workers: int) -> None:
    if workers > 1:
        await wait_for(partial(_whole, url, process.pid, set[int]()))


TOLD_BEFORE_IT_LISTENS = """
import gc, os, signal, sys
from service.cli import main
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # as a worker of a group begins
gc.collect = lambda: os.kill(os.getpid(), signal.%s)  # just before uvicorn starts
sys.exit(main())
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_signal_at_the_end_of_the_start_is_obeyed(tmp_path: Path, name: str) -> None:
    """Whoever stops a service that is just coming up is not left with one that runs on."""
    command = [sys.executable, "-c", TOLD_BEFORE_IT_LISTENS % name]
    process = subprocess.run(
        command, env=environment(store=fill(tmp_path)), timeout=60, check=False, capture_output=True
    )
    assert (process.returncode, process.stderr) == (0, b"")


TOLD_WHILE_IT_STARTS = """
import signal, sys
from service import cli, launch
launch.run = lambda _: signal.raise_signal(signal.SIGTERM) or 1
sys.exit(cli.main())
"""


def test_sigterm_during_the_start_is_handled() -> None:
    """The kernel spares the first process of a container a signal that has no handler."""
    command = [sys.executable, "-c", TOLD_WHILE_IT_STARTS]
    process = subprocess.run(
        command, cwd=ROOT, env=environment(), timeout=60, check=False, capture_output=True
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, b"", b"")


TOLD_WHILE_IT_IMPORTS = """
import signal, sys
class Told:
    def find_spec(self, name, *_):
        if name == "uuid":  # which orjson imports while it is imported
            signal.raise_signal(signal.%s)
sys.meta_path.insert(0, Told())
from service import cli
sys.exit(cli.main())
"""


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 0), ("SIGINT", 130)])
def test_signal_in_the_middle_of_an_import_crashes_nothing(name: str, status: int) -> None:
    """Exceptions of signal handlers are no way to end the imports: not every extension survives them."""
    command = [sys.executable, "-c", TOLD_WHILE_IT_IMPORTS % name]
    process = subprocess.run(
        command, cwd=ROOT, env=environment(), timeout=60, check=False, capture_output=True
    )
    assert (process.returncode, process.stdout, process.stderr) == (status, b"", b"")


def test_terminated_service_answers_what_it_has_taken(tmp_path: Path) -> None:
    """SIGTERM under load: readiness ends first, requests in flight are answered, the exit status is 0."""
    store = fill(tmp_path / "store")
    with launched(tmp_path / "log", store=store, drain_seconds=1) as (process, url):
        asyncio.run(_terminate(process, url))
    assert not [line for line in lines(tmp_path / "log") if line["level"] in {"error", "critical"}]


async def _terminate(process: subprocess.Popen[bytes], url: str) -> None:
    load = Load(url, row).start(8)
    batches = Load(url, batch).start(2)
    await wait_for(lambda: _done(batches.answers, 2))
    process.send_signal(signal.SIGTERM)
    began = time.perf_counter()
    await wait_for(partial(_ready, url, 503))
    assert (
        await Client(url, keep=False).ask(row())
    ).status == 200  # who comes nevertheless is answered
    answers = [*await load.leave(), *await batches.leave()]
    await wait_for(partial(_has_ended, process))
    measured(
        f"SIGTERM: {len(answers)} answers, none lost; gone after {time.perf_counter() - began:.1f} s"
    )
    assert process.returncode == 0
    assert not faults(answers, 200)
    last = {a.port: a for a in sorted(answers, key=lambda a: a.started)}.values()
    assert {a.headers.get("connection") for a in last} == {"close"}  # each connection was told


@pytest.mark.parametrize("workers", [1, WORKERS])
def test_connection_that_waits_when_the_port_closes_is_answered(
    tmp_path: Path, workers: int
) -> None:
    """Whom the system has accepted and no worker has taken is answered; who comes later is refused."""
    settings: dict[str, Any] = {"workers": workers, "drain_seconds": 1}
    with launched(tmp_path / "log", store=fill(tmp_path / "store"), **settings) as (process, url):
        asyncio.run(_all_up(process, url, workers))
        asyncio.run(_come_again(process, url))
    assert process.returncode == 0


async def _come_again(process: subprocess.Popen[bytes], url: str) -> None:
    """Clients that come back at once: while the service drains, every answer ends its connection."""
    load = Load(url, row).start(12)
    await wait_for(lambda: _done(load.answers, 100))
    process.send_signal(signal.SIGTERM)
    await wait_for(partial(_has_ended, process))
    assert not faults(await load.stop(), 200)
    assert load.refused


def test_group_drains_whose_processes_are_all_told_at_once(tmp_path: Path) -> None:
    """As systemd does: what the supervisor then tells its workers is no second signal, which skips it."""
    settings: dict[str, Any] = {"workers": WORKERS, "drain_seconds": 600}
    log = tmp_path / "log"
    with launched(log, store=fill(tmp_path / "store"), **settings) as (process, url):
        asyncio.run(wait_for(partial(_have_come_up, log)))
        workers = workers_of(process.pid)
        for told in [*workers, process.pid]:
            os.kill(told, signal.SIGTERM)
        time.sleep(1)  # some ticks of each worker
        asyncio.run(wait_for(partial(_ready, url, 503)))
        assert workers_of(process.pid) == workers
        process.terminate()  # the second one
        assert process.wait(timeout=60) == 0


def _come_up(log: Path) -> int:
    return log.read_text(encoding="utf-8").count(" is up")


async def _have_come_up(log: Path) -> bool:
    """Whether all workers obey signals; the metrics count them a moment before."""
    return _come_up(log) == WORKERS


async def _done(answers: list[Answer], number: int) -> bool:
    return len(answers) >= number


@pytest.mark.parametrize("workers", [1, WORKERS])
def test_request_in_flight_is_waited_for(tmp_path: Path, workers: int) -> None:
    """A body that is still arriving when SIGTERM comes is answered, although the port is closed already."""
    settings: dict[str, Any] = {"workers": workers, "drain_seconds": 0}
    with launched(tmp_path / "log", store=fill(tmp_path / "store"), **settings) as (process, url):
        asyncio.run(_all_up(process, url, workers))
        asyncio.run(_finish_late(process, url))
    assert process.returncode == 0


async def _finish_late(process: subprocess.Popen[bytes], url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    data = batch()
    writer.write(data[: len(data) // 2])
    await asyncio.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    await wait_for(partial(_is_closed, url))
    writer.write(data[len(data) // 2 :])
    assert (await reader.readuntil(b"\r\n"))[9:12] == b"200"
    await reader.read()
    writer.close()
    await wait_for(partial(_has_ended, process))


@pytest.mark.parametrize("sent", [b"", row()[:20]], ids=["nothing", "half a line"])
def test_new_connection_has_time_for_its_request(tmp_path: Path, sent: bytes) -> None:
    """A client that was slow, as machines are at times, is not sent away for it when the service ends."""
    settings: dict[str, Any] = {"workers": 1, "drain_seconds": 0}
    with launched(tmp_path / "log", store=fill(tmp_path / "store"), **settings) as (process, url):
        asyncio.run(_ask_late(process, url, sent))
    assert process.returncode == 0


async def _ask_late(process: subprocess.Popen[bytes], url: str, sent: bytes) -> None:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    process.send_signal(signal.SIGTERM)
    await wait_for(partial(_is_closed, url))
    await asyncio.sleep(0.7)  # those who have been answered once are not waited for so long
    writer.write(row()[len(sent) :])
    answer = await reader.read()  # until the service closes the connection
    writer.close()
    assert answer[9:12] == b"200"
    await wait_for(partial(_has_ended, process))


impatient = pytest.mark.parametrize(
    ("told", "seconds"),
    [
        pytest.param([signal.SIGTERM], 0, id="the time is over"),
        pytest.param([signal.SIGINT] * 2, 3600, id="Ctrl-C twice"),
    ],
)


def test_fraction_of_a_second_is_time_too() -> None:
    """`shutdown_seconds` is no whole number, though uvicorn's type for it is: half a second is not none."""
    settings = Settings(shutdown_seconds=0.4)
    server = Server(create_app(Registry(), settings), settings)
    assert server.config.timeout_graceful_shutdown == settings.shutdown_seconds


@impatient
@pytest.mark.parametrize("asked", [batch(), row()], ids=["batch", "row"])
def test_request_that_takes_too_long_is_told_that_the_service_stops(
    tmp_path: Path, asked: bytes, told: list[signal.Signals], seconds: int
) -> None:
    """What is not done when the service ends gets a problem document, and the log has no traceback."""
    log, settings = tmp_path / "log", {"drain_seconds": 0, "shutdown_seconds": seconds}
    with launched(log, store=fill(tmp_path / "store"), **settings) as (process, url):
        assert asyncio.run(_never_finish(process, url, asked, told)) == 503
    assert process.returncode == 0
    assert [line["status"] for line in lines(log) if line.get("method") == "POST"] == [503]
    assert "Traceback" not in log.read_text(encoding="utf-8")


async def _never_finish(
    process: subprocess.Popen[bytes], url: str, asked: bytes, told: list[signal.Signals]
) -> int:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(asked[:-1])
    await asyncio.sleep(0.2)
    for sig in told:
        process.send_signal(sig)
        await wait_for(partial(_is_closed, url))
    answer = await reader.read()
    writer.close()
    await wait_for(partial(_has_ended, process))
    assert b"content-type: application/problem+json\r\n" in answer
    return int(answer[9:12])


@impatient
def test_reader_that_does_not_read_leaves_no_traceback_when_the_service_stops(
    tmp_path: Path, told: list[signal.Signals], seconds: int
) -> None:
    """Who takes no answers cannot be sent a refusal either, and is cut off as at any other time."""
    log, asked = tmp_path / "log", 0
    with launched(log, store=fill(tmp_path / "store"), shutdown_seconds=seconds) as (process, url):
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            while _answered(log) == asked:
                connection.sendall(batch())
                asked += 1
                end = time.monotonic() + 3
                while _answered(log) < asked and time.monotonic() < end:
                    time.sleep(0.05)
            for sig in told:
                process.send_signal(sig)
                asyncio.run(wait_for(partial(_is_closed, url)))
            assert process.wait(timeout=60) == 0
    assert _answered(log) == asked
    assert "Traceback" not in log.read_text(encoding="utf-8")


def _answered(log: Path) -> int:
    return log.read_text(encoding="utf-8").count('"method":"POST"')


async def _is_closed(url: str) -> bool:
    return (await get(url, "/health/live")).error == "refused"


@contextmanager
def nginx(folder: Path, url: str) -> Iterator[str]:
    """The URL of a proxy before the service, which asks nothing twice."""
    port = free_port()
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1; events {{}}"
        f"http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;"
        f" fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;"
        f" server {{ listen 127.0.0.1:{port}; proxy_next_upstream off;"
        f" location / {{ proxy_pass {url}; }} }} }}",
        encoding="utf-8",
    )
    log = folder / "error.log"
    proxy = subprocess.Popen(["nginx", "-e", log, "-c", folder / "nginx.conf"])
    try:
        while not log.exists() or not asyncio.run(_ready(f"http://127.0.0.1:{port}", 200)):
            # it ends for such a reason as a port just taken
            assert proxy.poll() is None, log.read_text(encoding="utf-8")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        proxy.terminate()
        proxy.wait(timeout=60)


@contextmanager
def no_proxy(_: Path, url: str) -> Iterator[str]:
    """The service itself."""
    yield url


@pytest.mark.timeout(LONGEST)
@pytest.mark.parametrize("proxy", [no_proxy, nginx] if LONG else [no_proxy])
def test_rolling_restarts_lose_no_request(tmp_path: Path, proxy: Any) -> None:
    """SIGHUP replaces each worker under load; neither kept nor fresh connections notice."""
    settings: dict[str, Any] = {"workers": WORKERS, "drain_seconds": 1}
    with launched(tmp_path / "log", store=fill(tmp_path / "store"), **settings) as (process, url):
        with proxy(tmp_path, url) as before:
            asyncio.run(_restart(process.pid, url, before))
        process.terminate()
        assert process.wait(timeout=60) == 0


async def _restart(supervisor: int, url: str, asked: str) -> None:
    await wait_for(partial(_whole, url, supervisor, set[int]()))
    kept, fresh = Load(asked, row).start(4, 200), Load(asked, row).start(4, 100, keep=False)
    for _ in range(RESTARTS):
        old = set(workers_of(supervisor))
        os.kill(supervisor, signal.SIGHUP)
        await wait_for(partial(_whole, url, supervisor, old), 0.1)
    answers = [*await kept.stop(), *await fresh.stop()]
    where = "" if asked == url else " behind a proxy"
    measured(
        f"{RESTARTS} rolling restarts of {WORKERS} workers{where}: {len(answers)} answers, none lost"
    )
    assert not faults(answers, 200)
    assert kept.refused == fresh.refused == 0


def test_killed_worker_is_replaced(tmp_path: Path) -> None:
    """SIGKILL costs the killed worker's own connections their requests, and nobody else anything."""
    log = tmp_path / "log"
    with launched(log, store=fill(tmp_path / "store"), workers=WORKERS) as (process, url):
        asyncio.run(_kill(process.pid, url))
    assert [line for line in lines(log) if "ended with status -9" in line["event"]]


async def _kill(supervisor: int, url: str) -> None:
    await wait_for(partial(_whole, url, supervisor, set[int]()))
    victim, _ = workers_of(supervisor)
    counted = await metric(url, "http_requests_total", route="/predict/admission")
    load = Load(url, row).start(8, 400)
    await wait_for(lambda: _done(load.answers, 100))
    of_victim = client_ports(victim)
    assert of_victim  # connections are shared out
    os.kill(victim, signal.SIGKILL)
    await wait_for(partial(_whole, url, supervisor, {victim}))
    answers = await load.stop()
    lost = [a for a in answers if a.error]
    assert {a.port for a in lost} <= of_victim
    assert len(lost) <= len(of_victim)
    assert not faults([a for a in answers if not a.error], 200)
    counted = await metric(url, "http_requests_total", route="/predict/admission") - counted
    assert len(answers) - len(lost) <= counted <= len(answers)  # what it counted outlives it
    measured(f"SIGKILL of one of {WORKERS} workers: {len(lost)} of {len(answers)} requests lost")


def test_terminated_worker_leaves_the_port_to_its_siblings(tmp_path: Path) -> None:
    """SIGTERM to one worker, from a person or a watcher of the memory, costs no request, then or later."""
    log = tmp_path / "log"
    with launched(log, store=fill(tmp_path / "store"), workers=WORKERS) as (process, url):
        asyncio.run(_terminate_one(process.pid, url))


async def _terminate_one(supervisor: int, url: str) -> None:
    await wait_for(partial(_whole, url, supervisor, set[int]()))
    victim, _ = workers_of(supervisor)
    load = Load(url, row).start(4, 100, keep=False)
    os.kill(victim, signal.SIGTERM)
    await wait_for(partial(_whole, url, supervisor, {victim}))
    assert not faults(await load.stop(), 200)
    assert load.refused == 0


def client_ports(worker: int) -> set[int]:
    """The clients' ends of the connections of a worker."""
    links = (str(path.readlink()) for path in Path(f"/proc/{worker}/fd").iterdir())
    inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
    table = Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]
    rows = [line.split() for line in table]
    return {int(row[2].split(":")[1], 16) for row in rows if row[9] in inodes}


def test_workers_leave_when_their_supervisor_is_gone(tmp_path: Path) -> None:
    """A supervisor that is killed leaves nothing behind that holds the port."""
    store = fill(tmp_path / "store")
    with launched(tmp_path / "log", store=store, workers=WORKERS) as (process, url):
        asyncio.run(wait_for(partial(_whole, url, process.pid, set[int]())))
        process.kill()
        process.wait()
        asyncio.run(wait_for(partial(_is_closed, url)))
