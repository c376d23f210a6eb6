"""The admin interface: its requests, refusals and answers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from venuemesh.exchange.engine.history import CHUNK, UpdateLog
from venuemesh.model.errors import Rejected

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("faults", '{"kind":"explode"}', "kind"),
        ("faults", '{"kind":"drop","probability":2}', "probability"),
        ("faults", '{"kind":"drop","colour":"red"}', "colour"),
        ("faults", '{"kind":"drop","symbol":"NOPE"}', "symbol"),
        ("faults", '{"kind":"drop","count":"3"}', "count"),
        ("rate", "{}", "rate"),
        ("rate", '{"rate":-1}', "rate"),
        ("order", '{"symbol":"BTCUSDT","side":"BOTH"}', "side"),
        ("order", '{"symbol":"BTCUSDT","side":"BUY","quantity":"1e","price":"1"}', "quantity"),
        ("order", '{"symbol":"BTCUSDT","side":"BUY","quantity":"1","price":"1","account":"x"}', "account"),
        ("rules", '{"symbol":"BTCUSDT","tick":"0"}', "tick"),
        ("list", '{"symbol":"???"}', "symbol"),
        ("status", '{"symbol":"BTCUSDT","status":"ASLEEP"}', "status"),
        ("limits", '{"weight":0}', "weight"),
        ("pause", "not json", None),
    ],
)
async def test_refusals_name_the_field(exchange: Any, path: str, body: str, field: str | None) -> None:
    async with exchange.session.post(f"{exchange.admin.base}/admin/{path}", data=body) as response:
        assert response.status == 400
        assert (await response.json())["error"]["field"] == field


async def test_unknown_things_are_404(exchange: Any) -> None:
    for ask in (
        exchange.admin.book("NOPE"),
        exchange.admin.cancel("BTCUSDT", 10**9),
        exchange.admin.ledger("nobody"),
        exchange.admin.remove_fault(99),
        exchange.admin.cut(99),
    ):
        with pytest.raises(Rejected):
            await ask
    async with exchange.session.get(f"{exchange.admin.base}/admin/nothing") as response:
        assert response.status == 404
        assert (await response.json())["error"]["type"] == "http"


async def test_history_leads_from_one_book_to_the_next(exchange: Any) -> None:
    before = await exchange.admin.book("BTCUSDT")
    exchange.advance(3000)
    await exchange.admin.skip("BTCUSDT", 3)
    exchange.advance(500)
    after = await exchange.admin.book("BTCUSDT")
    book = {"bid": dict(before["bids"]), "ask": dict(before["asks"])}
    at = before["update_id"]
    while True:
        page = await exchange.admin.history("BTCUSDT", since=at, limit=100)
        assert page["complete"]
        for number, _, side, price, size in page["updates"]:
            assert number > at
            at = number
            if float(size):
                book[side][price] = size
            else:
                book[side].pop(price, None)
        if not page["more"]:
            break
    assert at == after["update_id"]
    assert book == {"bid": dict(after["bids"]), "ask": dict(after["asks"])}


async def test_history_says_when_it_is_no_longer_complete(exchange: Any) -> None:
    exchange.venue.market("BTCUSDT").log = UpdateLog(2 * CHUNK)
    exchange.venue.crowd.set_rate(20_000.0)
    start = (await exchange.admin.book("BTCUSDT"))["update_id"]
    while not exchange.venue.market("BTCUSDT").log.dropped:
        exchange.advance(500)
    exchange.advance(1500)
    page = await exchange.admin.history("BTCUSDT", since=0, limit=1)
    assert not page["complete"]
    assert page["first_id"] > start + CHUNK
    again = await exchange.admin.history("BTCUSDT", since=page["first_id"] - 1, limit=1)
    assert again["complete"]


async def test_orders_by_hand_and_the_ledger(exchange: Any) -> None:
    await exchange.admin.pause()
    book = await exchange.admin.book("BTCUSDT")
    ask = book["asks"][0]
    placed = await exchange.admin.order("BTCUSDT", "BUY", quantity=ask[1], price=ask[0], account="main")
    assert placed["status"] == "FILLED"
    resting = await exchange.admin.order(
        "BTCUSDT", "BUY", quantity="0.01", price="60000", account="main", client_order_id="mine"
    )
    assert resting["status"] == "NEW"
    ledger = (await exchange.admin.ledger("main"))["accounts"][0]
    assert [o["status"] for o in ledger["orders"]] == ["FILLED", "NEW"]
    assert ledger["balances"]["USDT"]["locked"] == "600.00000000"
    assert sum(Decimal(fill["size"]) for fill in ledger["fills"]) == Decimal(ask[1])
    assert "SECRET" not in str(ledger)
    gone = await exchange.admin.cancel("BTCUSDT", resting["order_id"])
    assert gone["status"] == "CANCELED"
    trades = (await exchange.admin.trades("BTCUSDT"))["trades"]
    assert trades[-1]["price"] == ask[0]
    await exchange.admin.order("ETHBTC", "SELL", type="MARKET", quantity="0.1")
    with pytest.raises(Rejected) as caught:
        await exchange.admin.order("BTCUSDT", "BUY", quantity="0.000001", price="60000")
    assert caught.value.code in ("NOTIONAL", "SIZE")
    await exchange.admin.deposit("main", "ETH", "2.5")
    assert (await exchange.admin.ledger())["accounts"][0]["balances"]["ETH"]["free"] == "2.50000000"


async def test_halt_list_delist_and_rules(exchange: Any) -> None:
    await exchange.admin.status("BTCUSDT", "HALT")
    before = (await exchange.admin.book("BTCUSDT"))["update_id"]
    exchange.advance(1000)
    assert (await exchange.admin.book("BTCUSDT"))["update_id"] == before
    assert (await exchange.get("exchangeInfo?symbol=BTCUSDT"))[1]["symbols"][0]["status"] == "HALT"
    await exchange.admin.status("BTCUSDT", "TRADING")
    exchange.advance(1000)
    assert (await exchange.admin.book("BTCUSDT"))["update_id"] > before
    async with exchange.socket("/ws/nknusdt@depth@100ms") as ws:
        await exchange.eventually(lambda: bool(exchange.topics.by_name))
        listed = await exchange.admin.list("NKNUSDT", levels=50)
        assert listed["tick"] == "0.00010000"
        await exchange.admin.rate(300.0, "NKNUSDT")
        exchange.advance(1000)
        assert (await exchange.next_json(ws))["s"] == "NKNUSDT"
    with pytest.raises(Rejected):
        await exchange.admin.list("NKNUSDT")
    assert "NKNUSDT" not in (await exchange.admin.delist("NKNUSDT"))["symbols"]
    assert (await exchange.get("depth?symbol=NKNUSDT"))[1]["code"] == -1121
    assert (await exchange.admin.rules("BTCUSDT", tick="0.1"))["tick"] == "0.10000000"
    info = (await exchange.get("exchangeInfo?symbol=BTCUSDT"))[1]["symbols"][0]["filters"][0]
    assert info["tickSize"] == "0.10000000"


async def test_clock_skew(exchange: Any) -> None:
    await exchange.admin.clock(2500.0)
    assert (await exchange.get("time"))[1]["serverTime"] == exchange.clock.wall_ns // 1_000_000 + 2500


async def test_statistics_and_connections(exchange: Any) -> None:
    async with exchange.socket("/stream?streams=btcusdt@trade"):
        await exchange.eventually(lambda: bool(exchange.topics.by_name))
        stats = await exchange.admin.stats()
        assert (stats["connections"], stats["streams"]) == (1, 1)
        assert stats["symbols"]["BTCUSDT"]["bids"] > 100
        row = (await exchange.admin.connections())["connections"][0]
        assert (row["combined"], row["streams"]) == (True, ["btcusdt@trade"])
    assert (await exchange.admin.limits())["weight"] == 6000
    await exchange.admin.forgive()
