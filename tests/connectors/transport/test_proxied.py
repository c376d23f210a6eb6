"""REST and websockets go the same way through a proxy, and its failures are failures of the network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.fakes.servers import RawHttp, WebsocketServer
from venuemesh.connectors.transport import SYSTEM_CLOCK, DialFailed, Rest
from venuemesh.connectors.transport import picows as link_picows
from venuemesh.connectors.transport import websockets as link_websockets
from venuemesh.model.errors import Misconfigured, RetryLater
from venuemesh.model.http import HttpRequest

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
NAME = "exchange.invalid"  # only the proxy knows this name
KEY = "a-key-that-must-not-leave"
DIALS = {"picows": link_picows.dial, "websockets": link_websockets.dial}


class Handler:
    def on_open(self, link: Any) -> None: ...
    def on_frame(self, frame: memoryview | bytes, recv_ns: int) -> None: ...
    def on_close(self, reason: str) -> None: ...


class ProxyServer:
    """A proxy on a free port of the loopback. Speaks SOCKS5 or HTTP CONNECT; `script` replaces its answer."""

    def __init__(self, script: Callable[[Reader, Writer], Awaitable[None]] | None = None) -> None:
        self.script = script
        self.targets: list[tuple[str, int]] = []
        self.received = b""  # from clients, before any tunnel
        self.users: list[bytes] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> ProxyServer:
        self._server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _read(self, reader: Reader, count: int) -> bytes:
        data = await reader.readexactly(count)
        self.received += data
        return data

    async def _client(self, reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            if self.script is not None:
                await self.script(reader, writer)
            elif (first := await self._read(reader, 1)) == b"\x05":
                await self._socks(reader, writer)
            else:
                await self._http(first, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _socks(self, reader: Reader, writer: Writer) -> None:
        """Source: RFC 1928 and RFC 1929."""
        methods = await self._read(reader, (await self._read(reader, 1))[0])
        if 2 in methods:
            writer.write(b"\x05\x02")
            await self._read(reader, 1)
            user = await self._read(reader, (await self._read(reader, 1))[0])
            password = await self._read(reader, (await self._read(reader, 1))[0])
            self.users.append(user + b":" + password)
            writer.write(b"\x01\x00")
        else:
            writer.write(b"\x05\x00")
        *_, kind = await self._read(reader, 4)
        assert kind == 3, "the name was looked up by the client"
        host = (await self._read(reader, (await self._read(reader, 1))[0])).decode()
        port = int.from_bytes(await self._read(reader, 2), "big")
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await self._tunnel(host, port, reader, writer)

    async def _http(self, first: bytes, reader: Reader, writer: Writer) -> None:
        request = first + await reader.readuntil(b"\r\n\r\n")
        self.received += request
        method, target, _ = request.split(b" ", 2)
        if method == b"CONNECT":
            host, _, port = target.decode().rpartition(":")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await self._tunnel(host, int(port), reader, writer)
            return
        parts = urlsplit(target.decode())  # plain HTTP: the whole URL, RFC 9112 section 3.2.2
        assert parts.hostname is not None
        assert parts.port is not None
        await self._tunnel(parts.hostname, parts.port, reader, writer, request)

    async def _tunnel(self, host: str, port: int, reader: Reader, writer: Writer, sent: bytes = b"") -> None:
        self.targets.append((host, port))
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        far_writer.write(sent)

        async def copy(source: Reader, target: Writer) -> None:
            while data := await source.read(65536):
                target.write(data)
            target.close()

        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def ask(url: str) -> int:
    rest = Rest(timeout_s=5.0)
    try:
        return (await rest.send(HttpRequest("GET", url, (("X-MBX-APIKEY", KEY),)))).status
    finally:
        await rest.close()


async def dialled(client: str, url: str) -> None:
    link = await DIALS[client](url, Handler(), SYSTEM_CLOCK, timeout_s=5.0, max_message=1 << 20)
    link.drop("enough")
    await link.gone


async def ok(reader: Reader, writer: Writer, request: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


@pytest.mark.parametrize("client", DIALS)
@pytest.mark.parametrize("value", ["socks5h://127.0.0.1:{}", "socks5h://me:a%40b@127.0.0.1:{}", "http://127.0.0.1:{}"])
async def test_both_halves_go_through_the_proxy_which_looks_the_name_up(monkeypatch, value, client):
    async with ProxyServer() as proxy, WebsocketServer() as server, RawHttp(ok) as http:
        monkeypatch.setenv("ALL_PROXY", value.format(proxy.port))
        port = urlsplit(http.url).port
        await dialled(client, f"ws://{NAME}:{server.port}/stream")
        assert await ask(f"http://{NAME}:{port}/api") == 200
        assert proxy.targets == [(NAME, server.port), (NAME, port)]
        assert proxy.users == ([b"me:a@b"] * 2 if "me:" in value else [])
        assert server.attempts == 1


def answer(data: bytes, after: bytes = b"") -> Callable[[Reader, Writer], Awaitable[None]]:
    """Make a proxy that reads something, answers with `data`, and ends."""

    async def script(reader: Reader, writer: Writer) -> None:
        await reader.read(4096)
        writer.write(data)
        if after:
            await reader.read(4096)
            writer.write(after)

    return script


BROKEN = {
    "http 503": ("http", answer(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")),
    "http 407": ("http", answer(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")),
    "http nothing": ("http", answer(b"")),
    "http noise": ("http", answer(b"\x00\xff\x00\xff\r\n\r\n")),
    "socks refused": ("socks5h", answer(b"\x05\xff")),
    "socks unreachable": ("socks5h", answer(b"\x05\x00", b"\x05\x04\x00\x01" + bytes(6))),
    "socks cut": ("socks5h", answer(b"\x05\x00", b"\x05")),
    "socks nothing": ("socks5", answer(b"")),
    "socks is http": ("socks4a", answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_a_proxy_that_fails_is_a_network_that_fails(monkeypatch, case):
    scheme, script = BROKEN[case]
    async with ProxyServer(script) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:{proxy.port}")
        for client in DIALS:
            with pytest.raises(DialFailed):
                await dialled(client, "wss://127.0.0.1:9/stream")
        with pytest.raises(RetryLater, match="cannot be reached"):
            await ask("https://127.0.0.1:9/api")


async def test_a_proxy_that_is_away_is_a_network_that_fails(monkeypatch):
    async with ProxyServer() as proxy:
        port = proxy.port
    for scheme in ("http", "socks5h", "socks4"):
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://me:hush@127.0.0.1:{port}")
        for client in DIALS:
            with pytest.raises(DialFailed) as caught:
                await dialled(client, "wss://127.0.0.1:9/stream")
            assert "hush" not in str(caught.value)
        with pytest.raises(RetryLater) as refused:
            await ask("https://127.0.0.1:9/api")
        assert "hush" not in str(refused.value)


async def test_a_value_that_is_no_proxy_is_an_error_before_anything_is_sent(monkeypatch):
    async with ProxyServer() as proxy:
        monkeypatch.setenv("ALL_PROXY", f"ftp://127.0.0.1:{proxy.port}")
        for client in DIALS:
            with pytest.raises(Misconfigured, match="ALL_PROXY"):
                await dialled(client, f"ws://{NAME}:1/stream")
        with pytest.raises(Misconfigured, match="ALL_PROXY"):
            await ask(f"http://{NAME}:1/api")
        assert proxy.received == b""
