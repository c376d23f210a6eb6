"""Kraken's channel level3, in the shapes of the manual: tokens, depths, and a listener who cuts."""

from __future__ import annotations

import json
import zlib
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.exchange.kraken.conftest import KrakenExchange


class OrderBook:
    """A listener's orders, kept by the rules of spot-ws-l3-v2: id -> (price, quantity) as on the wire, oldest first."""

    def __init__(self, depth: int, cuts: bool = True) -> None:
        self.depth = depth if cuts else 10**6
        self.sides: dict[str, dict[str, tuple[str, str]]] = {"bids": {}, "asks": {}}

    def take(self, text: str) -> bool:
        """Apply a message; return whether the checksum is right."""
        answer = json.loads(text, parse_float=str, parse_int=str)
        (data,) = answer["data"]
        if answer["type"] == "snapshot":
            self.sides = {"bids": {}, "asks": {}}
        for name, side in self.sides.items():
            for row in data[name]:
                event, order = row.get("event", "add"), row["order_id"]
                if event == "delete":
                    assert side.pop(order)[0] == row["limit_price"]
                elif event == "modify":
                    assert side[order][0] == row["limit_price"]
                    side[order] = row["limit_price"], row["order_qty"]
                else:
                    assert event == "add"
                    assert order not in side
                    side[order] = row["limit_price"], row["order_qty"]
            kept = set(self.prices(name)[: self.depth])
            for order in [order for order, (price, _) in side.items() if price not in kept]:
                del side[order]
        return zlib.crc32(self.digits().encode()) == int(data["checksum"])

    def prices(self, name: str) -> list[str]:
        return sorted({price for price, _ in self.sides[name].values()}, key=Decimal, reverse=name == "bids")

    def queue(self, name: str, price: str) -> list[tuple[str, str]]:
        return [(order, size) for order, (at, size) in self.sides[name].items() if at == price]

    def digits(self) -> str:
        return "".join(
            figure.replace(".", "").lstrip("0")
            for name in ("asks", "bids")
            for price in self.prices(name)[:10]
            for _, size in self.queue(name, price)
            for figure in (price, size)
        )

    def levels(self, name: str) -> list[list[Decimal]]:
        return [
            [Decimal(price), sum((Decimal(size) for _, size in self.queue(name, price)), Decimal(0))]
            for price in self.prices(name)
        ]


async def book_text(socket: Any) -> str:
    """The next message of the channel, as text."""
    while True:
        message = await socket.receive(timeout=20)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        if message.data.startswith('{"channel":"level3"'):
            return str(message.data)


async def token(kraken: KrakenExchange) -> str:
    return str((await kraken.private("GetWebSocketsToken"))["token"])


async def subscribed(kraken: KrakenExchange, socket: Any, book: OrderBook, **params: Any) -> None:
    params = {"channel": "level3", "symbol": ["BTC/USDT"], "token": await token(kraken), **params}
    await kraken.say(socket, "subscribe", 1, **params)
    assert (await kraken.next(socket, method="subscribe"))["success"] is True
    assert book.take(await book_text(socket))


@pytest.mark.parametrize("depth", [10, 100, 1000])
async def test_a_listener_who_cuts_has_every_checksum_right(kraken: KrakenExchange, depth: int) -> None:
    book = OrderBook(depth)
    async with kraken.level3_feed() as socket:
        await subscribed(kraken, socket, book, depth=depth)
        await kraken.admin.resume()
        for _ in range(20):
            kraken.advance(100)
        await kraken.admin.pause(wait_s=5)
        truth = await kraken.admin.book("BTCUSDT")
        wanted = {side: [[Decimal(p), Decimal(s)] for p, s in truth[side][:depth]] for side in ("bids", "asks")}
        updates = 0
        while {side: book.levels(side) for side in wanted} != wanted:
            assert book.take(await book_text(socket))
            updates += 1
        assert updates > 20


async def test_a_listener_who_does_not_cut_is_found_out(kraken: KrakenExchange) -> None:
    careless = OrderBook(10, cuts=False)
    async with kraken.level3_feed() as socket:
        await subscribed(kraken, socket, careless)
        await kraken.admin.resume()
        right = True
        while right:
            kraken.advance(100)
            try:
                right = careless.take(await book_text(socket))
            except AssertionError:  # an order of a level that returns is there already
                right = False


async def test_an_order_keeps_its_place_when_it_shrinks_and_loses_it_when_it_grows(kraken: KrakenExchange) -> None:
    book = OrderBook(10)
    async with kraken.level3_feed() as socket:
        await subscribed(kraken, socket, book)
        price = book.prices("bids")[0]
        before = book.queue("bids", price)
        placed = []
        for size in ("0.5", "0.4"):
            order = {"ordertype": "limit", "type": "buy", "volume": size, "price": price, "pair": "XBTUSDT"}
            placed.append((await kraken.private("AddOrder", **order))["txid"][0])
        for amend, queue in (
            ({}, [(placed[0], "0.5"), (placed[1], "0.4")]),
            ({"txid": placed[0], "order_qty": "0.3"}, [(placed[0], "0.3"), (placed[1], "0.4")]),
            ({"txid": placed[0], "order_qty": "0.6"}, [(placed[1], "0.4"), (placed[0], "0.6")]),
        ):
            if amend:
                assert "amend_id" in await kraken.private("AmendOrder", **amend)
            kraken.advance(10)
            assert book.take(await book_text(socket))
            found = [(order, Decimal(size)) for order, size in book.queue("bids", price)]
            assert found == [(order, Decimal(size)) for order, size in [*before, *queue]]


async def test_a_token_opens_the_channel_and_keeps_as_long_as_it_lasts(kraken: KrakenExchange) -> None:
    book = OrderBook(10)
    given = await token(kraken)
    async with kraken.level3_feed() as socket:
        for wrong, error in (({}, "ESession:Invalid session"), ({"token": "x"}, "ESession:Invalid session")):
            await kraken.say(socket, "subscribe", 1, channel="level3", symbol=["BTC/USDT"], **wrong)
            assert (await kraken.next(socket, method="subscribe"))["error"] == error
        await subscribed(kraken, socket, book, token=given)
        kraken.desk.limits.token_s = 0.0
        kraken.advance(10)
        await kraken.say(socket, "subscribe", 2, channel="level3", symbol=["ETH/USDT"], token=given)
        assert (await kraken.next(socket, method="subscribe"))["success"] is True
        for name in ("BTC/USDT", "ETH/USDT"):
            await kraken.say(socket, "unsubscribe", 3, channel="level3", symbol=[name], token=given)
            assert (await kraken.next(socket, method="unsubscribe"))["success"] is True
        assert not kraken.venue.engine.markets["BTCUSDT"].order_watchers
        await kraken.say(socket, "subscribe", 4, channel="level3", symbol=["BTC/USDT"], token=given)
        assert (await kraken.next(socket, method="subscribe"))["error"] == "EAPI:Invalid token"


async def test_each_channel_has_its_endpoint_and_each_pair_one_depth(kraken: KrakenExchange) -> None:
    given = await token(kraken)
    async with kraken.feed() as public, kraken.private_feed() as private, kraken.level3_feed() as level3:
        for socket, channel, host in (
            (public, "level3", "ws-auth.kraken.com"),
            (private, "level3", "ws-auth.kraken.com"),
            (level3, "book", "ws.kraken.com"),
            (level3, "instrument", "ws.kraken.com"),
        ):
            await kraken.say(socket, "subscribe", 1, channel=channel, symbol=["BTC/USDT"], token=given)
            assert str((await kraken.next(socket, method="subscribe"))["error"]).endswith(host)
        for depth, error in ((25, "Subscription depth not supported"), (10, None), (100, "Already subscribed")):
            params = {"channel": "level3", "symbol": ["BTC/USDT"], "depth": depth, "token": given}
            await kraken.say(level3, "subscribe", 2, **params)
            assert (await kraken.next(level3, method="subscribe")).get("error") == error


async def test_a_lost_message_shows_in_the_checksum(kraken: KrakenExchange) -> None:
    """The fault `skip` leaves one message out."""
    book = OrderBook(10)
    async with kraken.level3_feed() as socket:
        await subscribed(kraken, socket, book)
        best = Decimal(book.prices("bids")[0])
        await kraken.admin.fault(kind="skip", protocol="kraken", symbol="BTCUSDT", count=1)
        for size in ("0.1", "0.2"):
            await kraken.admin.order("BTCUSDT", "BUY", price=str(best), quantity=size)
            kraken.advance(10)
        assert not book.take(await book_text(socket))


async def test_a_client_who_is_gone_is_forgotten(kraken: KrakenExchange) -> None:
    market = kraken.venue.engine.markets["BTCUSDT"]
    async with kraken.level3_feed() as socket:
        await subscribed(kraken, socket, OrderBook(10))
        assert len(market.order_watchers) == 1
    await kraken.eventually(lambda: not market.order_watchers)
