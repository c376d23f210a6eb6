"""Every way a request can end, against a server that answers in raw bytes."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import time
import traceback
from collections.abc import AsyncIterator

import pytest

from tests.fakes.clock import until
from tests.fakes.servers import RawHttp
from venuemesh.connectors.transport import Rest
from venuemesh.model.errors import DecodeError, Misconfigured, OutcomeUnknown, RetryLater
from venuemesh.model.http import HttpRequest

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


@pytest.fixture
async def rest() -> AsyncIterator[Rest]:
    rest = Rest(timeout_s=5.0, max_body=10_000)
    yield rest
    await rest.close()


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def ok(reader: Reader, writer: Writer, request: bytes) -> None:
    writer.write(answer(b'{"serverTime":1}', "200 OK", "X-MBX-USED-WEIGHT-1M: 12"))


async def test_an_answer_with_its_headers_in_lower_case_and_both_times(rest: Rest) -> None:
    async with RawHttp(ok) as server:
        got = await rest.send(HttpRequest("GET", f"{server.url}/api/v3/time"))
    assert (got.status, got.body) == (200, b'{"serverTime":1}')
    assert got.headers["x-mbx-used-weight-1m"] == "12"
    assert 0 < got.sent_ns <= got.recv_ns


async def test_one_connection_serves_many_requests(rest: Rest) -> None:
    async with RawHttp(ok) as server:
        for _ in range(5):
            await rest.send(HttpRequest("GET", f"{server.url}/"))
        assert (server.connections, len(server.requests)) == (1, 5)


async def test_a_prepared_request_writes_nothing_before_its_release_and_its_time_limit_begins_then(rest: Rest) -> None:
    async with RawHttp(ok) as server:
        await rest.send(HttpRequest("GET", f"{server.url}/"))  # its connection is used again
        release: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        looked: list[bool] = []
        request = HttpRequest("POST", f"{server.url}/order")
        sending = asyncio.ensure_future(
            rest.send(request, 0.2, before_write=lambda: looked.append(release.done()), release=release)
        )
        await asyncio.sleep(0.4)  # longer than its time limit
        assert (len(server.requests), looked, sending.done()) == (1, [], False)
        released_ns = time.time_ns()
        release.set_result(None)
        got = await sending
        assert (got.status, looked, len(server.requests), server.connections) == (200, [True], 2, 1)
        assert got.sent_ns >= released_ns


@pytest.mark.parametrize("warm", [True, False])
async def test_a_prepared_request_that_is_cancelled_leaves_its_connection_to_others(warm: bool) -> None:
    rest = Rest(timeout_s=5.0, connections=1)
    async with RawHttp(ok) as server:
        if warm:
            await rest.send(HttpRequest("GET", f"{server.url}/"))
        release: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sending = asyncio.ensure_future(rest.send(HttpRequest("POST", f"{server.url}/order"), release=release))
        await until(lambda: server.connections == 1)
        release.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await rest.send(HttpRequest("GET", f"{server.url}/after"))
        assert [request.split()[0] for request in server.requests] == [b"GET"] * (2 if warm else 1)
    await rest.close()


async def test_the_url_headers_and_body_leave_as_given(rest: Rest) -> None:
    seen: list[bytes] = []

    async def echo(reader: Reader, writer: Writer, request: bytes) -> None:
        seen.append(await reader.readexactly(5))
        await ok(reader, writer, request)

    async with RawHttp(echo) as server:
        await rest.send(HttpRequest("POST", f"{server.url}/a?x=%2C%20b+c&sig=a%3D", (("X-MBX-APIKEY", "k"),), b"a=b%2"))
        head = server.requests[0].decode()
    assert head.startswith("POST /a?x=%2C%20b+c&sig=a%3D HTTP/1.1\r\n")
    assert "X-MBX-APIKEY: k\r\n" in head
    assert seen == [b"a=b%2"]


@pytest.mark.parametrize(
    ("status", "header"),
    [
        ("429 Too Many Requests", "Retry-After: 3"),
        ("418 I'm a teapot", "Retry-After: 120"),
        ("503 Service Unavailable", "X: y"),
        ("301 Moved", "Location: /elsewhere"),
    ],
)
async def test_any_answer_is_an_answer(rest: Rest, status: str, header: str) -> None:
    async def script(reader: Reader, writer: Writer, request: bytes) -> None:
        writer.write(answer(b"{}", status, header))

    async with RawHttp(script) as server:
        got = await rest.send(HttpRequest("GET", f"{server.url}/"))
        assert got.status == int(status[:3])
        name, value = header.split(": ")
        assert got.headers[name.lower()] == value
        assert len(server.requests) == 1


async def test_connection_refused_is_provably_not_executed(rest: Rest) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(RetryLater) as refused:
        await rest.send(HttpRequest("POST", f"http://127.0.0.1:{port}/order?signature=secret"))
    assert refused.value.after_s > 0
    assert "secret" not in str(refused.value)


async def test_a_name_that_does_not_resolve_is_provably_not_executed(rest: Rest) -> None:
    with pytest.raises(RetryLater):
        await rest.send(HttpRequest("GET", "http://no-such-host.invalid/"))


async def test_a_connection_that_never_comes_about_is_provably_not_executed(rest: Rest) -> None:
    with socket.socket() as full:  # a listener whose queue is full answers no SYN
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            waiting.append(sock)
        with pytest.raises(RetryLater):
            await rest.send(HttpRequest("GET", f"http://127.0.0.1:{address[1]}/"), timeout_s=0.3)
        for sock in waiting:
            sock.close()


async def test_a_server_that_accepts_and_never_answers(rest: Rest) -> None:
    async def script(reader: Reader, writer: Writer, request: bytes) -> None:
        await reader.read()

    async with RawHttp(script) as server:
        with pytest.raises(OutcomeUnknown) as unknown:
            await rest.send(HttpRequest("POST", f"{server.url}/order?signature=secret"), timeout_s=0.2)
        assert unknown.value.what == "POST /order"
        assert len(server.requests) == 1


def reset(writer: Writer) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"]
)
async def test_a_line_that_is_cut_before_or_within_the_answer(rest: Rest, sent: bytes) -> None:
    async def script(reader: Reader, writer: Writer, request: bytes) -> None:
        writer.write(sent)
        await writer.drain()
        reset(writer)

    async with RawHttp(script) as server:
        with pytest.raises(OutcomeUnknown):
            await rest.send(HttpRequest("GET", f"{server.url}/"))
        assert len(server.requests) == 1


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "POST"])
async def test_nothing_is_sent_twice_when_a_kept_connection_breaks(rest: Rest, method: str) -> None:
    async def script(reader: Reader, writer: Writer, request: bytes) -> None:
        if len(server.requests) == 1:
            await ok(reader, writer, request)
        else:
            reset(writer)

    async with RawHttp(script) as server:
        await rest.send(HttpRequest("GET", f"{server.url}/"))
        with pytest.raises(OutcomeUnknown):
            await rest.send(HttpRequest(method, f"{server.url}/order"))
        assert len(server.requests) == 2


async def test_a_body_that_trickles_beyond_the_timeout(rest: Rest) -> None:
    async def script(reader: Reader, writer: Writer, request: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        while True:  # until the client has gone: ConnectionError
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with RawHttp(script) as server:
        with pytest.raises(OutcomeUnknown):
            await rest.send(HttpRequest("GET", f"{server.url}/"), timeout_s=0.2)


@pytest.mark.parametrize("packed", [False, True])
async def test_a_body_beyond_the_bound_is_not_held(rest: Rest, packed: bool) -> None:
    body = b"0" * 10_001

    async def script(reader: Reader, writer: Writer, request: bytes) -> None:
        if packed:
            writer.write(answer(gzip.compress(body), "200 OK", "Content-Encoding: gzip"))
        else:
            writer.write(answer(body))

    async with RawHttp(script) as server:
        with pytest.raises(DecodeError):
            await rest.send(HttpRequest("GET", f"{server.url}/"))


async def test_bytes_that_are_no_http(rest: Rest) -> None:
    async def script(reader: Reader, writer: Writer, request: bytes) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")

    async with RawHttp(script) as server:
        with pytest.raises(OutcomeUnknown):
            await rest.send(HttpRequest("GET", f"{server.url}/"))


@pytest.mark.parametrize("url", ["nowhere", "ftp://127.0.0.1/x", "http://"])
async def test_an_invalid_url(rest: Rest, url: str) -> None:
    with pytest.raises(Misconfigured):
        await rest.send(HttpRequest("GET", url))


async def test_closing_ends_requests_under_way_as_unknown() -> None:
    rest = Rest(timeout_s=30.0)

    async def script(reader: Reader, writer: Writer, request: bytes) -> None:
        await reader.read()

    async with RawHttp(script) as server:
        sending = asyncio.ensure_future(rest.send(HttpRequest("GET", f"{server.url}/")))
        await until(lambda: len(server.requests) == 1)
        await rest.close()
        with pytest.raises(OutcomeUnknown):
            await sending


PLANTED = "-".join(["plan", "ted"])  # apart, so that no line of this file in a traceback shows it


@pytest.mark.parametrize(
    "response_bytes", [b"HTTP/1.1 abc\r\n\r\n", b"no http\r\n\r\n", b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n", b""]
)
async def test_no_error_shows_a_signed_query_or_a_key(rest: Rest, response_bytes: bytes) -> None:
    async def garbage(reader: Reader, writer: Writer, request: bytes) -> None:
        writer.write(response_bytes)
        writer.close()

    async with RawHttp(garbage) as server:
        url = f"{server.url}/api/v3/order?symbol=X&signature={PLANTED}"
        with pytest.raises(OutcomeUnknown) as caught:
            await rest.send(HttpRequest("DELETE", url, (("X-MBX-APIKEY", PLANTED),)))
    shown = "".join(traceback.format_exception(caught.value))
    assert PLANTED not in shown + str(caught.value) + repr(caught.value) + repr(caught.value.__cause__)


@pytest.mark.parametrize(
    "url", ["http:///x?signature=planted", "nothing?signature=planted", "http://[::1?signature=planted"]
)
async def test_an_invalid_url_shows_no_query(rest: Rest, url: str) -> None:
    with pytest.raises((Misconfigured, ValueError)) as caught:
        await rest.send(HttpRequest("GET", url))
    assert "planted" not in str(caught.value)
