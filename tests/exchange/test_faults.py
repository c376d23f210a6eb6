"""Each fault, shown on the wire."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import aiohttp
import pytest

from venuemesh.model.errors import Rejected

pytestmark = pytest.mark.timeout(120)
DEPTH = "/ws/btcusdt@depth@100ms"


async def ready(exchange: Any, count: int = 1) -> None:
    await exchange.eventually(lambda: len(exchange.venue.connections) == count and bool(exchange.topics.by_name))


async def spans(exchange: Any, ws: aiohttp.ClientWebSocketResponse, windows: int = 10) -> list[tuple[int, int]]:
    """Let windows pass; return (U, u) of all diffs up to the current update id."""
    exchange.advance(windows * 100)
    end = (await exchange.admin.pause(wait_s=5))["update_ids"]["BTCUSDT"]
    exchange.venue.resume()
    found: list[tuple[int, int]] = []
    while not found or found[-1][1] != end:
        event = await exchange.next_json(ws)
        found.append((event["U"], event["u"]))
    return found


def gaps(found: list[tuple[int, int]]) -> int:
    return sum(1 for (_, u), (first, _) in itertools.pairwise(found) if first != u + 1)


async def test_drop(exchange: Any) -> None:
    async with exchange.socket(DEPTH) as ws:
        await ready(exchange)
        fault = await exchange.admin.fault(kind="drop", symbol="BTCUSDT", after=3, count=1)
        assert gaps(await spans(exchange, ws)) == 1
        row = (await exchange.admin.faults())["faults"][0]
        assert (row["id"], row["done"]) == (fault["id"], 1)
        await exchange.admin.remove_fault(fault["id"])
        assert (await exchange.admin.faults())["faults"] == []
        assert gaps(await spans(exchange, ws)) == 0


async def test_duplicate(exchange: Any) -> None:
    async with exchange.socket(DEPTH) as ws:
        await ready(exchange)
        await exchange.admin.fault(kind="duplicate", stream="btcusdt@depth@100ms", after=2, count=1)
        found = await spans(exchange, ws)
        assert len(found) == len(set(found)) + 1


async def test_reorder(exchange: Any) -> None:
    async with exchange.socket(DEPTH) as ws:
        await ready(exchange)
        await exchange.admin.fault(kind="reorder", after=2, count=1, ms=60_000)
        found = await spans(exchange, ws)
        assert found != sorted(found)
        assert gaps(sorted(found)) == 0


async def test_delay_keeps_the_order(exchange: Any) -> None:
    async with exchange.socket(DEPTH) as ws:
        await ready(exchange)
        await exchange.admin.fault(kind="delay", count=1, ms=60_000)
        exchange.advance(500)
        assert (await exchange.admin.faults())["held"] >= 4
        found = await spans(exchange, ws)  # coming to rest lets go what is held
        assert gaps(found) == 0
        assert (await exchange.admin.faults())["held"] == 0


@pytest.mark.parametrize("mode", ["text", "truncate", "garbage"])
async def test_corrupt(exchange: Any, mode: str) -> None:
    async with exchange.socket(DEPTH) as ws:
        await ready(exchange)
        await exchange.admin.fault(kind="corrupt", count=1, mode=mode)
        exchange.advance(200)
        message = await asyncio.wait_for(ws.receive(), 20)
        try:
            body = json.loads(message.data)
        except json.JSONDecodeError:
            return
        assert "#" in message.data or not isinstance(body, dict)


async def test_corrupt_the_protocol_itself(exchange: Any) -> None:
    async with exchange.socket(DEPTH) as ws:
        await ready(exchange)
        await exchange.admin.fault(kind="corrupt", count=1, mode="protocol")
        exchange.advance(200)
        message = await asyncio.wait_for(ws.receive(), 20)
        assert message.type in (aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


async def test_cut_one_connection_only(exchange: Any) -> None:
    async with exchange.socket(DEPTH) as first, exchange.socket(DEPTH) as second:
        await ready(exchange, 2)
        victim = min(exchange.venue.connections)
        await exchange.admin.fault(kind="cut", connection=victim)
        exchange.advance(200)
        await exchange.eventually(lambda: list(exchange.venue.connections) == [victim + 1])
        assert (await exchange.next_json(second))["e"] == "depthUpdate"
        message = await asyncio.wait_for(first.receive(), 20)
        assert message.type is not aiohttp.WSMsgType.TEXT
        assert await exchange.admin.cut() == {"cut": [victim + 1]}


async def test_silence_keeps_the_connection_open(exchange: Any) -> None:
    async with exchange.socket(DEPTH, autoping=False) as ws:
        await ready(exchange)
        await exchange.admin.fault(kind="silence")
        exchange.advance(25_000, 1000)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.receive(), 0.1)
        assert len(exchange.venue.connections) == 1


async def test_skipped_numbers_are_a_gap_for_everyone_and_the_book_is_still_right(exchange: Any) -> None:
    async with exchange.socket(DEPTH) as ws:
        await ready(exchange)
        await exchange.admin.fault(kind="skip", symbol="BTCUSDT", after=2, count=1, ids=5)
        found = await spans(exchange, ws)
        assert gaps(found) == 1
        before = (await exchange.admin.book("BTCUSDT"))["update_id"]
        assert (await exchange.admin.skip("BTCUSDT", 7))["update_id"] == before + 7
        _, snapshot, _ = await exchange.get("depth?symbol=BTCUSDT&limit=5")
        assert snapshot["lastUpdateId"] == before + 7
        exchange.advance(200)
        assert (await exchange.next_json(ws))["U"] == before + 8


async def test_no_pings(exchange: Any) -> None:
    async with exchange.socket("/ws", autoping=False) as ws:
        await exchange.eventually(lambda: len(exchange.venue.connections) == 1)
        await exchange.admin.fault(kind="no_ping")
        exchange.advance(90_000, 1000)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.receive(), 0.1)
        await exchange.admin.clear_faults()
        exchange.advance(21_000, 1000)
        assert (await asyncio.wait_for(ws.receive(), 20)).type is aiohttp.WSMsgType.PING


@pytest.mark.parametrize(("status", "code"), [(429, -1003), (418, -1003), (500, -1000), (503, -1008), (504, -1007)])
async def test_statuses(exchange: Any, status: int, code: int) -> None:
    await exchange.admin.fault(kind="status", endpoint="/api/v3/depth", status=status, count=1, ms=7000)
    assert (await exchange.get("ping"))[0] == 200
    got, body, headers = await exchange.get("depth?symbol=BTCUSDT")
    assert (got, body["code"]) == (status, code)
    assert headers.get("Retry-After") == ("7" if status in (429, 418) else None)
    assert (await exchange.get("depth?symbol=BTCUSDT"))[0] == 200


async def test_hang_and_slow(exchange: Any) -> None:
    await exchange.admin.fault(kind="hang", endpoint="/api/v3/depth", symbol="BTCUSDT")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(exchange.get("depth?symbol=BTCUSDT"), 0.2)
    assert (await exchange.get("depth?symbol=ETHBTC"))[0] == 200
    await exchange.admin.clear_faults()
    await exchange.admin.fault(kind="slow", endpoint="/api/v3/ping", ms=150)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(exchange.get("ping"), 0.05)
    assert (await exchange.get("ping"))[0] == 200


async def test_handshakes_and_the_websocket_api_have_faults_too(exchange: Any) -> None:
    await exchange.admin.fault(kind="status", endpoint="/stream", status=503)
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await exchange.socket("/stream?streams=btcusdt@trade")
    assert caught.value.status == 503
    async with exchange.socket("/ws-api/v3") as ws:
        await exchange.admin.fault(kind="status", endpoint="ws-api:depth", status=500, count=1)
        request = {"id": 1, "method": "depth", "params": {"symbol": "BTCUSDT"}}
        assert (await exchange.ask(ws, request))["status"] == 500
        await exchange.admin.fault(kind="slow", endpoint="ws-api:depth", ms=20, count=1)
        assert (await exchange.ask(ws, request))["status"] == 200
        await exchange.admin.fault(kind="hang", endpoint="ws-api:depth")
        await ws.send_str(json.dumps(request))
        assert (await exchange.ask(ws, {"id": 2, "method": "ping"}))["id"] == 2


async def test_probability_is_seeded(exchange: Any) -> None:
    await exchange.admin.fault(kind="status", endpoint="/api/v3/ping", probability=0.5, status=503)
    answers = [(await exchange.get("ping"))[0] for _ in range(40)]
    assert 8 < answers.count(503) < 32
    stats = await exchange.admin.stats()
    assert stats["faults_done"]["status"] == answers.count(503)


async def test_rewrite(exchange: Any) -> None:
    async with exchange.socket("/ws/btcusdt@trade") as ws:
        await ready(exchange)
        await exchange.admin.fault(
            kind="rewrite", stream="btcusdt@trade", count=1, find='"e":"(\\w+)"', replace='"e":"odd \\1"'
        )
        await exchange.admin.fault(kind="rewrite", endpoint="/api/v3/time", find="(?s)\\A.+", replace="[]")
        exchange.advance(2000)
        assert [(await exchange.next_json(ws))["e"] for _ in range(2)] == ["odd trade", "trade"]
        assert (await exchange.get("time"))[1] == []
        assert (await exchange.get("ping"))[1] == {}
    for wrong in ({"kind": "rewrite"}, {"kind": "drop", "find": "a"}, {"kind": "rewrite", "find": "("}):
        with pytest.raises(Rejected, match="find"):
            await exchange.admin.fault(**wrong)
