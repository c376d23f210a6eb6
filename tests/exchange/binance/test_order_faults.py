"""Faults with orders, on request: over the WebSocket API and over REST."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from tests.fakes.signed_ws import WAIT_S, Api, Key, query

pytestmark = pytest.mark.timeout(120)
KEY = Key("KEY", "SECRET")
ENDPOINTS = {"ws": "ws-api:order.place", "rest": "POST /api/v3/order"}
CUT = (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError)


def now_ms(exchange: Any) -> int:
    milliseconds: int = exchange.clock.wall_ns // 1_000_000
    return milliseconds


def order(client_id: str, **fields: Any) -> dict[str, Any]:
    plain = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "price": "60000.00",
        "quantity": "0.01",
        "newClientOrderId": client_id,
    }
    return {name: value for name, value in (plain | fields).items() if value is not None}


class Place:
    """Places orders over one of the two transports: `begin` sends; its task is done after the answer."""

    def __init__(self, exchange: Any, socket: Any, transport: str) -> None:
        self.exchange = exchange
        self.transport = transport
        self.api = Api(socket, KEY, lambda: now_ms(exchange))

    def begin(self, client_id: str, **fields: Any) -> asyncio.Task[tuple[int, Any]]:
        call = self._ws if self.transport == "ws" else self._rest
        return asyncio.create_task(call(order(client_id, **fields)))

    async def _ws(self, params: dict[str, Any]) -> tuple[int, Any]:
        answer = await self.api.ask("order.place", **params)
        return answer["status"], answer.get("result") or answer["error"]

    async def _rest(self, params: dict[str, Any]) -> tuple[int, Any]:
        url = f"{self.exchange.base}/api/v3/order?{query(params, KEY, now_ms(self.exchange))}"
        async with self.exchange.session.post(url, headers={"X-MBX-APIKEY": "KEY"}) as response:
            return response.status, json.loads(await response.read())

    async def receipt(self, client_id: str) -> tuple[int, int, int]:
        found = await self.exchange.admin.receipt("main", client_id)
        return found["received"], found["accepted"], found["refused"]

    async def ledger(self, client_id: str) -> list[Any]:
        found: list[Any] = (await self.exchange.admin.orders("main", client_order_id=client_id))["orders"]
        return found

    async def seen(self, client_id: str) -> None:
        """Wait until the exchange has read a placement."""
        receipts = self.exchange.venue.floor.receipts_of(self.exchange.venue.engine.accounts["main"])
        await self.exchange.eventually(lambda: receipts.find(client_id).received > 0)


@pytest.fixture(params=["ws", "rest"])
async def place(exchange: Any, request: pytest.FixtureRequest) -> Any:
    await exchange.admin.pause()
    async with exchange.socket("/ws-api/v3") as socket:
        yield Place(exchange, socket, request.param)


class HandTimer:
    """The timer of the faults, controlled by the test: held requests stay held until `fire`."""

    def __init__(self, exchange: Any) -> None:
        self._waiting: list[Callable[[], None]] = []
        exchange.venue.faults.later = self._later
        self._exchange = exchange

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        self._waiting.append(call)

    async def fire(self) -> None:
        """Wait until something is held, then release everything."""
        await self._exchange.eventually(lambda: bool(self._waiting))
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()


async def fault(place: Place, kind: str, **fields: Any) -> None:
    scope = {"endpoint": ENDPOINTS[place.transport], "account": "main", "count": 1}
    await place.exchange.admin.fault(kind=kind, **(scope | fields))


async def test_without_faults_every_placement_is_counted_accepted_or_refused(place: Place) -> None:
    assert (await place.begin("a"))[0] == 200
    status, again = await place.begin("a")
    assert (status, again["code"]) == (400, -2010)
    assert (await place.begin("b", quantity="0.000001"))[0] == 400
    assert await place.receipt("a") == (2, 1, 1)
    assert await place.receipt("b") == (1, 0, 1)
    assert await place.receipt("c") == (0, 0, 0)
    page = await place.exchange.admin.receipts("main", limit=1)
    assert (page["receipts"][0]["client_order_id"], page["more"]) == ("a", True)
    page = await place.exchange.admin.receipts("main", since=page["receipts"][0]["number"])
    assert [item["client_order_id"] for item in page["receipts"]] == ["b"]


async def test_accepted_and_never_answered(place: Place) -> None:
    await fault(place, "accept_then_hang")
    waiting = place.begin("lost")
    await place.seen("lost")
    assert [found["status"] for found in await place.ledger("lost")] == ["NEW"]
    assert (await place.begin("next"))[0] == 200  # other requests continue
    assert not waiting.done()
    waiting.cancel()
    assert await place.receipt("lost") == (1, 1, 0)


@pytest.mark.parametrize(("status", "code"), [(503, -1007), (504, -1007), (503, -1006), (500, -1000)])
async def test_accepted_and_answered_with_an_unknown_outcome(place: Place, status: int, code: int) -> None:
    await fault(place, "accept_then_status", status=status, code=code)
    answered, body = await place.begin("doubt")
    assert (answered, body["code"]) == (status, code)
    assert len(await place.ledger("doubt")) == 1


async def test_accepted_and_cut_in_the_middle_of_the_answer(place: Place) -> None:
    await fault(place, "accept_then_cut")
    with pytest.raises((*CUT, AssertionError)):
        await place.begin("half")
    assert len(await place.ledger("half")) == 1


async def test_refused_before_it_was_executed(place: Place) -> None:
    await fault(place, "status", status=503)
    status, body = await place.begin("busy")
    assert (status, body["code"]) == (503, -1008)
    assert await place.ledger("busy") == []
    assert await place.receipt("busy") == (1, 0, 0)


async def test_cut_after_the_request_was_read_and_before_it_was_executed(place: Place) -> None:
    await fault(place, "disconnect")
    with pytest.raises((*CUT, AssertionError)):
        await place.begin("gone")
    assert await place.ledger("gone") == []
    assert await place.receipt("gone") == (1, 0, 0)


async def test_a_held_request_is_executed_late_even_if_no_client_waits(place: Place) -> None:
    timer = HandTimer(place.exchange)
    await fault(place, "late")
    waiting = place.begin("late")
    await place.seen("late")
    waiting.cancel()
    if place.transport == "ws":
        await place.api.socket.close()
        await place.exchange.eventually(lambda: not place.exchange.venue.connections)
    assert await place.ledger("late") == []
    await timer.fire()
    account = place.exchange.venue.engine.accounts["main"]
    await place.exchange.eventually(lambda: bool(account.orders))
    assert [found["status"] for found in await place.ledger("late")] == ["NEW"]


async def test_a_held_request_is_refused_when_its_window_has_passed(place: Place) -> None:
    timer = HandTimer(place.exchange)
    await fault(place, "late")
    waiting = place.begin("stale", recvWindow=2000)
    await place.seen("stale")
    place.exchange.clock.wall_ns += 2_001_000_000
    await timer.fire()
    status, body = await asyncio.wait_for(waiting, WAIT_S)
    assert (status, body["code"]) == (400, -1021)
    assert await place.ledger("stale") == []
    assert await place.receipt("stale") == (1, 0, 1)


async def test_the_fill_is_reported_before_the_acknowledgement(place: Place) -> None:
    await place.api.ask("userDataStream.subscribe.signature")
    timer = HandTimer(place.exchange)
    await fault(place, "accept_then_wait")
    waiting = place.begin("early", type="MARKET", quantity="0.001", price=None, timeInForce=None)
    kinds = [(await place.api.event("executionReport"))["event"]["x"] for _ in range(2)]
    assert kinds == ["NEW", "TRADE"]
    assert not waiting.done()
    await timer.fire()
    status, body = await asyncio.wait_for(waiting, WAIT_S)
    assert (status, body["status"]) == (200, "FILLED")


async def test_without_that_fault_the_acknowledgement_comes_first(exchange: Any) -> None:
    await exchange.admin.pause()
    async with exchange.socket("/ws-api/v3") as socket:
        ws = Api(socket, KEY, lambda: now_ms(exchange))
        await ws.ask("userDataStream.subscribe.signature")
        number = await ws.send("order.place", ws.signed(order("first")))
        await ws.answer(number)
        assert ws.events == []
        assert (await ws.event("executionReport"))["event"]["c"] == "first"


async def test_answers_of_one_connection_may_overtake_each_other(exchange: Any) -> None:
    timer = HandTimer(exchange)
    await exchange.admin.fault(kind="accept_then_wait", endpoint="ws-api:order.place", count=1)
    async with exchange.socket("/ws-api/v3") as socket:
        ws = Api(socket, KEY, lambda: now_ms(exchange))
        first = await ws.send("order.place", ws.signed(order("one")))
        second = await ws.send("order.place", ws.signed(order("two")))
        assert (await ws.answer(second))["result"]["clientOrderId"] == "two"
        assert first not in ws.answers
        await timer.fire()
        assert (await ws.answer(first))["result"]["clientOrderId"] == "one"


async def test_faults_know_account_symbol_and_verb(exchange: Any) -> None:
    await exchange.admin.pause()
    await exchange.admin.add_account("other", "KEY2", secret="SECRET2", balances={"USDT": "1000000"})
    await exchange.admin.fault(kind="status", account="other", symbol="BTCUSDT", endpoint="POST /api/v3/order")
    place = Place(exchange, None, "rest")
    assert (await place.begin("mine"))[0] == 200
    second = Key("KEY2", "SECRET2")
    for params, expected in ((order("x"), 503), (order("y", symbol="ETHUSDT", price="3000.00", quantity="0.1"), 200)):
        url = f"{exchange.base}/api/v3/order?{query(params, second, now_ms(exchange))}"
        async with exchange.session.post(url, headers={"X-MBX-APIKEY": "KEY2"}) as response:
            assert response.status == expected
    gone = query({"symbol": "ETHUSDT", "origClientOrderId": "y"}, second, now_ms(exchange))
    url = f"{exchange.base}/api/v3/order?{gone}"
    async with exchange.session.delete(url, headers={"X-MBX-APIKEY": "KEY2"}) as response:
        assert response.status == 200


@pytest.mark.parametrize("kind", ["drop", "duplicate", "delay", "reorder"])
async def test_user_events_are_dropped_repeated_delayed_and_swapped(exchange: Any, kind: str) -> None:
    await exchange.admin.pause()
    async with exchange.socket("/ws-api/v3") as socket:
        ws = Api(socket, KEY, lambda: now_ms(exchange))
        await ws.ask("userDataStream.subscribe.signature")
        await exchange.admin.fault(kind=kind, stream="user", account="main", count=1, ms=120)
        placed = await ws.ask("order.place", **order("one"))
        assert placed["status"] == 200
        if kind == "delay":
            assert (await ws.call("ping"))["status"] == 200  # answers are not held
            assert exchange.venue.faults.held or ws.events
        wanted = {"drop": 1, "duplicate": 3, "delay": 2, "reorder": 2}[kind]
        names = [(await ws.next_event())["event"]["e"] for _ in range(wanted)]
        report, position = "executionReport", "outboundAccountPosition"
        assert (
            names
            == {
                "drop": [position],
                "duplicate": [report, report, position],
                "delay": [report, position],
                "reorder": [position, report],
            }[kind]
        )


async def test_faults_of_market_data_leave_user_events_alone(exchange: Any) -> None:
    await exchange.admin.pause()
    async with exchange.socket("/ws-api/v3") as socket:
        ws = Api(socket, KEY, lambda: now_ms(exchange))
        await ws.ask("userDataStream.subscribe.signature")
        await exchange.admin.fault(kind="drop", symbol="BTCUSDT")
        await ws.ask("order.place", **order("one"))
        assert (await ws.event("executionReport"))["event"]["c"] == "one"


async def test_balances_out_of_step(exchange: Any) -> None:
    await exchange.admin.pause()
    async with exchange.socket("/ws-api/v3") as socket:
        ws = Api(socket, KEY, lambda: now_ms(exchange))
        await ws.ask("userDataStream.subscribe.signature")

        async def free() -> tuple[str, str, str]:
            """Return the free USDT by the WebSocket API, by REST, and by the next event."""
            over_ws = (await ws.ask("account.status"))["result"]
            url = f"{exchange.base}/api/v3/account?{query({}, KEY, now_ms(exchange))}"
            async with exchange.session.get(url, headers={"X-MBX-APIKEY": "KEY"}) as response:
                over_rest = await response.json()
            await exchange.admin.deposit("main", "USDT", "0")
            event = (await ws.event("outboundAccountPosition"))["event"]
            lists = ([(line["asset"], line["free"]) for line in body["balances"]] for body in (over_ws, over_rest))
            first, second = (dict(pairs)["USDT"] for pairs in lists)
            return first, second, event["B"][0]["f"]

        assert await free() == ("1000000.00000000",) * 3
        await exchange.admin.fault(kind="balance", account="main", asset="USDT", amount="-250.5")
        assert await free() == ("999749.50000000",) * 3
        await exchange.admin.clear_faults()
        await exchange.admin.fault(kind="balance", account="main", asset="USDT", amount="1", endpoint="/api/v3/account")
        assert await free() == ("1000000.00000000", "1000001.00000000", "1000000.00000000")
        await exchange.admin.clear_faults()
        rule = await exchange.admin.fault(
            kind="balance", account="main", asset="USDT", amount="1", stream="user", for_ms=50
        )
        assert (await exchange.admin.ledger("main"))["accounts"][0]["balances"]["USDT"]["free"] == "1000000.00000000"
        await exchange.eventually(lambda: rule["id"] not in exchange.venue.faults.rules)
        assert await free() == ("1000000.00000000",) * 3


async def test_a_skewed_clock_puts_requests_out_of_time(place: Place) -> None:
    for skew_ms, fits in ((-900, True), (-1_100, False), (4_900, True), (5_100, False), (0, True)):
        await place.exchange.admin.clock(skew_ms)
        status, body = await place.begin(f"skew{skew_ms}")
        assert (status == 200) == fits, (skew_ms, body)
        assert fits or body["code"] == -1021


async def test_every_leg_of_an_order_list_has_a_receipt(exchange: Any) -> None:
    await exchange.admin.pause()
    async with exchange.socket("/ws-api/v3") as socket:
        ws = Api(socket, KEY, lambda: now_ms(exchange))
        answer = await ws.ask(
            "orderList.place.oto",
            symbol="BTCUSDT",
            workingType="LIMIT",
            workingSide="BUY",
            workingPrice="60000.00",
            workingQuantity="0.01",
            workingTimeInForce="GTC",
            workingClientOrderId="first",
            pendingType="MARKET",
            pendingSide="SELL",
            pendingQuantity="0.01",
            pendingClientOrderId="then",
        )
        assert answer["status"] == 200, answer
    receipts = (await exchange.admin.receipts("main"))["receipts"]
    assert [(found["client_order_id"], found["received"], found["accepted"]) for found in receipts] == [
        ("first", 1, 1),
        ("then", 1, 1),
    ]


async def test_the_last_of_two_faults_acts_after_the_first(place: Place) -> None:
    """A request is held before the engine, executed, and its answer is lost."""
    timer = HandTimer(place.exchange)
    await fault(place, "late")
    await fault(place, "accept_then_hang")
    waiting = place.begin("both")
    await place.seen("both")
    assert await place.ledger("both") == []
    await timer.fire()
    account = place.exchange.venue.engine.accounts["main"]
    await place.exchange.eventually(lambda: bool(account.orders))
    assert not waiting.done()
    waiting.cancel()


async def test_an_accepted_order_is_rejected_later(place: Place) -> None:
    timer = HandTimer(place.exchange)
    await place.exchange.admin.fault(kind="reject_later", account="main", count=1)
    status, answer = await place.begin("turned", newOrderRespType="RESULT")
    assert (status, answer["status"]) == (200, "NEW")
    assert (await place.begin("plain"))[0] == 200
    bids = (await place.exchange.admin.book("BTCUSDT"))["bids"]
    assert [size for price, size in bids if price == "60000.00000000"] == ["0.01000000"]  # of the second order alone
    await timer.fire()
    assert [found["status"] for found in await place.ledger("turned")] == ["REJECTED"]
    assert [found["status"] for found in await place.ledger("plain")] == ["NEW"]
    locked = (await place.exchange.admin.ledger("main"))["accounts"][0]["balances"]["USDT"]["locked"]
    assert locked == "600.00000000"


async def test_the_fee_of_a_fill_may_be_stated_later(place: Place) -> None:
    """Neither the answer nor the first report has a fee."""
    await place.api.ask("userDataStream.subscribe.signature")
    timer = HandTimer(place.exchange)
    await place.exchange.admin.fault(kind="late_fee", account="main", count=1)
    market = {"type": "MARKET", "quantity": "0.001", "price": None, "timeInForce": None}
    _, answer = await place.begin("free", newOrderRespType="FULL", **market)
    assert [(fill["commission"], fill["commissionAsset"]) for fill in answer["fills"]] == [("0.00000000", "")]
    first = [(await place.api.event("executionReport"))["event"] for _ in range(2)][-1]
    assert (first["x"], first["n"], first["N"]) == ("TRADE", "0.00000000", None)
    await timer.fire()
    again = (await place.api.event("executionReport"))["event"]
    assert (again["t"], again["N"], float(again["n"]) > 0) == (first["t"], "BTC", True)


async def test_an_order_cannot_be_found_yet_or_no_longer(place: Place) -> None:
    exchange = place.exchange

    async def status(verb: str = "GET") -> int:
        asked = query({"symbol": "BTCUSDT", "origClientOrderId": "one"}, KEY, now_ms(exchange))
        url = f"{exchange.base}/api/v3/order?{asked}"
        async with exchange.session.request(verb, url, headers={"X-MBX-APIKEY": "KEY"}) as response:
            return int((await response.json()).get("code", 200))

    await place.begin("one")
    await exchange.admin.fault(kind="unseen", account="main", ms=500)
    assert await status() == -2013
    exchange.advance(500)
    assert await status() == 200
    await exchange.admin.clear_faults()
    await exchange.admin.fault(kind="forget", account="main", ms=200)
    assert await status() == 200  # an open order is not forgotten
    assert await status("DELETE") == 200
    assert await status() == 200
    exchange.advance(200)
    assert await status() == -2013
    assert [found["status"] for found in await place.ledger("one")] == ["CANCELED"]
