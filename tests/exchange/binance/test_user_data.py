"""User data streams over the WebSocket API. Source: user-data-stream.md, web-socket-api.md, read 2026-11-22."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from tests.fakes.signed_ws import Api, Key
from venuemesh.exchange.binance import user_data

pytestmark = pytest.mark.timeout(120)
HMAC = Key("KEY", "SECRET")


def api(exchange: Any, socket: Any, key: Key = HMAC) -> Api:
    return Api(socket, key, lambda: exchange.clock.wall_ns // 1_000_000)


async def prices(exchange: Any, symbol: str = "BTCUSDT") -> tuple[str, str]:
    """Best bid and ask of a market at rest."""
    await exchange.admin.pause()
    book = await exchange.admin.book(symbol)
    return book["bids"][0][0], book["asks"][0][0]


async def test_a_subscription_by_signature_gets_all_reports_of_an_order(exchange: Any) -> None:
    bid, _ = await prices(exchange)
    async with exchange.socket("/ws-api/v3") as socket:
        ws = api(exchange, socket)
        answer = await ws.ask("userDataStream.subscribe.signature")
        assert answer["result"] == {"subscriptionId": 0}
        assert [limit["count"] for limit in answer["rateLimits"]] == [4]  # connecting cost 2
        placed = await exchange.admin.order(
            "BTCUSDT", "BUY", price=bid, quantity="0.001", account="main", client_order_id="mine-1"
        )
        found = await ws.event("executionReport")
        now = exchange.clock.wall_ns // 1_000_000
        locked = f"{float(bid) * 0.001:.8f}"
        assert found == {
            "subscriptionId": 0,
            "event": {
                "e": "executionReport",
                "E": now,
                "s": "BTCUSDT",
                "c": "mine-1",
                "S": "BUY",
                "o": "LIMIT",
                "f": "GTC",
                "q": "0.00100000",
                "p": bid,
                "P": "0.00000000",
                "F": "0.00000000",
                "g": -1,
                "C": "",
                "x": "NEW",
                "X": "NEW",
                "r": "NONE",
                "i": placed["order_id"],
                "l": "0.00000000",
                "z": "0.00000000",
                "L": "0.00000000",
                "n": "0",
                "N": None,
                "T": now,
                "t": -1,
                "I": found["event"]["I"],
                "w": True,
                "m": False,
                "M": False,
                "O": now,
                "Z": "0.00000000",
                "Y": "0.00000000",
                "Q": "0.00000000",
                "V": "EXPIRE_MAKER",
                "W": now,
            },
        }
        position = (await ws.event("outboundAccountPosition"))["event"]
        assert {"a": "USDT", "f": f"{1_000_000 - float(locked):.8f}", "l": locked} in position["B"]
        assert {"a": "BTC", "f": "10.00000000", "l": "0.00000000"} in position["B"]
        # The engine's other side takes it: the fill, then the balances.
        await exchange.admin.order("BTCUSDT", "SELL", price=bid, quantity="20", time_in_force="IOC")
        filled = (await ws.event("executionReport"))["event"]
        assert (filled["x"], filled["X"], filled["l"], filled["z"], filled["L"]) == (
            "TRADE",
            "FILLED",
            "0.00100000",
            "0.00100000",
            bid,
        )
        assert (filled["N"], filled["m"], filled["w"]) == ("BTC", True, False)
        assert filled["I"] > found["event"]["I"]
        fill = (await exchange.admin.fills("main"))["fills"][0]
        assert (fill["trade_id"], fill["fee"], fill["number"]) == (filled["t"], filled["n"], 1)
        # Cancelled by the exchange's own hand.
        second = await exchange.admin.order("BTCUSDT", "BUY", price="60000", quantity="0.01", account="main")
        await exchange.admin.cancel("BTCUSDT", second["order_id"])
        while (ended := (await ws.event("executionReport"))["event"])["X"] == "NEW":
            pass
        assert (ended["x"], ended["X"], ended["i"]) == ("CANCELED", "CANCELED", second["order_id"])
        # A market order: the manual's reports show GTC, as its REST answers do.
        await exchange.admin.order("BTCUSDT", "BUY", type="MARKET", quantity="0.001", account="main")
        market = (await ws.event("executionReport"))["event"]
        assert (market["o"], market["f"]) == ("MARKET", "GTC")


async def test_deposits_withdrawals_and_locks_from_outside(exchange: Any) -> None:
    async with exchange.socket("/ws-api/v3?timeUnit=MICROSECOND") as socket:
        ws = api(exchange, socket)
        await ws.ask("userDataStream.subscribe.signature")
        await exchange.admin.deposit("main", "ETH", "2.5")
        update = (await ws.event("balanceUpdate"))["event"]
        now = exchange.clock.wall_ns // 1_000
        assert update == {"e": "balanceUpdate", "E": now, "a": "ETH", "d": "2.50000000", "T": now}
        position = (await ws.event("outboundAccountPosition"))["event"]
        assert position["B"] == [{"a": "ETH", "f": "2.50000000", "l": "0.00000000"}]
        await exchange.admin.withdraw("main", "ETH", "0.5")
        assert (await ws.event("balanceUpdate"))["event"]["d"] == "-0.50000000"
        await exchange.admin.lock("main", "ETH", "1")
        assert (await ws.event("externalLockUpdate"))["event"]["d"] == "1.00000000"
        position = (await ws.event("outboundAccountPosition"))["event"]
        assert position["B"] == [{"a": "ETH", "f": "1.00000000", "l": "1.00000000"}]


async def test_subscriptions_of_one_connection(exchange: Any) -> None:
    await exchange.admin.add_account("other", "KEY2", secret="SECRET2", balances={"USDT": "5"})
    async with exchange.socket("/ws-api/v3") as socket:
        ws = api(exchange, socket)
        assert (await ws.call("session.status"))["result"]["userDataStream"] is False
        assert (await ws.ask("userDataStream.subscribe.signature"))["result"] == {"subscriptionId": 0}
        again = await ws.ask("userDataStream.subscribe.signature")
        assert (again["status"], again["error"]["code"]) == (400, -2035)
        second = Key("KEY2", "SECRET2")
        answer = await ws.answer(
            await ws.send("userDataStream.subscribe.signature", ws.signed({"recvWindow": 6000.346}, second))
        )
        assert answer["result"] == {"subscriptionId": 1}
        assert (await ws.call("session.subscriptions"))["result"] == [{"subscriptionId": 0}, {"subscriptionId": 1}]
        assert (await ws.call("session.status"))["result"]["userDataStream"] is True
        await exchange.admin.deposit("other", "USDT", "1")
        assert (await ws.event("balanceUpdate"))["subscriptionId"] == 1
        assert (await ws.call("userDataStream.unsubscribe", subscriptionId=7))["error"]["code"] == -2036
        assert (await ws.call("userDataStream.unsubscribe", subscriptionId=0))["result"] == {}
        assert (await ws.event("eventStreamTerminated"))["subscriptionId"] == 0
        assert (await ws.call("userDataStream.unsubscribe"))["result"] == {}
        assert (await ws.event("eventStreamTerminated"))["subscriptionId"] == 1
        assert (await ws.call("session.subscriptions"))["result"] == []
        # Ids are not used again.
        assert (await ws.ask("userDataStream.subscribe.signature"))["result"] == {"subscriptionId": 2}
    await exchange.eventually(lambda: not exchange.venue.connections)
    await exchange.admin.deposit("main", "USDT", "1")  # without subscribers nothing fails


async def test_a_subscription_ends_when_it_expires_or_its_key_is_revoked(exchange: Any) -> None:
    async with exchange.socket("/ws-api/v3") as socket:
        ws = api(exchange, socket)
        await ws.ask("userDataStream.subscribe.signature")
        assert await exchange.admin.expire("main") == {"streams": 1}
        assert (await ws.event("eventStreamTerminated"))["subscriptionId"] == 0
        await ws.ask("userDataStream.subscribe.signature")
        assert (await exchange.admin.revoke("KEY"))["streams"] == 1
        assert (await ws.event("eventStreamTerminated"))["subscriptionId"] == 1
        refused = await ws.ask("userDataStream.subscribe.signature")
        assert (refused["status"], refused["error"]["code"]) == (401, -2015)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"signature": "0" * 64}, -1022),
        ({"apiKey": "NOBODY"}, -2015),
        ({"timestamp": None}, -1102),
        ({"recvWindow": 60_001}, -1102),
        ({"symbol": "BTCUSDT"}, -1101),
    ],
)
async def test_what_a_subscription_by_signature_refuses(exchange: Any, change: dict[str, Any], code: int) -> None:
    async with exchange.socket("/ws-api/v3") as socket:
        ws = api(exchange, socket)
        answer = await ws.answer(await ws.send("userDataStream.subscribe.signature", ws.signed({}) | change))
        assert answer["error"]["code"] == code
        late = ws.signed({"timestamp": ws.now_ms() - 5_001})
        answer = await ws.answer(await ws.send("userDataStream.subscribe.signature", late))
        assert answer["error"]["code"] == -1021


async def test_a_logon_serves_later_requests_and_its_own_subscription(exchange: Any) -> None:
    key = Key.ed25519("ED")
    await exchange.admin.add_key("main", "ED", public_key=key.public_pem)
    async with exchange.socket("/ws-api/v3?returnRateLimits=false") as socket:
        ws = api(exchange, socket, key)
        connected = ws.now_ms()
        unknown = await ws.call("userDataStream.subscribe")
        assert (unknown["status"], unknown["error"]["code"]) == (401, -1002)
        exchange.clock.wall_ns += 1_000_000_000
        assert (await ws.ask("session.logon"))["result"] == {
            "apiKey": "ED",
            "authorizedSince": connected + 1000,
            "connectedSince": connected,
            "returnRateLimits": False,
            "serverTime": connected + 1000,
            "userDataStream": False,
        }
        assert (await ws.call("userDataStream.subscribe"))["result"] == {"subscriptionId": 0}
        assert (await ws.call("session.status"))["result"]["userDataStream"] is True
        placed = await ws.call(
            "order.place",
            timestamp=ws.now_ms(),
            symbol="BTCUSDT",
            side="BUY",
            type="LIMIT",
            timeInForce="GTC",
            price="60000.00",
            quantity="0.01",
        )
        assert placed["status"] == 200, placed
        assert (await ws.event("executionReport"))["event"]["i"] == placed["result"]["orderId"]
        out = await ws.call("session.logout")
        assert (out["result"]["apiKey"], out["result"]["authorizedSince"]) == (None, None)
        assert (await ws.event("eventStreamTerminated"))["subscriptionId"] == 0
        gone = await ws.call("account.status", timestamp=ws.now_ms())
        assert gone["error"]["code"] in (-1102, -2014)


async def test_logging_out_leaves_subscriptions_by_signature(exchange: Any) -> None:
    key = Key.ed25519("ED")
    await exchange.admin.add_key("main", "ED", public_key=key.public_pem)
    async with exchange.socket("/ws-api/v3") as socket:
        ws = api(exchange, socket, key)
        await ws.ask("session.logon")
        await ws.ask("userDataStream.subscribe.signature")
        await ws.call("session.logout")
        assert (await ws.call("session.subscriptions"))["result"] == [{"subscriptionId": 0}]


@pytest.mark.parametrize("kind", ["hmac", "rsa"])
async def test_only_ed25519_keys_log_on_and_every_kind_subscribes(exchange: Any, kind: str) -> None:
    key = HMAC if kind == "hmac" else Key.rsa("RSA")
    if kind == "rsa":
        await exchange.admin.add_key("main", "RSA", public_key=key.public_pem)
    async with exchange.socket("/ws-api/v3") as socket:
        ws = api(exchange, socket, key)
        refused = await ws.ask("session.logon")
        assert (refused["status"], refused["error"]["code"]) == (401, -2015)
        assert (await ws.ask("userDataStream.subscribe.signature"))["status"] == 200


async def test_a_revoked_key_ends_the_session_with_the_next_request(exchange: Any) -> None:
    key = Key.ed25519("ED")
    await exchange.admin.add_key("main", "ED", public_key=key.public_pem)
    async with exchange.socket("/ws-api/v3") as socket:
        ws = api(exchange, socket, key)
        await ws.ask("session.logon")
        await ws.call("userDataStream.subscribe")
        await exchange.admin.revoke("ED")
        await ws.send("account.status", {"timestamp": ws.now_ms()})
        events = await ws.answer(None)
        assert (events["status"], events["error"]["code"]) == (401, -2015)
        assert (await ws.call("session.status"))["result"]["apiKey"] is None


async def test_listen_keys_are_gone(exchange: Any) -> None:
    """Source: CHANGELOG.md 2026-01-21; the manual does not state the refusal."""
    for verb in ("POST", "PUT", "DELETE"):
        url = f"{exchange.base}/api/v3/userDataStream"
        async with exchange.session.request(verb, url, headers={"X-MBX-APIKEY": "KEY"}) as response:
            assert response.status == 404
    async with exchange.socket("/ws-api/v3") as socket:
        ws = api(exchange, socket)
        for method in ("userDataStream.start", "userDataStream.ping", "userDataStream.stop"):
            answer = await ws.call(method, apiKey="KEY")
            assert (answer["status"], answer["error"]["code"]) == (400, -1020)


async def test_a_connection_has_room_for_so_many_subscriptions(exchange: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await exchange.admin.add_account("two", "KEY2", secret="SECRET2")
    monkeypatch.setattr(user_data, "ACTIVE", 1)
    monkeypatch.setattr(user_data, "EVER", 2)
    async with exchange.socket("/ws-api/v3") as socket:
        ws = api(exchange, socket)
        await ws.ask("userDataStream.subscribe.signature")
        second = ws.signed({}, Key("KEY2", "SECRET2"))
        crowded = await ws.answer(await ws.send("userDataStream.subscribe.signature", second))
        assert crowded["error"]["code"] == -1191
        await ws.call("userDataStream.unsubscribe")
        assert (await ws.ask("userDataStream.subscribe.signature"))["result"] == {"subscriptionId": 1}
        await ws.call("userDataStream.unsubscribe")
        assert (await ws.ask("userDataStream.subscribe.signature"))["error"]["code"] == -2042


async def test_two_connections_hear_the_same_each_in_its_unit(exchange: Any) -> None:
    async with exchange.socket("/ws-api/v3") as one, exchange.socket("/ws-api/v3?timeUnit=MICROSECOND") as two:
        first, second = api(exchange, one), api(exchange, two)
        for ws in (first, second):
            await ws.ask("userDataStream.subscribe.signature")
        await exchange.admin.deposit("main", "BTC", "1")
        events = [(await ws.event("balanceUpdate"))["event"] for ws in (first, second)]
        assert [event["T"] for event in events] == [exchange.clock.wall_ns // 10**6, exchange.clock.wall_ns // 10**3]
        assert events[0] | {"E": 0, "T": 0} == events[1] | {"E": 0, "T": 0}


async def test_a_connection_ends_after_its_day_and_without_pongs(exchange: Any) -> None:
    await exchange.admin.pause()
    await exchange.admin.limits(life_s=1.0)
    async with exchange.socket("/ws-api/v3", autoping=False) as socket:
        ws = api(exchange, socket)
        await ws.ask("userDataStream.subscribe.signature")
        exchange.advance(1_100, step_ms=100)
        message = await socket.receive(timeout=20)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
    await exchange.eventually(lambda: not exchange.venue.connections)
    assert (await exchange.admin.expire("main")) == {"streams": 0}


async def test_events_of_a_symbol_that_is_delisted(exchange: Any) -> None:
    await exchange.admin.pause()
    async with exchange.socket("/ws-api/v3") as socket:
        ws = api(exchange, socket)
        await ws.ask("userDataStream.subscribe.signature")
        await exchange.admin.order("BTCUSDT", "BUY", price="60000", quantity="0.01", account="main")
        await exchange.admin.delist("BTCUSDT")
        assert [(await ws.event("executionReport"))["event"]["X"] for _ in range(2)] == ["NEW", "EXPIRED"]
