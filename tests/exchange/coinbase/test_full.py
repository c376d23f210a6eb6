"""Coinbase Exchange's channel `full`: a listener that follows the manual's rules has all orders, in their queues."""

from __future__ import annotations

import asyncio
from decimal import Decimal as D
from typing import Any

from tests.exchange.coinbase.conftest import CoinbaseExchange
from tests.exchange.coinbase.test_private_rest import OID, best, between, place

KINDS = ("received", "open", "match", "done", "change")


class Orders:
    """A listener's orders, kept by the rules of ws, Full Channel. Dicts keep the order of the queues."""

    def __init__(self, book: Any) -> None:
        self.sequence = book["sequence"]
        self.sides: dict[str, dict[str, list[str]]] = {"buy": {}, "sell": {}}
        for side, name in (("buy", "bids"), ("sell", "asks")):
            self.sides[side] = {order_id: [price, size] for price, size, order_id in book[name]}

    def take(self, message: Any) -> None:
        if message["sequence"] <= self.sequence:
            return
        assert message["sequence"] == self.sequence + 1, "a message was lost"
        self.sequence = message["sequence"]
        orders = self.sides[message["side"]]
        match message["type"]:
            case "open":
                assert message["order_id"] not in orders
                orders[message["order_id"]] = [message["price"], message["remaining_size"]]
            case "match":
                resting = orders[message["maker_order_id"]]
                resting[1] = f"{D(resting[1]) - D(message['size']):f}"
                assert D(resting[1]) >= 0
            case "done":
                orders.pop(message["order_id"], None)
            case "change" if message["order_id"] in orders:
                orders[message["order_id"]][1] = message["new_size"]

    def rows(self, side: str) -> list[tuple[D, D, str]]:
        found = [(D(price), D(size), order_id) for order_id, (price, size) in self.sides[side].items()]
        return sorted(found, key=lambda row: -row[0] if side == "buy" else row[0])


async def listen(coinbase: CoinbaseExchange, socket: Any) -> Any:
    return await coinbase.say(socket, "subscribe", "full", **coinbase.proof())


async def until(coinbase: CoinbaseExchange, socket: Any, orders: Orders) -> list[Any]:
    """Take messages up to the number of the book over REST, which must be the same; return them."""
    rest = await coinbase.query("/products/BTC-USDT/book", level=3)
    taken = []
    while orders.sequence < rest["sequence"]:
        taken.append(await coinbase.hear(socket, *KINDS))
        orders.take(taken[-1])
    for side, name in (("buy", "bids"), ("sell", "asks")):
        assert orders.rows(side) == [(D(price), D(size), order_id) for price, size, order_id in rest[name]]
    return taken


async def test_the_channel_needs_a_key(coinbase: CoinbaseExchange) -> None:
    async with coinbase.feed() as socket:
        assert (await coinbase.say(socket, "subscribe", "full"))["type"] == "error"
        answer = await listen(coinbase, socket)
        assert answer["channels"] == [{"name": "full", "product_ids": ["BTC-USDT"], "account_ids": None}]


async def test_a_listener_keeps_all_orders(coinbase: CoinbaseExchange) -> None:
    """Participants, orders of accounts, orders by the other protocol, market orders and cancels."""
    async with coinbase.feed() as socket:
        await listen(coinbase, socket)
        orders = Orders(await coinbase.query("/products/BTC-USDT/book", level=3))
        await coinbase.admin.resume()
        kinds: set[str] = set()
        for number in range(12):
            await asyncio.sleep(0.05)
            coinbase.clock.wall_ns += 10**9  # for the limits of requests
            coinbase.clock.steady_ns += 10**9
            made = await place(coinbase, price=await best(coinbase, "bids"), size="0.02")
            await coinbase.admin.order("BTCUSDT", "SELL", type="MARKET", quantity="0.05")
            if number % 2:
                await coinbase.private("DELETE", f"/orders/{made['id']}")
            kinds |= {message["type"] for message in await until(coinbase, socket, orders)}
        assert kinds >= {"received", "open", "match", "done"}


async def test_the_messages_of_an_order_that_takes_and_rests(coinbase: CoinbaseExchange) -> None:
    async with coinbase.feed() as socket:
        await listen(coinbase, socket)
        orders = Orders(await coinbase.query("/products/BTC-USDT/book", level=3))
        ask, size, maker = (await coinbase.query("/products/BTC-USDT/book", level=3))["asks"][0]
        made = await place(coinbase, price=ask, size=f"{D(size) + D('0.02'):f}", client_oid=OID)
        told = await until(coinbase, socket, orders)
        assert [message["type"] for message in told][:3] == ["received", "match", "done"]
        assert "client_oid" not in told[0]
        assert (told[1]["maker_order_id"], told[1]["taker_order_id"]) == (maker, made["id"])
        assert (told[2]["order_id"], told[2]["reason"], told[2]["remaining_size"]) == (maker, "filled", "0.00000000")
        await coinbase.private("DELETE", f"/orders/{made['id']}")
        last = (await until(coinbase, socket, orders))[-1:]
        assert [(one["type"], one["order_id"], one["reason"]) for one in last if last] in (
            [("done", made["id"], "canceled")],
            [],
        )


async def test_an_order_that_never_rests_is_done(coinbase: CoinbaseExchange) -> None:
    price = await between(coinbase)
    async with coinbase.feed() as socket:
        await listen(coinbase, socket)
        orders = Orders(await coinbase.query("/products/BTC-USDT/book", level=3))
        filled = await place(coinbase, type="market", price=None, size="0.01")
        told = await until(coinbase, socket, orders)
        assert [message["type"] for message in told if message.get("order_id") == filled["id"]] == ["received", "done"]
        assert told[-1]["reason"] == "filled"
        assert "remaining_size" not in told[-1]
        ended = await place(coinbase, price=price, time_in_force="IOC")
        told = await until(coinbase, socket, orders)
        assert [message["type"] for message in told] == ["received", "done"]
        assert [message["order_id"] for message in told] == [ended["id"]] * 2
        assert told[-1]["remaining_size"] == "0.01000000"


async def test_other_channels_have_the_same_numbers(coinbase: CoinbaseExchange) -> None:
    async with coinbase.feed() as socket:
        await coinbase.say(socket, "subscribe", "full", "matches", "user", **coinbase.proof())
        await place(coinbase, type="market", price=None, size="0.01")
        received = [await coinbase.hear(socket, "received") for _ in range(2)]
        assert received[0]["sequence"] == received[1]["sequence"]
    async with coinbase.feed() as socket:
        await coinbase.say(socket, "subscribe", "full", "matches", **coinbase.proof())
        await coinbase.hear(socket, "last_match")
        await place(coinbase, type="market", price=None, size="0.001")
        matches = [await coinbase.hear(socket, "match") for _ in range(2)]
        assert matches[0] == matches[1]
