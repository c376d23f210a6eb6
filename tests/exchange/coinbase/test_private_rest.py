"""Coinbase Exchange's private REST endpoints, in the shapes of the manual, with their traps."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.exchange.coinbase.conftest import CoinbaseExchange

OID = "1985ca2d-61ef-49f1-bfce-6c39d8462914"
D = Decimal


async def place(coinbase: CoinbaseExchange, **changes: Any) -> Any:
    """Place a limit order far below the market."""
    sent = {"type": "limit", "side": "buy", "product_id": "BTC-USDT", "price": "50000", "size": "0.01"} | changes
    return await coinbase.private("POST", "/orders", {name: value for name, value in sent.items() if value is not None})


async def best(coinbase: CoinbaseExchange, side: str) -> str:
    return str((await coinbase.query("/products/BTC-USDT/book"))[side][0][0])


async def between(coinbase: CoinbaseExchange) -> str:
    """Take twenty levels of asks away; return a price between the best bid and the best ask that is left."""
    book = await coinbase.query("/products/BTC-USDT/book", level=2)
    size = sum(D(row[1]) for row in book["asks"][:20])
    await coinbase.admin.order("BTCUSDT", "BUY", price=book["asks"][19][0], quantity=f"{size:f}")
    return f"{(D(book['bids'][0][0]) + D(book['asks'][20][0])) / 2:.2f}"


async def test_an_order_is_answered_as_it_was_received(coinbase: CoinbaseExchange) -> None:
    """rest, Create a new order: the answer comes before the match; a lookup states the rest."""
    ask = await best(coinbase, "asks")
    made = await place(coinbase, price=ask, client_oid=OID)
    assert (made["status"], made["filled_size"], made["client_oid"]) == ("pending", "0.00000000", OID)
    for name in (made["id"], f"client:{OID}"):
        found = await coinbase.private("GET", f"/orders/{name}")
        assert (found["status"], found["done_reason"], found["filled_size"]) == ("done", "filled", "0.01000000")
    fee = D(found["fill_fees"])
    assert fee == D(found["executed_value"]) / 1000
    (fill,) = await coinbase.private("GET", "/fills", query={"order_id": made["id"]})
    assert (fill["liquidity"], fill["settled"], D(fill["fee"]), fill["order_id"]) == ("T", True, fee, made["id"])
    rows = {row["currency"]: row for row in await coinbase.private("GET", "/accounts")}
    assert D(rows["USDT"]["balance"]) == 1_000_000 - D(found["executed_value"]) - fee  # fees are in quote
    assert D(rows["BTC"]["available"]) == D("10.01")


async def test_a_buy_holds_its_fee_too(coinbase: CoinbaseExchange) -> None:
    """rest, Create a new order, Holds: price x size x (1 + fee-percent)."""
    await place(coinbase)
    rows = {row["currency"]: row for row in await coinbase.private("GET", "/accounts")}
    assert D(rows["USDT"]["hold"]) == D("500.5")
    assert D(rows["USDT"]["balance"]) == 1_000_000


async def test_an_order_that_was_cancelled_without_a_match_is_purged(coinbase: CoinbaseExchange) -> None:
    """rest, Cancel an order: the record may be purged; so may its place in lists."""
    made = await place(coinbase, client_oid=OID)
    assert (await coinbase.private("GET", f"/orders/{made['id']}"))["status"] == "open"
    assert await coinbase.private("DELETE", f"/orders/client:{OID}", query={"product_id": "BTC-USDT"}) == OID
    for name in (made["id"], f"client:{OID}"):
        assert await coinbase.private("GET", f"/orders/{name}") == (404, "NotFound")
    assert await coinbase.private("GET", "/orders", query={"status": "all"}) == []
    assert (await coinbase.private("DELETE", f"/orders/{made['id']}"))[0] == 404


async def test_an_order_with_a_match_is_kept(coinbase: CoinbaseExchange) -> None:
    (_, size, _) = (await coinbase.query("/products/BTC-USDT/book"))["asks"][0]
    made = await place(coinbase, price=await best(coinbase, "asks"), size=str(D(size) + 1))
    assert await coinbase.private("DELETE", f"/orders/{made['id']}") == made["id"]
    found = await coinbase.private("GET", f"/orders/{made['id']}")
    assert (found["status"], found["done_reason"], D(found["filled_size"])) == ("done", "canceled", D(size))
    assert (await coinbase.private("DELETE", f"/orders/{made['id']}")) == (400, "Order already done")


async def test_an_id_that_is_no_uuid_is_silently_forgotten(coinbase: CoinbaseExchange) -> None:
    """rest, Create a new order, Client Order ID."""
    for wrong in ("mine", OID.upper(), OID.replace("-4", "-1", 1), 5):
        made = await place(coinbase, client_oid=wrong)
        assert "client_oid" not in made
        assert await coinbase.private("GET", f"/orders/client:{wrong}") == (404, "NotFound")


async def test_a_post_only_order_that_would_take_is_rejected_after_its_answer(coinbase: CoinbaseExchange) -> None:
    made = await place(coinbase, price=await best(coinbase, "asks"), post_only=True)
    assert made["status"] == "pending"
    found = await coinbase.private("GET", f"/orders/{made['id']}")
    assert (found["status"], found["reject_reason"]) == ("rejected", "post only")


async def test_funds_include_the_fee(coinbase: CoinbaseExchange) -> None:
    made = await place(coinbase, type="market", price=None, size=None, funds="100")
    found = await coinbase.private("GET", f"/orders/{made['id']}")
    assert (found["specified_funds"], "size" in found, "price" in found) == ("100.00000000", False, False)
    assert 99 < D(found["executed_value"]) + D(found["fill_fees"]) <= 100


@pytest.mark.parametrize(
    ("changes", "status", "text"),
    [
        ({"size": None}, 400, "size or funds is required"),
        ({"size": "1", "funds": "1"}, 400, "size or funds is required"),
        ({"size": "0.000001"}, 400, "size is too small"),
        ({"size": "1000000", "price": "64000"}, 400, ""),
        ({"size": "50", "price": "60000"}, 400, "Insufficient funds"),
        ({"price": None}, 400, "Invalid Price"),
        ({"price": "50000.001"}, 400, "price is too precise"),
        ({"side": "both"}, 400, "Invalid side"),
        ({"time_in_force": "IOC", "post_only": True}, 400, "Invalid time_in_force"),
        ({"stp": "none"}, 400, "Invalid stp"),
        ({"stop": "loss", "stop_price": "1"}, 400, "Invalid order type"),
        ({"product_id": "NO-PE"}, 404, "Product not found"),
    ],
)
async def test_orders_are_refused_with_a_text(
    coinbase: CoinbaseExchange, changes: dict[str, Any], status: int, text: str
) -> None:
    found, reason = await place(coinbase, **changes)
    assert found == status
    assert reason == text or not text


async def test_time_in_force_and_self_trades(coinbase: CoinbaseExchange) -> None:
    for force in ("IOC", "FOK"):
        made = await place(coinbase, time_in_force=force)
        assert await coinbase.private("GET", f"/orders/{made['id']}") == (404, "NotFound")
    price = await between(coinbase)
    mine = await place(coinbase, side="sell", price=price, size="0.01")
    await place(coinbase, price=price, size="0.03", stp="cn")  # the newest is cancelled
    assert (await coinbase.private("GET", f"/orders/{mine['id']}"))["status"] == "open"
    larger = await place(coinbase, price=price, size="0.03")  # dc: both are reduced by the smaller
    assert await coinbase.private("GET", f"/orders/{mine['id']}") == (404, "NotFound")
    assert (await coinbase.private("GET", f"/orders/{larger['id']}"))["status"] == "open"


async def test_lists_are_paged_by_cursors(coinbase: CoinbaseExchange) -> None:
    """rest, REST API Pagination: the newest first; `after` is older."""
    ids = []
    for number in range(5):
        ids.append((await place(coinbase, price=f"{50000 + number}"))["id"])
        coinbase.advance(10)
    query: dict[str, Any] = {"limit": 2, "product_id": "BTC-USDT"}
    seen: list[str] = []
    while True:
        status, body, headers = await coinbase.signed("GET", "/orders", query=query)
        rows = json.loads(body)
        assert status == 200
        if not rows:
            break
        seen += [row["id"] for row in rows]
        query["after"] = headers["CB-AFTER"]
    assert seen == ids[::-1]
    assert await coinbase.private("GET", "/orders", query={"status": "done"}) == []
    assert (await coinbase.private("GET", "/orders", query={"status": "eaten"}))[0] == 400
    for _ in range(3):
        await place(coinbase, type="market", price=None, size="0.001")
    rows = await coinbase.private("GET", "/fills", query={"product_id": "BTC-USDT"})
    numbers = [row["trade_id"] for row in rows]
    assert numbers == sorted(numbers, reverse=True)
    newer = await coinbase.private("GET", "/fills", query={"product_id": "BTC-USDT", "before": numbers[-1]})
    assert [row["trade_id"] for row in newer] == numbers[:-1]
    assert (await coinbase.private("GET", "/fills"))[0] == 400
    assert sorted(await coinbase.private("DELETE", "/orders", query={"product_id": "BTC-USDT"})) == sorted(ids)


@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        ({"key": "NOBODY"}, 401, "Invalid API Key"),
        ({"secret": "d3Jvbmc="}, 401, "invalid signature"),
        ({"ago_s": 31}, 400, "request timestamp expired"),
        ({"ago_s": -31}, 400, "request timestamp expired"),
        ({"headers": {"CB-ACCESS-TIMESTAMP": "1700000000000"}}, 400, "invalid timestamp"),  # milliseconds
        ({"headers": {"CB-ACCESS-PASSPHRASE": "wrong"}}, 401, "Invalid Passphrase"),
        ({"headers": {"CB-ACCESS-SIGN": ""}}, 401, "CB-ACCESS-SIGN header is required"),
    ],
)
async def test_who_signed_is_checked(
    coinbase: CoinbaseExchange, options: dict[str, Any], status: int, text: str
) -> None:
    assert await coinbase.private("GET", "/accounts", **options) == (status, text)
    assert isinstance(await coinbase.private("GET", "/accounts", ago_s=29), list)


async def test_a_profile_has_buckets(coinbase: CoinbaseExchange) -> None:
    answers = [await coinbase.private("GET", "/fees") for _ in range(31)]
    assert answers[30] == (429, "Private rate limit exceeded")
    assert answers[29] == {"taker_fee_rate": "0.001", "maker_fee_rate": "0.001", "usd_volume": "0.00"}
    assert isinstance(await coinbase.private("GET", "/accounts"), list)  # a separate bucket
    assert isinstance(await coinbase.private("GET", "/fees", key="OTHER"), dict)
    coinbase.advance(200)
    assert isinstance(await coinbase.private("GET", "/fees"), dict)


async def test_faults_of_requests(coinbase: CoinbaseExchange) -> None:
    await coinbase.admin.fault(kind="status", endpoint="POST /orders", status=503, count=1)
    assert (await place(coinbase))[0] == 503
    await coinbase.admin.fault(kind="accept_then_status", endpoint="/orders", status=500, count=1)
    assert await place(coinbase, client_oid=OID) == (500, "Internal server error")
    assert (await coinbase.private("GET", f"/orders/client:{OID}"))["status"] == "open"
    await coinbase.admin.fault(kind="balance", protocol="coinbase", account="main", asset="USDT", amount="5", count=1)
    rows = {row["currency"]: row for row in await coinbase.private("GET", "/accounts")}
    assert D(rows["USDT"]["balance"]) == 1_000_005
    await coinbase.admin.fault(kind="late_fee", protocol="coinbase", ms=1000, count=1)
    made = await place(coinbase, type="market", price=None, size="0.001")
    (fill,) = await coinbase.private("GET", "/fills", query={"order_id": made["id"]})
    assert (fill["settled"], D(fill["fee"])) == (False, 0)
    coinbase.advance(1_010)
    (fill,) = await coinbase.private("GET", "/fills", query={"order_id": made["id"]})
    assert (fill["settled"], D(fill["fee"]) > 0) == (True, True)
