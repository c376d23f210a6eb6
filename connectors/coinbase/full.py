"""Coinbase Exchange's order-level books: the channel `full`, joined to all orders of a book over REST.

Each message of a product has the next number, also one about an order that never rests. `match` takes its size from the
maker's order and is also the public trade. A subscription is signed by an account; the book over REST needs no key.

The manual does not state the order of a price's orders in the book over REST: they are read as a queue, first the
oldest. An order that is modified at its price keeps its place only if it became smaller.

Source: as in `spec.py`: ws, Full Channel; rest, Get product book.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...model.errors import Misconfigured
from ...model.events import Ignored, MarketEvent, OrderChange, OrderDelta, OrderSnapshot, RestingOrder
from ...model.http import HttpRequest
from ...model.instrument import Instrument
from ...orderbook.records import ADD, CHANGE, IF_RESTING, MATCH, REMOVE, REPLACE
from ..market_codec import Scanner
from ..reading import fixed_rows, integer, reading, rfc3339, text
from ..sequence import Numbers, Verdict, by_step
from ..spec import ExchangeSpec
from .market import HEARTBEAT, SIDES, CoinbaseCodec, trade

FULL = "full"


class CoinbaseOrderLevelCodec(CoinbaseCodec):
    """Order-level books of an exchange with Coinbase Exchange's protocol. Raises Misconfigured: there are none."""

    channels = (FULL, HEARTBEAT)

    def __init__(self, spec: ExchangeSpec, rest: str | None, ws: str | None) -> None:
        if spec.order_level is None:
            raise Misconfigured("books", f"{spec.exchange} has no order-level books")
        own = replace(spec, book=spec.order_level.book, streams_per_instrument=len(self.channels))
        super().__init__(own, rest, ws)

    def use_access(self, access: Mapping[str, str]) -> None:
        self._access = access

    def orders_request(self, instrument: Instrument) -> HttpRequest:
        return self._of_product("snapshot", instrument, ("level", "3"))

    # Answers and frames

    def orders_snapshot(self, instrument: Instrument, body: bytes, recv_ns: int) -> OrderSnapshot:
        with reading("all orders of a book", body) as read:
            bids, asks = ([_resting(instrument, row) for row in fixed_rows(read[side], 3)] for side in ("bids", "asks"))
            ts_event_ns = rfc3339(read["time"]) if "time" in read else None
            sequence = integer(read["sequence"])
            return OrderSnapshot(instrument.symbol, sequence, bids, asks, True, True, ts_event_ns, recv_ns)

    def scanner(self) -> Scanner | None:
        return None

    def decode(self, frame: bytes | memoryview, recv_ns: int) -> Sequence[MarketEvent]:
        with reading("a frame of this exchange", frame) as message:
            change = CHANGES.get(text(message["type"]))
            if change is None:
                return super().decode(frame, recv_ns)
            instrument = self._bound.get(text(message["product_id"]))
            if instrument is None:
                return (Ignored(message["type"]),)
            number = integer(message["sequence"])
            changes = change(instrument, message)
            time_ns = rfc3339(message["time"])
            delta = OrderDelta(instrument.symbol, number, number, changes, time_ns, recv_ns)
            return (delta, trade(instrument, message, recv_ns)) if message["type"] == "match" else (delta,)

    def classify(self, sequence: int, delta: Numbers, joined: bool) -> Verdict:
        """Source: ws, Sequence Numbers."""
        return by_step(sequence, delta)


def _resting(instrument: Instrument, row: list[Any]) -> RestingOrder:
    price, size, order_id = row
    return text(order_id), _price(instrument, price), _size(instrument, size)


def _price(instrument: Instrument, value: Any) -> int:
    return _positive(instrument.price_raw(text(value)), value)


def _size(instrument: Instrument, value: Any) -> int:
    return _positive(instrument.size_raw(text(value)), value)


def _positive(raw: int, value: Any) -> int:
    if raw <= 0:
        raise ValueError(f"{value!r} is no price or size of an order")
    return raw


def _received(instrument: Instrument, message: dict[str, Any]) -> list[OrderChange]:
    """The engine has taken an order, which does not rest yet."""
    text(message["order_id"])
    return []


def _open(instrument: Instrument, message: dict[str, Any]) -> list[OrderChange]:
    price, size = _price(instrument, message["price"]), _size(instrument, message["remaining_size"])
    return [(ADD, text(message["order_id"]), SIDES[message["side"]], price, size, rfc3339(message["time"]))]


def _match(instrument: Instrument, message: dict[str, Any]) -> list[OrderChange]:
    return [(MATCH, text(message["maker_order_id"]), _size(instrument, message["size"]))]


def _done(instrument: Instrument, message: dict[str, Any]) -> list[OrderChange]:
    return [(REMOVE, text(message["order_id"]))]


def _change(instrument: Instrument, message: dict[str, Any]) -> list[OrderChange]:
    """Read a new size, or another price; orders that do not rest yet are named, too."""
    order_id = text(message["order_id"])
    if message.get("new_size") is None:
        return []  # of a market order by funds
    size = instrument.size_raw(text(message["new_size"]))
    if message.get("new_price") is None:
        return [(CHANGE | IF_RESTING, order_id, size)]
    old, new = (_price(instrument, message[name]) for name in ("old_price", "new_price"))
    if old == new and size <= instrument.size_raw(text(message["old_size"])):
        return [(CHANGE | IF_RESTING, order_id, size)]
    return [(REPLACE | IF_RESTING, order_id, new, size, rfc3339(message["time"]))]


CHANGES: dict[str, Callable[[Instrument, dict[str, Any]], list[OrderChange]]] = {
    "received": _received,
    "open": _open,
    "match": _match,
    "done": _done,
    "change": _change,
}
