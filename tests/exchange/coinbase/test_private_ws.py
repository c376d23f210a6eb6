"""Coinbase Exchange's channel `user`, in the forms of the manual, with its traps."""

from __future__ import annotations

from typing import Any

import pytest

from tests.exchange.coinbase.conftest import CoinbaseExchange
from tests.exchange.coinbase.test_private_rest import OID, best, between, place

KINDS = ("received", "open", "match", "done", "change")


async def listen(coinbase: CoinbaseExchange, socket: Any, **options: Any) -> Any:
    return await coinbase.say(socket, "subscribe", "user", **coinbase.proof(**options))


async def test_a_signed_subscription_is_answered(coinbase: CoinbaseExchange) -> None:
    async with coinbase.feed() as socket:
        answer = await listen(coinbase, socket)
        assert answer["channels"] == [{"name": "user", "product_ids": ["BTC-USDT"], "account_ids": None}]
        more = await coinbase.say(socket, "subscribe", "user", products=["ETH-USDT"])  # the connection is authenticated
        assert more["channels"][0]["product_ids"] == ["BTC-USDT", "ETH-USDT"]
        left = await coinbase.say(socket, "unsubscribe", "user", products=[])
        assert left["channels"] == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"key": "NOBODY"}, "Invalid API Key"),
        ({"secret": "d3Jvbmc="}, "invalid signature"),
        ({"ago_s": 31}, "request timestamp expired"),
    ],
)
async def test_a_wrong_signature_is_refused(coinbase: CoinbaseExchange, options: dict[str, Any], reason: str) -> None:
    async with coinbase.feed() as socket:
        answer = await listen(coinbase, socket, **options)
        assert (answer["type"], answer["message"], answer["reason"]) == ("error", "Authentication Failed", reason)


async def test_an_order_that_rests_and_is_cancelled(coinbase: CoinbaseExchange) -> None:
    async with coinbase.feed() as socket:
        await listen(coinbase, socket)
        made = await place(coinbase, client_oid=OID)
        received = await coinbase.hear(socket, *KINDS)
        assert (received["type"], received["client_oid"], received["size"]) == ("received", OID, "0.01000000")
        opened = await coinbase.hear(socket, *KINDS)
        assert (opened["type"], opened["remaining_size"]) == ("open", "0.01000000")
        assert "client_oid" not in opened
        await coinbase.private("DELETE", f"/orders/{made['id']}")
        done = await coinbase.hear(socket, *KINDS)
        assert (done["type"], done["reason"], done["remaining_size"]) == ("done", "canceled", "0.01000000")
        assert "cancel_reason" not in done
        assert {message["order_id"] for message in (received, opened, done)} == {made["id"]}


async def test_a_match_states_a_rate_and_no_fee(coinbase: CoinbaseExchange) -> None:
    async with coinbase.feed() as socket:
        await listen(coinbase, socket)
        ask = await best(coinbase, "asks")
        made = await place(coinbase, price=ask, size="0.00010")
        assert (await coinbase.hear(socket, *KINDS))["type"] == "received"
        match = await coinbase.hear(socket, *KINDS)
        assert (match["type"], match["taker_order_id"], match["side"]) == ("match", made["id"], "sell")
        assert (match["taker_fee_rate"], "fee" in match, "maker_user_id" in match) == ("0.001", False, False)
        done = await coinbase.hear(socket, *KINDS)
        assert (done["type"], done["reason"], done["remaining_size"]) == ("done", "filled", "0.00000000")
        (fill,) = await coinbase.private("GET", "/fills", query={"order_id": made["id"]})
        assert fill["trade_id"] == match["trade_id"]


async def test_a_resting_order_is_matched_as_the_maker(coinbase: CoinbaseExchange) -> None:
    async with coinbase.feed() as socket:
        await listen(coinbase, socket)
        price = await between(coinbase)
        made = await place(coinbase, price=price)
        await coinbase.admin.order("BTCUSDT", "SELL", price=price, quantity="0.004")
        match = await coinbase.hear(socket, "match")
        assert (match["maker_order_id"], match["side"], match["size"]) == (made["id"], "buy", "0.00400000")
        assert match["maker_fee_rate"] == "0.001"


async def test_ends_by_the_exchange_state_their_reason(coinbase: CoinbaseExchange) -> None:
    """ws, Cancel Reason; of a rejected order the channel has nothing."""
    async with coinbase.feed() as socket:
        await listen(coinbase, socket)
        await place(coinbase, price=await best(coinbase, "asks"), post_only=True)
        made = await place(coinbase, time_in_force="IOC")
        assert (await coinbase.hear(socket, *KINDS))["order_id"] == made["id"]
        done = await coinbase.hear(socket, *KINDS)
        assert (done["reason"], done["cancel_reason"]) == ("canceled", "101:Time In Force")
        price = await between(coinbase)
        mine = await place(coinbase, side="sell", price=price, size="0.03")
        await place(coinbase, price=price, size="0.01")
        change = await coinbase.hear(socket, "change")
        while change["order_id"] != mine["id"]:
            change = await coinbase.hear(socket, "change")
        assert (change["reason"], change["old_size"], change["new_size"]) == ("STP", "0.03000000", "0.02000000")


async def test_only_the_products_and_the_account_of_a_subscription(coinbase: CoinbaseExchange) -> None:
    async with coinbase.feed() as mine, coinbase.feed() as others:
        await coinbase.say(mine, "subscribe", "user", products=["ETH-USDT"], **coinbase.proof())
        await listen(coinbase, others, key="OTHER")
        await place(coinbase)
        made = await place(coinbase, product_id="ETH-USDT", price="2000", size="0.1")
        assert (await coinbase.hear(mine, *KINDS))["order_id"] == made["id"]
        await coinbase.say(others, "subscribe", "heartbeat")
        assert coinbase.desk.user_data.streams.sent["received"] == 1
