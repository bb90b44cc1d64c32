"""The server's own limits, over raw sockets: slow senders, slow readers, endless requests."""

import http.client
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.process import fill, launched, launched_by

pytestmark = pytest.mark.slow

HEAD = b"POST /predict/admission HTTP/1.1\r\nHost: service\r\nContent-Type: application/json\r\n"
BODY = b'{"gre": 700, "gpa": 3.7, "rank": 2}'
WAIT = 30.0
"""Seconds that a test waits for what should come much sooner."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A service that waits half a second for headers, bodies and readers."""
    folder = tmp_path_factory.mktemp("server")
    settings = {"header_seconds": 0.5, "body_seconds": 0.5}
    with launched(folder / "log", store=fill(folder / "store"), **settings) as (_, url):
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        yield parts.hostname, parts.port


def said(address: tuple[str, int], *parts: bytes) -> bytes:
    """All that the service says before it closes the connection, after it was sent these parts."""
    with socket.create_connection(address, timeout=WAIT) as connection:
        with suppress(ConnectionResetError, BrokenPipeError):  # it may close before all is sent
            for part in parts:
                connection.sendall(part)
        received = b""
        with suppress(ConnectionResetError):
            while part := connection.recv(65536):
                received += part
    return received


@pytest.fixture(autouse=True)
def _answers_others(address: tuple[str, int]) -> Iterator[None]:
    """Whatever one client does, the next one is answered."""
    yield
    connection = http.client.HTTPConnection(*address, timeout=WAIT)
    connection.request("POST", "/predict/admission", BODY, {"Content-Type": "application/json"})
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        pytest.param(HEAD, b"The headers of the request did not arrive", id="headers"),
        pytest.param(
            HEAD + b"Content-Length: 35\r\n\r\n" + BODY[:10],
            b"The body of the request did not arrive within 0.5 seconds",
            id="body",
        ),
    ],
)
def test_slow_sender_is_told_and_cut_off(
    address: tuple[str, int], sent: bytes, words: bytes
) -> None:
    """Who is in the middle of sending for too long gets 408 in words, and the connection is closed."""
    received = said(address, sent)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in received
    assert words in received


@pytest.mark.parametrize("path", [b"admission", b"admission/batch"])
def test_slow_body_is_counted_as_what_it_was_told(address: tuple[str, int], path: bytes) -> None:
    """The metrics say 408, not that the caller left: for a row, and for a body that a task reads."""
    before = timed_out(address)
    said(address, HEAD.replace(b"admission", path) + b"Content-Length: 35\r\n\r\n" + BODY[:10])
    ends = time.monotonic() + WAIT
    while timed_out(address) == before and time.monotonic() < ends:
        time.sleep(0.05)
    assert timed_out(address) == before + 1


def timed_out(address: tuple[str, int]) -> int:
    """How many requests the metrics count that were answered with 408."""
    connection = http.client.HTTPConnection(*address, timeout=WAIT)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    lines = [line for line in text.splitlines() if line.startswith("http_requests_total{")]
    return sum(int(line.rsplit(" ", 1)[1]) for line in lines if 'status="408"' in line)


def posted(path: bytes, body: bytes) -> bytes:
    """A request with a body."""
    head = HEAD.replace(b"/predict/admission", path)
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize("path", [b"admission", b"admission/batch"])
def test_body_that_was_not_asked_for_is_the_last_of_its_connection(
    address: tuple[str, int], path: bytes
) -> None:
    """Who waits for `100 Continue` and is refused need not send the body: the next request is not lost."""
    head = HEAD.replace(b"admission", path) + b"Expect: 100-continue\r\n"
    received = said(address, head + b"Content-Length: 1000000000000\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nconnection: close\r\n" in received


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
@pytest.mark.parametrize("path", [b"admission", b"admission?explain=true"])
def test_expectation_is_one_of_http_1_1(
    address: tuple[str, int], path: bytes, version: bytes
) -> None:
    """`100 Continue` is said to clients of HTTP/1.1 alone; the answer is the same."""
    asks = posted(b"/predict/" + path, BODY).replace(b"HTTP/1.1", version)
    asks = asks.replace(b"\r\n", b"\r\nConnection: close\r\nExpect: 100-continue\r\n", 1)
    received = said(address, asks[: -len(BODY)], BODY)
    continues = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert received.startswith(continues) == (version == b"HTTP/1.1")
    assert received.removeprefix(continues).startswith(b"HTTP/1.1 200 ")


def test_drop_by_drop_is_slow_too(address: tuple[str, int]) -> None:
    """The limit is on the whole of the headers, not on the pause between two bytes."""
    ends = time.monotonic() + WAIT
    with (
        socket.create_connection(address, timeout=WAIT) as connection,
        suppress(ConnectionResetError, BrokenPipeError),
    ):
        connection.sendall(HEAD + b"X-Slow: ")
        while time.monotonic() < ends and not has_been_answered(connection):
            connection.sendall(b"x")
            time.sleep(0.1)
    assert time.monotonic() < ends


def has_been_answered(connection: socket.socket) -> bool:
    """Whether the service has said something, or closed."""
    connection.settimeout(0.001)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return False
    finally:
        connection.settimeout(WAIT)
    return True


def test_connection_that_is_never_used_is_closed_without_a_word(address: tuple[str, int]) -> None:
    """A connection that a proxy opens in advance must not find an answer on it that nobody asked for."""
    assert said(address) == b""


def test_headers_that_began_with_the_request_before_have_no_longer(
    address: tuple[str, int],
) -> None:
    """Half a request in the packet of a whole one has the time of headers, not that between requests."""
    received = said(address, posted(b"/predict/admission", BODY) + HEAD)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.count(b"HTTP/1.1 ") == 1


def test_reader_that_does_not_read_is_cut_off(address: tuple[str, int]) -> None:
    """Who asks for large answers and takes none of them holds no memory for long."""
    rows = b'{"instances": [' + b", ".join([BODY] * 2000) + b"]}"
    head = HEAD.replace(b"admission", b"admission/batch")
    ask = head + b"Content-Length: %d\r\n\r\n" % len(rows) + rows
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(WAIT)
        connection.connect(address)
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            keep_asking(connection, ask)


def keep_asking(connection: socket.socket, ask: bytes) -> None:
    """Send the same request again and again, and read no answer."""
    for _ in range(1000):
        connection.sendall(ask)
        time.sleep(0.05)


def test_announced_size_is_refused_before_it_is_sent(address: tuple[str, int]) -> None:
    """A body of a terabyte is refused on its announcement alone."""
    with socket.create_connection(address, timeout=WAIT) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000000000000\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_endless_body_is_refused_at_the_limit(address: tuple[str, int]) -> None:
    """A body in chunks that does not end is read to the limit and no further."""
    with socket.create_connection(address, timeout=WAIT) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        with suppress(ConnectionResetError, BrokenPipeError):
            for _ in range(1000):
                connection.sendall(b"4000\r\n" + b" " * 0x4000 + b"\r\n")
                if has_been_answered(connection):
                    break
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_endless_headers_are_refused_at_the_limit(address: tuple[str, int]) -> None:
    """Headers beyond 64 KiB are 431, and the connection is closed."""
    received = said(address, HEAD, *[b"X-More: " + b"x" * 8000 + b"\r\n"] * 12)
    assert received.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("more", [b"A: b\r\n" * 1300, b"b" * 8000], ids=["many", "large"])
@pytest.mark.parametrize("path", [b"admission", b"admission/batch"])
def test_endless_trailers_are_refused_at_the_limit(
    address: tuple[str, int], path: bytes, more: bytes
) -> None:
    """What follows a chunked body is limited as the headers are."""
    head = HEAD.replace(b"admission", path) + b"Transfer-Encoding: chunked\r\n\r\n"
    received = said(address, head, b"2\r\n{}\r\n0\r\nA: b", *[more] * 120)
    # lost if the connection is closed while it sends on
    assert received[:13] in {b"HTTP/1.1 431 ", b""}


def test_trailers_are_no_headers(address: tuple[str, int]) -> None:
    """What follows a chunked body changes nothing, and the headers of the next request are its own."""
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    body = b"%x\r\n%b\r\n0\r\nX-Request-Timeout: no\r\n\r\n" % (len(BODY), BODY)
    last = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Request-ID: its\r\nConnection: close\r\n\r\n"
    received = said(address, head + body + last)
    assert received.count(b"HTTP/1.1 200 ") == 2
    assert b"x-request-id: its\r\n" in received


def test_trailers_of_a_request_that_waits_are_no_headers(address: tuple[str, int]) -> None:
    """Nor do they change a request that was sent before the answer to another one."""
    first = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    head = HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    body = b"%x\r\n%b\r\n0\r\nX-Request-Timeout: no\r\n\r\n" % (len(BODY), BODY)
    assert said(address, first + head + body).count(b"HTTP/1.1 200 ") == 2


def test_refusal_is_read_by_who_sends_on(address: tuple[str, int]) -> None:
    """The connection is not reset while a peer is still sending: it reads its 431, and then the end."""
    with socket.create_connection(address, timeout=WAIT) as connection:
        connection.sendall(HEAD)
        for _ in range(20):
            connection.sendall(b"X-More: " + b"x" * 8000 + b"\r\n")
            time.sleep(0.01)
        received = b""
        while part := connection.recv(65536):
            received += part
    assert received.startswith(b"HTTP/1.1 431 ")


def test_what_is_no_http_is_400(address: tuple[str, int]) -> None:
    """Noise is told that it is noise, and cut off."""
    assert said(address, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").startswith(b"HTTP/1.1 400 ")


RETIRED_IN_THE_MIDDLE = """
import os, signal, sys
from service import connection
from service.launch import run
from service.settings import Settings

begin = connection.Connection.__init__

def interrupted(*arguments, **options):
    begin(*arguments, **options)
    signal.raise_signal(signal.SIGUSR1)

connection.Connection.__init__ = interrupted
sys.exit(run(Settings.from_environment(os.environ)))
"""


def test_connection_is_not_lost_that_is_taken_while_the_port_closes(tmp_path: Path) -> None:
    """A worker that is asked to leave in the middle of taking a connection answers it."""
    log = tmp_path / "log"
    command = [sys.executable, "-c", RETIRED_IN_THE_MIDDLE]
    with launched_by(command, log, {"store": fill(tmp_path / "store")}) as (process, url):
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        received = said(
            (parts.hostname, parts.port), b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        assert received.startswith(b"HTTP/1.1 200 ")
        assert process.wait(timeout=60) == 0
