"""HTX spot market data: bytes to events, intents to requests.

Changes of books (`mbp`) have a separate socket, on which their books are requested; trades come over another one.
With the option book = "depth.step0" whole books come over the socket of trades.

Source: as in `spec.py`; the sections are named where they are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from ...model.candle import Candle, shortest_ns
from ...model.events import (
    DepthDelta,
    DepthSnapshot,
    Ignored,
    MarketEvent,
    PublicTrade,
    Say,
    Side,
    Subscribed,
    SubscribeRefused,
)
from ...model.http import HttpRequest, HttpResponse
from ...model.instrument import TRADING, Instrument, scale_for
from ...model.time import MILLISECOND_NS
from ..candles import candle, ceiling, closed_by, in_order
from ..listing import Listing, listing
from ..market import MarketData, day_ticker, requests, whole_book
from ..market_codec import Expected, Outgoing, Scanner, SnapshotKey
from ..reading import (
    expanded,
    exponent_number,
    first_of,
    integer,
    mapping,
    milliseconds,
    readable,
    reading,
    request_key,
    rows,
    seconds,
    text,
)
from ..sequence import Numbers, Verdict, by_chain, by_connection
from ..spec import BookFeed, BookSource, ExchangeSpec, Proof
from .numbers import levels, size_raw
from .refusals import FAILURES, code_of
from .scanner import BookScanner
from .spec import AHEAD, ASKED_COST, BOOK, BOOKS, CANDLES, LEVELS, MARKET, MOST_CANDLES, WHOLE

SIDES = {"buy": Side.BUY, "sell": Side.SELL}
STATES = {"online": TRADING}  # rest, /v1/settings/common/market-symbols; any other state keeps the exchange's word
DEPTHS = (5, 10, 20)  # rest, /market/depth: the answer to any other number of levels has 150
# rest, /market/tickers, in the order of `day_ticker`
DAY = ("amount", "vol", "bid", "ask", "close", "open", "high", "low")
PRICES = ("open", "high", "low", "close")
# Our figure: no level holds more than 20 of the largest orders. Scales keep room for a thousand times the given size.
LARGEST_LEVEL = Decimal(20) / 1000
SIZE_DECIMALS = 13  # as recorded; where int64 holds fewer, sizes are rounded


class HtxCodec(MarketData):
    """Market data of an exchange with HTX's protocol. Raises Misconfigured: an option does not allow its value."""

    failures = FAILURES

    def __init__(self, spec: ExchangeSpec, rest: str | None, ws: str | None, book: str = BOOK.default) -> None:
        self._topic = BOOK.checked(book)
        if book == WHOLE:
            feed, streams = BookFeed(BookSource.EVERY_FRAME, Proof.CONNECTION, window=LEVELS), 2
        else:
            feed, streams = replace(spec.book, window=int(book.partition(".")[2])), 1
        super().__init__(replace(spec, book=feed, streams_per_instrument=streams), rest, ws)

    # Requests

    def ws_url(self) -> str:
        return f"{self._ws}{MARKET if self._topic == WHOLE else BOOKS}"

    def trades_url(self) -> str | None:
        return None if self._topic == WHOLE else f"{self._ws}{MARKET}"

    def candle_url(self) -> str:
        return f"{self._ws}{MARKET}"

    def subscribe(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        return self._book_messages("sub", instruments, request_id)

    def unsubscribe(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        return self._book_messages("unsub", instruments, request_id)

    def _book_messages(self, op: str, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        sent = _messages(op, self._topic, instruments, request_id)
        return (
            [*sent, *_messages(op, "trade.detail", instruments, request_id + len(sent))]
            if self._topic == WHOLE
            else sent
        )

    def subscribe_trades(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        return _messages("sub", "trade.detail", instruments, request_id)

    def unsubscribe_trades(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        return _messages("unsub", "trade.detail", instruments, request_id)

    def candle_message(self, op: str, interval: str, instruments: Sequence[Instrument], request_id: int) -> Outgoing:
        """Source: ws, kline.$period."""
        (message,) = _messages(
            op.removesuffix("scribe"), f"kline.{CANDLES.intervals[interval]}", instruments, request_id
        )
        return message

    def book_request(self, instrument: Instrument, request_id: int) -> Outgoing:
        """Source: ws, mbp.$levels and Pull Data."""
        asked = {"req": f"market.{instrument.symbol}.{self._topic}", "id": str(request_id)}
        return Outgoing(orjson.dumps(asked), cost=ASKED_COST, answer=str(request_id))

    def snapshot_request(self, instrument: Instrument, limit: int) -> HttpRequest:
        """Source: rest, /market/depth."""
        depth = (("depth", str(limit)),) if limit in DEPTHS else ()
        return self._request("snapshot", ("symbol", instrument.symbol), *depth, ("type", "step0"))

    def candles_request(
        self, instrument: Instrument, interval: str, start_ns: int, end_ns: int, now_ns: int
    ) -> HttpRequest:
        """Request the newest candles back to `start_ns`: a request states no time (rest, /market/history/kline). Some
        more are requested, because the exchange's clock may be ahead of ours."""
        since_ns = ceiling(start_ns, MILLISECOND_NS) * MILLISECOND_NS
        back = ceiling(max(now_ns - since_ns, 0), shortest_ns(interval)) + AHEAD
        which = (("symbol", instrument.symbol), ("period", CANDLES.intervals[interval]))
        return self._request("candles", *which, ("size", str(min(back, MOST_CANDLES))))

    def recognise(self, url: str) -> SnapshotKey | str | None:
        parts = urlsplit(url)
        name = super().recognise(url)
        if not isinstance(name, SnapshotKey):
            return name
        depth = parse_qs(parts.query).get("depth", [""])[0]
        return SnapshotKey(name.symbol, int(depth) if depth in map(str, DEPTHS) else LEVELS)

    # Answers over REST

    def instruments(self, body: bytes) -> Listing:
        """Source: rest, /v1/settings/common/market-symbols. Lists of the older /v1/common/symbols have longer names."""
        with reading("a list of symbols", body, exact=True) as read:
            return listing(rows(_ok(read)["data"]), self._instrument)

    def _instrument(self, row: dict[str, Any]) -> Instrument:
        tick = Decimal(1).scaleb(-_places(first_of(row, "pp", "price-precision")))
        step = Decimal(1).scaleb(-_places(first_of(row, "ap", "amount-precision")))
        largest = _positive(row, "lomaxoa", "limit-order-max-order-amt", "maxoa", "max-order-amt")
        base, quote = (text(first_of(row, *names)) for names in (("bc", "base-currency"), ("qc", "quote-currency")))
        state, api = text(row["state"]), text(first_of(row, "at", "api-trading"))
        room = None if largest is None else largest * LARGEST_LEVEL
        return Instrument(
            exchange=self.spec.exchange,
            name=f"{base.upper()}-{quote.upper()}",
            symbol=text(row["symbol"]),
            base=base.upper(),
            quote=quote.upper(),
            price_scale=scale_for(self.spec.wire_decimals, tick, None),
            size_scale=scale_for(SIZE_DECIMALS, step, room),
            status=STATES.get(state, state) if api == "enabled" else f"api trading {api}",
            price_increment=tick,
            size_increment=step,
            min_size=_positive(row, "lominoa", "limit-order-min-order-amt", "minoa", "min-order-amt"),
            max_size=largest,
            min_notional=_positive(row, "minov", "min-order-value"),
            market_min_size=_positive(row, "smminoa", "sell-market-min-order-amt"),
            market_max_size=_positive(row, "smmaxoa", "sell-market-max-order-amt"),
            features=("quote_amount",),  # private, /v1/order/orders/place: a market buy states its value
        )

    def snapshot(self, instrument: Instrument, body: bytes, limit: int, recv_ns: int) -> DepthSnapshot:
        """Source: rest, /market/depth."""
        with reading("an order book", body, exact=True) as read:
            tick = _ok(read)["tick"]
            sides = levels(instrument, rows(tick["bids"])[:limit]), levels(instrument, rows(tick["asks"])[:limit])
            return whole_book(instrument, integer(tick["version"]), sides, limit, recv_ns, milliseconds(tick["ts"]))

    def tickers(self, body: bytes) -> dict[str, Any]:
        """Source: rest, /market/tickers. High and low are of a day in Singapore."""
        with reading("a list of tickers", body, exact=True) as read:
            return readable(rows(_ok(read)["data"]), _ticker)

    def candles(self, instrument: Instrument, interval: str, response: HttpResponse) -> list[Candle]:
        """Source: rest, /market/history/kline. The newest comes first; the answer has the exchange's time."""
        with reading("a list of candles", response.body, exact=True) as read:
            wanted = f"market.{instrument.symbol}.kline.{CANDLES.intervals[interval]}"
            if _ok(read)["ch"] != wanted:
                raise ValueError(f"candles of {read['ch']!r}, not of {wanted}")
            listed = in_order(candle(interval, *_candle(row)) for row in rows(read["data"]))
            return closed_by(listed, milliseconds(read["ts"]))

    def server_time(self, body: bytes) -> int:
        """Source: rest, /v1/common/timestamp."""
        with reading("a server time", body) as read:
            return milliseconds(_ok(read)["data"])

    # Frames of the websocket

    def scanner(self) -> Scanner | None:
        return BookScanner(LEVELS, self.spec.book.is_numbered)

    def decode(self, frame: bytes | memoryview, recv_ns: int) -> Sequence[MarketEvent]:
        with reading("a frame of this exchange", frame, exact=True) as message:
            if "ch" in message:
                return self._pushed(text(message["ch"]), message, recv_ns)
            if "ping" in message:  # ws, Heartbeat and Connection
                return (Say(orjson.dumps({"pong": integer(message["ping"])})),)
            if "rep" in message and message["status"] == "ok":
                return (self._requested(text(message["rep"]), message, recv_ns),)
            return (_answer(message),)

    def symbol_of(self, frame: bytes | memoryview) -> str | None:
        try:
            message = orjson.loads(frame)
            channel = message["ch"] if "ch" in message else message["rep"]
            _, symbol, topic = channel.split(".", 2)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
            return None
        return symbol if topic.startswith(("mbp.", "depth.", "trade.")) and symbol else None

    def _pushed(self, channel: str, message: dict[str, Any], recv_ns: int) -> Sequence[MarketEvent]:
        """Read a message of a topic "market.<symbol>.<topic>"."""
        symbol, _, topic = channel.removeprefix("market.").partition(".")
        instrument = self._bound.get(symbol)
        if instrument is None:
            return (Ignored(topic or channel),)
        if topic.startswith("mbp.") and not topic.startswith("mbp.refresh"):
            return (_delta(instrument, message, recv_ns),)
        if topic == WHOLE:
            return (self._book(instrument, message, recv_ns),)
        if topic == "trade.detail":
            trades = [_trade(instrument, row, recv_ns) for row in rows(message["tick"]["data"])]
            return trades or (Ignored(topic),)
        if topic.startswith("kline."):
            opened, *row = _candle(mapping(message["tick"]))
            return (self._streamed(symbol, topic.removeprefix("kline."), opened, *row),)
        return (Ignored(topic),)

    def _book(self, instrument: Instrument, message: dict[str, Any], recv_ns: int) -> DepthSnapshot:
        """Source: ws, depth.$type."""
        tick = message["tick"]
        sides, version = (levels(instrument, tick["bids"]), levels(instrument, tick["asks"])), integer(tick["version"])
        sequence = version if self.spec.book.is_numbered else 0
        return whole_book(instrument, sequence, sides, LEVELS, recv_ns, milliseconds(tick["ts"]))

    def _requested(self, channel: str, message: dict[str, Any], recv_ns: int) -> MarketEvent:
        """Read the answer to `book_request` (ws, mbp.$levels; its form is that of the older manual)."""
        _, symbol, topic = channel.split(".", 2)
        instrument = self._bound.get(symbol)
        if instrument is None or not topic.startswith("mbp."):
            return Ignored(topic)
        data, most = message["data"], int(topic.partition(".")[2])
        sides = levels(instrument, data["bids"]), levels(instrument, data["asks"])
        ts_event_ns = milliseconds(message["ts"]) if "ts" in message else None
        read = whole_book(instrument, integer(data["seqNum"]), sides, most, recv_ns, ts_event_ns)
        return replace(read, request_id=request_key(message["id"]))

    def classify(self, sequence: int, delta: Numbers, joined: bool) -> Verdict:
        """Source: ws, mbp.$levels: `prevSeqNum` is the number of the previous message."""
        return by_chain(sequence, delta, joined) if self.spec.book.is_numbered else by_connection()


def _messages(op: str, topic: str, instruments: Sequence[Instrument], first_id: int) -> list[Outgoing]:
    """Return one message for each pair: a refusal is about the whole message (ws, Subscribe to Topic)."""

    def frame(number: int, some: Sequence[Instrument]) -> bytes:
        return orjson.dumps({op: f"market.{some[0].symbol}.{topic}", "id": str(number)})

    sent = requests(instruments, 1, first_id, frame)
    return [
        Outgoing(message.frame, tuple(Expected(str(one.key), one.symbols) for one in message.expects if op == "sub"))
        for message in sent
    ]


def _answer(message: dict[str, Any]) -> MarketEvent:
    """Read an answer that confirms or refuses (ws, Subscribe to Topic and Error Code)."""
    key = request_key(message["id"]) if message.get("id") is not None else None
    if text(message["status"]) == "error":
        reason = text(message["err-msg"])
        return SubscribeRefused(key, code_of(text(message["err-code"]), reason), reason)
    if message["status"] != "ok":
        raise ValueError(f"the status {message['status']!r}")
    if "subbed" in message and key is not None:
        return Subscribed(key)
    text(message["unsubbed"])
    return Ignored("unsubbed")


def _delta(instrument: Instrument, message: dict[str, Any], recv_ns: int) -> DepthDelta:
    """Read changes; a side without changes may be missing (ws, mbp.$levels)."""
    tick = message["tick"]
    bids, asks = (levels(instrument, tick.get(side, [])) for side in ("bids", "asks"))
    number, previous = integer(tick["seqNum"]), integer(tick["prevSeqNum"])
    return DepthDelta(instrument.symbol, number, number, bids, asks, milliseconds(message["ts"]), recv_ns, previous)


def _trade(instrument: Instrument, row: dict[str, Any], recv_ns: int) -> PublicTrade:
    """Source: ws, trade.detail. `id` is obsolete; `direction` is the taker's. The newest trade comes first."""
    price, size = instrument.price_raw(exponent_number(row["price"])), size_raw(instrument, row["amount"])
    side, ts_event_ns = SIDES[row["direction"]], milliseconds(row["ts"])
    return PublicTrade(instrument.symbol, integer(row["tradeId"]), price, size, side, ts_event_ns, recv_ns)


def _candle(row: dict[str, Any]) -> tuple[int, list[str], str, str, int]:
    """Read the time of opening, the prices, volume, quote volume and number of trades; nothing states the end."""
    prices = [expanded(row[name]) for name in PRICES]
    return seconds(row["id"]), prices, expanded(row["amount"]), expanded(row["vol"]), integer(row["count"])


def _ticker(row: dict[str, Any]) -> tuple[str, dict[str, str | None]]:
    return text(row["symbol"]), day_ticker({name: expanded(row[name]) for name in DAY}, DAY)


def _places(value: Any) -> int:
    """Read a number of decimals."""
    if integer(value) > 18:
        raise ValueError(f"{value} decimals")
    return int(value)


def _positive(row: dict[str, Any], *names: str) -> Decimal | None:
    """Read the first of `names` that the row states; None: no limit."""
    found = next((row[name] for name in names if row.get(name) is not None), None)
    return None if found is None else Decimal(expanded(found)) or None


def _ok(read: dict[str, Any]) -> dict[str, Any]:
    """Return a successful answer (rest, Response Format)."""
    if read["status"] != "ok":
        raise ValueError(f"the status {read['status']!r}")
    return read
