"""Kraken's order-level books: the channel `level3`, at a separate host, for accounts.

The host has no other channel, so trades and the states of pairs come over the public websocket. A subscription carries
a token, which the account requests over REST (GetWebSocketsToken). The whole book comes in the channel; a message has
no number, but a CRC-32 of the orders of the best ten levels a side, which also proves the order of each queue.

An order that is modified keeps its place: an amendment that loses it would come as `delete` and `add`. The manual does
not state this; within the best ten levels the checksum proves it.

Source: docs.kraken.com, websocket-v2/level3, guides/spot-ws-l3-v2, guides/spot-l3-data, read 2026-11-28.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...model.errors import Misconfigured
from ...model.events import (
    Ignored,
    MarketEvent,
    OrderChange,
    OrderDelta,
    OrderSnapshot,
    RestingOrder,
    Side,
    SubscribeRefused,
)
from ...model.instrument import Instrument
from ...orderbook.checksum import orders_crc32
from ...orderbook.l3 import L3Book
from ...orderbook.records import ADD, CHANGE, REMOVE
from ..drafts import batches
from ..market_codec import Expected, Outgoing, Scanner
from ..reading import integer, number, rfc3339, rows, text
from ..spec import ExchangeSpec
from .market import CHECKED, KrakenCodec, answer, is_snapshot, key_of, request
from .spec import DEPTH, LEVEL3, LEVEL3_COSTS

CHANNEL = "level3"
SENT_KEPT = 1_000


class KrakenOrderLevelCodec(KrakenCodec):
    """Order-level books of an exchange with Kraken's protocol. Raises Misconfigured: there is no such depth."""

    def __init__(
        self, spec: ExchangeSpec, rest: str | None, ws: str | None, ws_l3: str | None, depth: int = DEPTH.default
    ) -> None:
        offer = spec.order_level
        if offer is None or depth not in LEVEL3_COSTS:
            known = ", ".join(map(str, LEVEL3_COSTS))
            raise Misconfigured("depth", f"{depth} is not a depth of order-level books; it is one of {known}")
        own = replace(spec, book=offer.book, streams_per_instrument=1, max_streams=200)  # websocket-v2/level3
        super().__init__(own, rest, ws_l3 or offer.ws, depth)
        self._trades_ws = (ws or spec.ws).rstrip("/")
        self._token = ""
        self._sent: dict[int, Sequence[str]] = {}  # the pairs of the last messages, by id
        self._readers[CHANNEL] = self._orders
        del self._readers["book"]  # levels, which an order-level book cannot take: not requested, so ignored

    def use_access(self, access: Mapping[str, str]) -> None:
        self._token = access["token"]

    # Requests

    def opening(self, request_id: int) -> list[Outgoing]:
        """This host has no channel `instrument`."""
        return []

    def subscribe(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        return self._order_channels("subscribe", instruments, request_id)

    def unsubscribe(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        return self._order_channels("unsubscribe", instruments, request_id)

    def _order_channels(self, method: str, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        """Return messages that each cost at most the limit of a second; the exchange answers for each pair."""
        cost = LEVEL3_COSTS[self._depth]
        most = self.spec.limits[LEVEL3].amount // cost
        messages: list[Outgoing] = []
        for batch in batches(list(dict.fromkeys(one.symbol for one in instruments)), most):
            key = request_id + len(messages)
            params = {"channel": CHANNEL, "symbol": batch, "depth": self._depth}
            frame, masked = (request(method, key, {**params, "token": token}) for token in (self._token, "***"))
            if method == "unsubscribe":
                messages.append(Outgoing(frame, masked=masked))
                continue
            self._sent[key] = batch
            if len(self._sent) > SENT_KEPT:
                del self._sent[next(iter(self._sent))]
            expects = tuple(Expected(key_of(key, symbol), (symbol,)) for symbol in batch)
            messages.append(Outgoing(frame, expects, ((LEVEL3, cost * len(batch)),), masked))
        return messages

    # Trades, over the public websocket

    def trades_url(self) -> str:
        return self._trades_ws

    def opening_trades(self, request_id: int) -> list[Outgoing]:
        return super().opening(request_id)

    def subscribe_trades(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        return self._channels("subscribe", instruments, request_id, {"trade": {"snapshot": False}})

    def unsubscribe_trades(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        return self._channels("unsubscribe", instruments, request_id, {"trade": {}})

    # Frames

    def _answers(self, message: dict[str, Any]) -> Sequence[MarketEvent]:
        """A refused token refuses a whole message, and the answer names no pair (as in the channel `executions`)."""
        read = answer(message)
        if isinstance(read, SubscribeRefused) and read.key is None and "req_id" in message:
            key = integer(message["req_id"])
            refused = [SubscribeRefused(key_of(key, one), read.code, read.reason) for one in self._sent.get(key, ())]
            return refused or (read,)
        return (read,)

    def scanner(self) -> Scanner | None:
        return None

    def _orders(self, message: dict[str, Any], recv_ns: int) -> Sequence[MarketEvent]:
        (book,) = message["data"]
        is_whole = is_snapshot(message)
        instrument = self._bound.get(text(book["symbol"]))
        if instrument is None:
            return (Ignored(CHANNEL),)
        checksum = integer(book["checksum"])
        time_ns = rfc3339(book["timestamp"]) if "timestamp" in book else None
        if is_whole:
            bids, asks = ([_resting(instrument, row) for row in rows(book[side])] for side in ("bids", "asks"))
            bids_whole, asks_whole = (len({order[1] for order in side}) < self._depth for side in (bids, asks))
            whole = OrderSnapshot(
                instrument.symbol, 0, bids, asks, bids_whole, asks_whole, time_ns, recv_ns, None, checksum
            )
            return (whole,)
        changes = [_change(instrument, side, row) for name, side in SIDES for row in rows(book[name])]
        return (OrderDelta(instrument.symbol, 0, 0, changes, time_ns, recv_ns, None, checksum),)

    def order_checksum(self, instrument: Instrument, book: L3Book) -> int:
        """Source: guides/spot-ws-l3-v2, Checksum Calculation."""
        return orders_crc32(book, CHECKED, instrument.price_scale, instrument.size_scale)


SIDES = (("bids", Side.BUY), ("asks", Side.SELL))


def _resting(instrument: Instrument, row: dict[str, Any]) -> RestingOrder:
    price, size = instrument.price_raw(number(row["limit_price"])), instrument.size_raw(number(row["order_qty"]))
    if not price or not size:
        raise ValueError(f"an order at {price} of {size}")
    return text(row["order_id"]), price, size, rfc3339(row["timestamp"])


def _change(instrument: Instrument, side: Side, row: dict[str, Any]) -> OrderChange:
    match text(row["event"]):
        case "add":
            order_id, *rest = _resting(instrument, row)
            return (ADD, order_id, side, *rest)
        case "modify":
            return CHANGE, text(row["order_id"]), instrument.size_raw(number(row["order_qty"]))
        case "delete":
            return REMOVE, text(row["order_id"])
    raise ValueError(f"event {row['event']!r} is not one of add, modify, delete")
