"""Other hosts reach the admin interface only where that was requested, and with its token."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from venuemesh.exchange.admin.client import AsyncAdminClient
from venuemesh.exchange.options import Options, parse
from venuemesh.exchange.server import Server
from venuemesh.model.errors import Misconfigured, Rejected

TOKEN = "a-token-of-32-characters-or-more"


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text(f"{TOKEN}\n")
    return path


@pytest.fixture
async def guarded() -> AsyncIterator[Server]:
    server = Server(Options(symbols=("BTCUSDT",), levels=10, admin_host="0.0.0.0", admin_token=TOKEN).check())
    await server.start()
    yield server
    await server.stop()


async def test_every_request_needs_the_token(guarded: Server) -> None:
    base = guarded.urls["admin"].replace("0.0.0.0", "127.0.0.1")
    assert guarded.urls["admin"].startswith("http://0.0.0.0:")
    async with aiohttp.ClientSession() as session:
        assert (await AsyncAdminClient(base, session, TOKEN).book("BTCUSDT"))["bids"]
        for wrong in (None, "", TOKEN[:-1], f"{TOKEN}x", "tökén"):
            with pytest.raises(Rejected, match="--admin-token") as refused:
                await AsyncAdminClient(base, session, wrong).pause()
            assert TOKEN not in str(refused.value)
        assert guarded.venue.crowd.paused is False
        for headers in ({"Authorization": TOKEN}, {"Origin": "http://page", "Authorization": f"Bearer {TOKEN}"}):
            async with session.get(f"{base}/admin/stats", headers=headers) as response:
                assert response.status in (401, 403)


async def test_without_a_host_only_loopback_listens(token_file: Path) -> None:
    server = Server(parse(["--admin-token", str(token_file), "--symbols", "BTCUSDT", "--levels", "10", "--port", "0"]))
    await server.start()
    try:
        port = int(server.urls["admin"].rpartition(":")[2])
        assert server.urls["admin"] == f"http://127.0.0.1:{port}"
        own = {row[4][0] for row in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
        for address in own:
            if not address.startswith("127."):
                with pytest.raises(OSError, match="refused"):
                    socket.create_connection((address, port), timeout=2).close()
    finally:
        await server.stop()


async def test_a_name_that_a_page_gives_to_this_host_is_refused() -> None:
    """DNS rebinding: the browser of this host sends the page's own name, without an Origin for a GET."""
    server = Server(Options(symbols=("BTCUSDT",), levels=10).check())
    await server.start()
    try:
        port = int(server.urls["admin"].rpartition(":")[2])
        async with aiohttp.ClientSession() as session:
            for host, status in (
                ("localhost", 200),
                (f"127.0.0.1:{port}", 200),
                (f"[::1]:{port}", 200),
                ("page.example", 403),
                (f"127.0.0.1.page.example:{port}", 403),
                ("[", 403),
            ):
                url = f"{server.urls['admin']}/admin/stats"
                async with session.get(url, headers={"Host": host}) as response:
                    assert (host, response.status) == (host, status)
    finally:
        await server.stop()


def test_an_open_interface_without_a_token_is_refused(tmp_path: Path, token_file: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "name.example"):
        with pytest.raises(Misconfigured, match="--admin-token"):
            parse(["--admin-host", host])
        assert parse(["--admin-host", host, "--admin-token", str(token_file)]).admin_token == TOKEN
    for host in ("127.0.0.1", "::1", "localhost"):
        assert parse(["--admin-host", host]).admin_token is None
    short, shown = tmp_path / "short", tmp_path / "shown"
    for path, text, mode in ((short, "1234", 0o600), (shown, TOKEN, 0o644)):
        path.write_text(text)
        path.chmod(mode)
        with pytest.raises(Misconfigured, match="--admin-token") as refused:
            parse(["--admin-token", str(path)])
        assert text not in str(refused.value)
    with pytest.raises(Misconfigured, match="cannot read"):
        parse(["--admin-token", str(tmp_path / "none")])
    assert TOKEN not in repr(parse(["--admin-token", str(token_file)]))
