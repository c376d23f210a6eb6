"""Connectors for exchanges of both styles of order-level feed, and a model exchange for each, as in `styles`.

    book      {"t":"orders","s":symbol,"b":[[id,price,size],...],"a":[...]} and "seq" or "crc"
    change    {"t":"changed","s":symbol,"c":[["add",id,side,price,size],["size",id,size],["gone",id]]}, "seq" or "crc"

In the style "orders by checksum" the book comes in the feed, and readers are kept at the best three levels; in the
style "orders by number" it is requested over REST, and the feed also has changes of orders that never rest.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from tests.fakes.styles import SYMBOL, UNREADABLE, StyledCodec, StyledConnector, connector, integer, text
from venuemesh.connectors.drafts import public
from venuemesh.connectors.sequence import Verdict, by_connection, by_step
from venuemesh.connectors.spec import BookFeed, BookSource, Endpoint, OrderLevelOffer, Proof
from venuemesh.model.errors import DecodeError
from venuemesh.model.events import OrderDelta, OrderSnapshot, Side
from venuemesh.model.http import HttpRequest
from venuemesh.orderbook.checksum import orders_crc32
from venuemesh.orderbook.records import ADD, CHANGE, IF_RESTING, REMOVE

CHECKSUM, NUMBER = "orders by checksum", "orders by number"
FEEDS = {
    CHECKSUM: BookFeed(BookSource.PUSHED, Proof.CHECKSUM, window=3, first_book_s=5.0, compared=None, by_order=True),
    NUMBER: BookFeed(BookSource.REST, Proof.STEP, compared=None, by_order=True),
}
ENDPOINT = Endpoint("GET", "/orders", (("weight", 1),), "invented")


class OrderCodec(StyledCodec):
    """Reads the feed described above."""

    def _events(self, kind: str, message: dict[str, Any], recv_ns: int) -> Sequence[Any]:
        if kind not in ("orders", "changed"):
            return super()._events(kind, message, recv_ns)
        instrument = self._bound.get(text(message["s"]))
        if instrument is None:
            return super()._events("other", message, recv_ns)
        if kind == "orders":
            return (self._orders(instrument, message, recv_ns),)
        number, crc = (integer(message["seq"]), None) if self.spec.book.is_numbered else (0, integer(message["crc"]))
        changes = [self._one(instrument, *row) for row in message["c"]]
        return (OrderDelta(instrument.symbol, number, number, changes, None, recv_ns, None, crc),)

    def _orders(self, instrument: Any, message: dict[str, Any], recv_ns: int) -> OrderSnapshot:
        bids, asks = (
            [
                (text(name), instrument.price_raw(price), instrument.size_raw(size))
                for name, price, size in message[side]
            ]
            for side in ("b", "a")
        )
        is_numbered = self.spec.book.is_numbered
        number, crc = (integer(message["seq"]), None) if is_numbered else (0, integer(message["crc"]))
        window = self.spec.book.window
        whole = [window is None or len({price for _, price, _ in side}) < window for side in (bids, asks)]
        return OrderSnapshot(instrument.symbol, number, bids, asks, *whole, None, recv_ns, None, crc)

    def symbol_of(self, frame: bytes | memoryview) -> str | None:
        try:
            message = orjson.loads(frame)
            return text(message["s"]) if message["t"] in ("orders", "changed") else super().symbol_of(frame)
        except UNREADABLE:
            return None

    def _one(self, instrument: Any, op: str, name: Any, *more: str) -> tuple[Any, ...]:
        text(name)
        match op:
            case "add":
                side, price, size = more
                return (ADD, name, Side(side), instrument.price_raw(price), instrument.size_raw(size))
            case "size":
                return (CHANGE | (IF_RESTING if self.spec.book.is_joined else 0), name, instrument.size_raw(*more))
        return (REMOVE, name)

    def classify(self, sequence: int, delta: Any, joined: bool) -> Verdict:
        return by_step(sequence, delta) if self.spec.book.is_numbered else by_connection()


class ChecksummedOrderCodec(OrderCodec):
    def order_checksum(self, instrument: Any, book: Any) -> int:
        return orders_crc32(book, 10, instrument.price_scale, instrument.size_scale)


class JoinedOrderCodec(OrderCodec):
    def orders_request(self, instrument: Any) -> HttpRequest:
        return public(ENDPOINT, self._rest, f"?symbol={instrument.symbol}", None, ())

    def orders_snapshot(self, instrument: Any, body: bytes, recv_ns: int) -> OrderSnapshot:
        try:
            return self._orders(instrument, orjson.loads(body), recv_ns)
        except UNREADABLE as error:
            raise DecodeError(f"not a book: {error!r}", repr(body[:60])) from error


class OrderLevelStyle(StyledConnector):
    """A connector whose order-level books have this style; its other books come over REST."""

    def order_level_codec(self, rest: str | None = None, ws: str | None = None, ws_l3: str | None = None) -> OrderCodec:
        feed = self.spec.order_level
        assert feed is not None
        kind = ChecksummedOrderCodec if self.style == CHECKSUM else JoinedOrderCodec
        return kind(replace(self.spec, book=feed.book), rest, ws_l3 or ws)


def order_connector(style: str, **feed: Any) -> OrderLevelStyle:
    made = connector("range")
    spec = replace(made.spec, order_level=OrderLevelOffer(replace(FEEDS[style], **feed)))
    return OrderLevelStyle(style, spec, made.codec_class)


class OrderModel:
    """The exchange's side of one book: its orders and its frames, written independently of the codec.

    `orders` maps an id to [side, price, size], oldest first, in units of 10**-8.
    """

    def __init__(self, style: str, sequence: int = 100) -> None:
        self.feed, self.sequence = FEEDS[style], sequence
        self.orders: dict[str, list[Any]] = {}
        self._last = 0
        for side, price in (("buy", 97), ("buy", 98), ("buy", 99), ("sell", 101), ("sell", 102), ("sell", 103)):
            self._enter(side, price, 5)

    def _enter(self, side: str, price: int, size: int) -> str:
        self._last += 1
        self.orders[f"o{self._last}"] = [side, price, size]
        return f"o{self._last}"

    def visible(self) -> dict[str, list[str]]:
        """Return the ids that readers have, by side: best level first, each in the order of its queue."""
        found = {}
        for side in ("buy", "sell"):
            rows = [(name, price) for name, (of, price, _) in self.orders.items() if of == side]
            prices = sorted({price for _, price in rows}, reverse=side == "buy")[: self.feed.window]
            found[side] = [name for wanted in prices for name, price in rows if price == wanted]
        return found

    def rows(self, side: str) -> list[tuple[str, int, int]]:
        return [(name, self.orders[name][1], self.orders[name][2]) for name in self.visible()[side]]

    def crc(self) -> int:
        digits = "".join(f"{price}{size}" for side in ("sell", "buy") for _, price, size in self.rows(side))
        return zlib.crc32(digits.encode())

    @property
    def proof(self) -> dict[str, int]:
        return {"seq": self.sequence} if self.feed.is_numbered else {"crc": self.crc()}

    def book(self) -> bytes:
        sides = (
            [(name, _text(price), _text(size)) for name, price, size in self.rows(side)] for side in ("buy", "sell")
        )
        bids, asks = sides
        return orjson.dumps({"t": "orders", "s": SYMBOL, "b": bids, "a": asks, **self.proof})

    def change(self, op: str, at: int, size: int = 1) -> bytes:
        """Make one change and return its frame: "add" an order at a level, "size" or "gone" one, or "idle"."""
        before = self.visible()
        seen = {name for names in before.values() for name in names}
        self.sequence += 1
        rows: list[tuple[Any, ...]] = []
        names = list(self.orders)
        name = names[at % len(names)]
        if op == "add":
            best = min((price for side, price, _ in self.orders.values() if side == "sell"), default=101)
            side = "buy" if 94 + at % 14 < best else "sell"
            if side == "sell" and any(of == "buy" and price >= 94 + at % 14 for of, price, _ in self.orders.values()):
                side = "buy"
            name = self._enter(side, 94 + at % 14, size)
            if side == "buy" and 94 + at % 14 >= best:
                del self.orders[name]  # it would trade: a change about an order that does not rest
                rows = [("size", "taker", _text(size))] if self.feed.is_joined else []
        elif op == "size":
            self.orders[name][2] = size
            rows = [("size", name, _text(size))] if name in seen else []
        elif op == "gone" and sum(self.orders[other][0] == self.orders[name][0] for other in names) > 1:
            del self.orders[name]
            rows = [("gone", name)] if name in seen else []
        for side, listed in self.visible().items():
            rows += [
                ("add", one, side, _text(self.orders[one][1]), _text(self.orders[one][2]))
                for one in listed
                if one not in seen
            ]
        return orjson.dumps({"t": "changed", "s": SYMBOL, "c": rows, **self.proof})


def _text(units: int) -> str:
    return f"0.{units:08d}"
