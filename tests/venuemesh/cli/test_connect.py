"""Trying an exchange: against the local exchange, and against servers that do it wrong."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner
from websockets.asyncio.server import serve

from tests.fakes.exchange_process import ExchangeProcess
from tests.fakes.servers import RawHttp, WebsocketServer
from venuemesh.cli.app import app
from venuemesh.cli.connect import Probe, ask, clock_text, pretty
from venuemesh.conformance.market.live import run_live
from venuemesh.conformance.runner import Outcome
from venuemesh.connectors.binance.spec import SPEC
from venuemesh.model.errors import (
    DecodeError,
    MeshError,
    Misconfigured,
    OutcomeUnknown,
    Rejected,
    RetryLater,
    UnknownExchange,
    UnknownInstrument,
)
from venuemesh.testing import local_exchange


@pytest.fixture(scope="module")
def exchange():
    with ExchangeProcess("--seed", "5", "--rate", "200") as running:
        yield running


async def test_every_step_is_seen(exchange):
    probe = Probe("binance", rest=exchange.rest, ws=exchange.ws)
    await probe.run()
    steps = {step.what: step for step in probe.checked}
    assert list(steps) == ["ping", "clock", "instruments", "websocket", "subscription", "frames"]
    assert "agrees with ours within" in steps["clock"].result
    assert steps["clock"].result.endswith(" ms (7 samples)")
    assert "BTC-USDT (BTCUSDT) confirmed" in steps["subscription"].result
    assert all(step.ms >= 0 for step in probe.checked)


def test_public_reads_no_key_and_takes_no_option_of_one(exchange, tmp_path):
    done = CliRunner().invoke(app, ["connect", "binance", "--rest", exchange.rest, "--ws", exchange.ws, "--public"])
    assert done.exit_code == 0, done.output
    assert "frames" in done.output
    assert "no key was given" not in done.output
    config = tmp_path / "mesh.toml"
    config.write_text(
        '[mesh]\nname = "m"\n[exchanges.binance]\npairs = ["BTC-USDT"]\n'
        f'rest = "{exchange.rest}"\nws = "{exchange.ws}"\n'
        '[exchanges.binance.accounts.main]\nkeys = "main"\nkeystore = "/nonexistent"\n'
    )
    with_account = CliRunner().invoke(app, ["connect", "binance", "--public", "--config", str(config)])
    assert with_account.exit_code == 0, with_account.output
    refused = CliRunner().invoke(app, ["connect", "binance", "--public", "--keys", "binance-main"])
    assert isinstance(refused.exception, Misconfigured)
    assert "--public: it reads no key" in str(refused.exception)


async def test_the_options_of_the_connector_are_obeyed_and_checked(exchange):
    probe = Probe("binance", rest=exchange.rest, ws=exchange.ws, options={"depth_speed": "1000ms"})
    await probe.run()
    assert [step.what for step in probe.checked][-1] == "frames"
    with pytest.raises(Misconfigured, match="depht_speed"):
        Probe("binance", rest=exchange.rest, ws=exchange.ws, options={"depht_speed": "1000ms"})


async def test_a_clock_that_is_off_is_measured(exchange):
    exchange.admin.clock(5000)
    try:
        probe = Probe("binance", rest=exchange.rest, ws=exchange.ws)
        await probe.run()
    finally:
        exchange.admin.clock(0)
    described = next(step.result for step in probe.checked if step.what == "clock")
    assert "ahead of ours" in described
    assert 4000 < float(described.split(" ms")[0].rpartition(" ")[2]) < 6000


@pytest.mark.parametrize(
    ("offset_ms", "error_ms", "resolution_s", "words"),
    [
        (12.34, 0.56, 0.001, "is 12.3 ms ahead of ours, within 0.6 ms (7 samples)"),
        (-12.34, 0.56, 0.001, "is 12.3 ms behind ours, within 0.6 ms (7 samples)"),
        (0.3, 0.5, 0.001, "agrees with ours within 0.8 ms (7 samples)"),
        (-312.5, 487.2, 1, "agrees with ours within 0.8 s (7 samples of whole multiples of 1 s)"),
        (-4312.5, 487.2, 1, "is 4.3 s behind ours, within 0.5 s (7 samples of whole multiples of 1 s)"),
    ],
)
def test_a_difference_of_clocks_is_shown_no_finer_than_it_is_known(offset_ms, error_ms, resolution_s, words):
    found = clock_text(int(offset_ms * 1e6), int(error_ms * 1e6), int(resolution_s * 1e9), 7)
    assert found == f"the exchange's clock {words}"


async def test_whole_seconds_of_an_exchange_claim_no_milliseconds():
    with local_exchange(["BTC-USDT"], protocol="kraken") as running:
        probe = Probe("kraken", "BTC-USDT", running.urls["rest"], running.urls["ws"])
        await probe.run()
    clock = next(step.result for step in probe.checked if step.what == "clock")
    assert clock.endswith(" s (7 samples of whole multiples of 1 s)")
    assert " ms" not in clock


async def test_the_pair_can_be_chosen_and_must_be_listed(exchange):
    probe = Probe("binance", "ETH-USDT", exchange.rest, exchange.ws)
    await probe.run()
    assert any("ETH-USDT" in step.result for step in probe.checked)
    with pytest.raises(UnknownInstrument, match="NO-PAIR"):
        await Probe("binance", "NO-PAIR", exchange.rest, exchange.ws).run()


def test_an_unknown_exchange_is_named():
    with pytest.raises(UnknownExchange):
        Probe("nowhere")


async def test_what_was_seen_before_a_failure_is_kept(exchange):
    probe = Probe("binance", rest=exchange.rest, ws="ws://127.0.0.1:1")
    with pytest.raises(RetryLater, match=r"ws://127\.0\.0\.1:1"):
        await probe.run()
    assert [step.what for step in probe.checked] == ["ping", "clock", "instruments"]


async def test_no_server_at_the_rest_address():
    with pytest.raises(RetryLater, match="cannot be reached"):
        await Probe("binance", rest="http://127.0.0.1:1").run()


async def test_a_websocket_that_refuses_or_stays_silent(exchange):
    async with WebsocketServer() as server:
        server.refuse = 429
        with pytest.raises(RetryLater, match="429"):
            await Probe("binance", rest=exchange.rest, ws=f"ws://127.0.0.1:{server.port}").run()
        server.refuse = None
        probe = Probe("binance", rest=exchange.rest, ws=f"ws://127.0.0.1:{server.port}", timeout_s=0.5)
        with pytest.raises(RetryLater, match="subscription of BTC-USDT was not answered within"):
            await probe.run()
        assert probe.checked[-1].what == "websocket"


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (b'{"code":2,"msg":"Invalid request","id":1}', Rejected("2", "Invalid request")),
        (b"<html>", DecodeError),
    ],
)
async def test_a_refused_subscription_and_a_foreign_protocol(exchange, frame, error):
    async def answer(connection):
        await connection.recv()
        await connection.send(frame.decode())
        await connection.wait_closed()

    async with serve(answer, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with pytest.raises(MeshError) as caught:
            await Probe("binance", rest=exchange.rest, ws=f"ws://127.0.0.1:{port}").run()
    assert caught.value == error or type(caught.value) is error


def http(status, body, headers=""):
    async def script(reader, writer, request):
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body)

    return RawHttp(script)


@pytest.mark.parametrize(
    ("status", "body", "headers", "error"),
    [
        (200, b"<html>captive portal</html>", "", DecodeError),
        (
            418,
            b'{"code":-1003,"msg":"banned"}',
            "Retry-After: 120\r\n",
            RetryLater(120.0, "HTTP 418, -1003: banned (Retry-After: 120)"),
        ),
        (451, b"not in your country", "", Rejected("451", "not in your country")),
    ],
)
async def test_a_server_that_is_not_the_exchange(status, body, headers, error):
    async with http(status, body, headers) as server:
        with pytest.raises(MeshError) as caught:
            await Probe("binance", rest=server.url).run()
    assert caught.value == error or type(caught.value) is error


# Raw requests


async def test_a_raw_request_goes_out_as_given_and_comes_back_whole():
    body = b'{"price": 4049.0050106200, "text": "1.50", "id": 12345678901234567890, "e": 2.742E-5}'
    async with http(200, body, "X-MBX-USED-WEIGHT-1M: 7\r\nX-Other: 1\r\n") as server:
        answer = await ask("binance", "get", "/api/v3/x", ["symbol=BTC/USDT", "a=b=c", "empty="], server.url)
        head = server.requests[0].split(b"\r\n")[0]
    assert head == b"GET /api/v3/x?symbol=BTC%2FUSDT&a=b%3Dc&empty= HTTP/1.1"
    assert (answer.status, answer.body, answer.error) == (200, body, None)
    assert answer.rate_headers(SPEC) == {"x-mbx-used-weight-1m": "7"}
    assert json.loads(pretty(answer.body)) == json.loads(body)
    for number in ("4049.0050106200", "12345678901234567890", "2.742E-5", '"1.50"'):
        assert number in pretty(answer.body), "a number is not as the exchange wrote it"


async def test_a_raw_request_that_fails_is_typed(exchange):
    answer = await ask("binance", "GET", "/api/v3/depth", ["symbol=NOPE"], exchange.rest)
    assert answer.status == 400
    assert answer.error == Rejected("-1121", "Invalid symbol.")
    async with http(503, b"") as server:
        assert type((await ask("binance", "POST", "/x", [], server.url)).error) is OutcomeUnknown
        assert type((await ask("binance", "GET", "/x", [], server.url)).error) is RetryLater
    with pytest.raises(RetryLater):
        await ask("binance", "GET", "/x", [], "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("method", "path", "params"),
    [
        ("FETCH", "/x", []),
        ("GET", "x", []),
        ("GET", "//elsewhere.test/x", []),
        ("GET", "https://elsewhere.test/x", []),
        ("GET", "/x", ["symbol"]),
        ("GET", "/x", ["=1"]),
    ],
)
async def test_what_cannot_be_sent_is_refused_before_anything_is(method, path, params):
    async with http(200, b"{}") as server:
        with pytest.raises(Misconfigured):
            await ask("binance", method, path, params, server.url)
        assert server.connections == 0


@pytest.mark.parametrize("body", [b"", b"plain", b"<html>", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_is_shown_as_it_is(body):
    assert pretty(body) == body.decode("utf-8", "replace")


# The conformance suite's live part


async def test_live_checks_pass_against_the_local_exchange(exchange):
    results = [one async for one in run_live("binance", None, exchange.rest, exchange.ws, seconds=2.0)]
    assert [one.name for one in results] == ["live_instruments", "live_snapshot", "live_book", "live_replay"]
    assert all(one.outcome is Outcome.PASSED for one in results), results


async def test_live_checks_see_a_feed_that_skips(exchange):
    exchange.admin.fault(kind="skip", symbol="BTCUSDT", probability=0.3)
    try:
        results = [one async for one in run_live("binance", None, exchange.rest, exchange.ws, seconds=3.0)]
    finally:
        exchange.admin.clear_faults()
    assert any(one.outcome is Outcome.FAILED and one.name == "live_book" for one in results), results
