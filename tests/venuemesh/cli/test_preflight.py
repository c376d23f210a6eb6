"""What `venuemesh up` learns from the exchanges first: what is wrong stops the start, what may heal does not."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.fakes.exchange_process import ExchangeProcess
from tests.fakes.planted import plant, write_0600
from tests.fakes.servers import RawHttp
from venuemesh.cli import preflight
from venuemesh.config.mesh import check_config
from venuemesh.model.errors import Misconfigured, RetryLater, UnknownInstrument

PLANTED = plant("hmac")
CLOSED = "127.0.0.1:9"  # discard: nothing listens there


@pytest.fixture(scope="module")
def exchange():
    account = f"main:{PLANTED.api_key}:{PLANTED.secret}:BTC=1"
    with ExchangeProcess("--seed", "5", "--rate", "20", "--account", account) as running:
        yield running


@pytest.fixture
def checked(exchange, tmp_path):
    files = {"api_key_file": PLANTED.api_key, "secret_file": PLANTED.secret, "wrong": "another-secret"}
    paths = {name: str(write_0600(tmp_path / name, text)) for name, text in files.items()}

    def check(account=None, **changes):
        """Check an exchange with these changes; return the printed lines."""
        keys = {name: paths[name] for name in ("api_key_file", "secret_file")}
        main = keys | {key: paths.get(value, value) for key, value in (account or {}).items()}
        table = {"pairs": ["BTC-USDT", "*-BTC"], "rest": exchange.rest, "ws": exchange.ws, "accounts": {"main": main}}
        plain = {"journal": {"url": f"sqlite:///{tmp_path}/j"}, "exchanges": {"binance": table | changes}}
        lines: list[str] = []
        preflight.check_exchanges(check_config(plain, "mesh.toml"), lines.append)
        return lines

    return check


def test_a_right_configuration_passes(checked):
    assert checked() == ["asking binance for pairs and accounts"]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"rest": f"http://{CLOSED}"}, RetryLater, "http://127.0.0.1:9 cannot be reached: Connection refused"),
        ({"rest": "https://no-such-host.invalid"}, RetryLater, "correct exchanges.binance.rest"),
        ({"ws": f"ws://{CLOSED}"}, RetryLater, "exchanges.binance.ws: ws://127.0.0.1:9/ws cannot be reached"),
        ({"ws_api": f"ws://{CLOSED}/ws-api/v3"}, RetryLater, "exchanges.binance.ws_api"),
        ({"pairs": ["BTC-USDT", "ETH-USTD"]}, UnknownInstrument, "ETH-USTD"),
        ({"account": {"secret_file": "wrong"}}, Misconfigured, "accounts.main: the API key.*check .*wrong"),
        ({"account": {"secret_file": "/nonexistent/s"}}, Misconfigured, "accounts.main: secret file /nonexistent/s"),
    ],
)  # fmt: skip
def test_what_is_wrong_stops_the_start_within_two_seconds(checked, changes, error, words):
    began = time.process_time(), time.monotonic()
    with pytest.raises(error, match=words):
        checked(**changes)
    assert time.process_time() - began[0] < 2.0
    assert time.monotonic() - began[1] < preflight.GIVE_UP_S  # it waited for no timeout


async def test_a_server_that_is_not_the_exchange_stops_the_start_and_maintenance_does_not(checked, monkeypatch):
    answers = {"status": b"404 Not Found"}

    async def script(reader, writer, request):
        writer.write(b"HTTP/1.1 " + answers["status"] + b"\r\nContent-Length: 4\r\n\r\nsome")

    async with RawHttp(script) as server:
        with pytest.raises(Misconfigured, match=r"does not answer as binance \(status 404\)"):
            await asyncio.to_thread(checked, rest=server.url)
        answers["status"] = b"503 Service Unavailable"
        (_, line) = await asyncio.to_thread(checked, rest=server.url)
        assert "binance does not serve now, and the mesh waits for it" in line
        assert "503" in line


async def test_an_exchange_that_does_not_answer_is_named_and_waited_for(checked, monkeypatch):
    monkeypatch.setattr(preflight, "SAY_S", 0.05)
    monkeypatch.setattr(preflight, "GIVE_UP_S", 0.2)

    async def script(reader, writer, request):
        await asyncio.Event().wait()

    async with RawHttp(script) as server:
        lines = await asyncio.to_thread(checked, rest=server.url)
    assert lines[1] == "waiting for binance, at most 0.2 s"
    assert "the mesh waits for it" in lines[2]
