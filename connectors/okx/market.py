"""OKX spot market data: bytes to events, intents to requests.

Source: the pages of the manual that are named at each message; `spec.py` says where they are; read 2026-11-27.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

import orjson

from ...model.candle import Candle, shortest_ns
from ...model.events import (
    DepthDelta,
    DepthSnapshot,
    GoingAway,
    Ignored,
    MarketEvent,
    PublicTrade,
    Side,
    Status,
    Subscribed,
    SubscribeRefused,
)
from ...model.fixed import decimals
from ...model.http import HttpRequest, HttpResponse
from ...model.instrument import TRADING, Instrument, scale_for
from ...model.time import MILLISECOND_NS
from ..candles import candle, ceiling, in_order
from ..listing import Listing, listing
from ..market import MarketData, day_ticker, in_batches, whole_book
from ..market_codec import Expected, Outgoing, Scanner
from ..reading import (
    decimal,
    digits,
    fixed_rows,
    integer,
    levels,
    milliseconds_text,
    readable,
    reading,
    rows,
    text,
)
from ..sequence import Numbers, Verdict, by_chain
from ..spec import ExchangeSpec
from ..trade_ids import trade_id
from .refusals import FAILURES
from .scanner import BookScanner
from .spec import CANDLES, DEMO_HEADER, DEPTH, NEW_CANDLES, ONLY_OLD

CANDLE_FIELDS = 9  # trading-market-data-get-candlesticks.md
CANDLE = "candle"  # before the interval in the name of a channel
CONFIRMED = {"0": False, "1": True}  # same: whether a candle is complete
# trading-market-data-get-tickers.md, in the order of `day_ticker`
DAY = ["vol24h", "volCcy24h", "bidPx", "askPx", "last", "open24h", "high24h", "low24h"]
LIVE = "live"  # the only state in which a pair trades without restrictions
LEVEL_FIELDS = 4  # price, size, "0", number of orders
PAIRS_PER_MESSAGE = 100  # overview/websocket/subscribe.md: 64 KB of channels; this is about 10 KB
STATES = {"channel": "instruments", "instType": "SPOT"}
GOING_AWAY = "64008"  # overview/websocket/notification.md
# error/code/websocket.md, 60018: the text names the channel that does not exist
NAMED = re.compile(r"channel:(?P<channel>[\w-]+),\s*instId:(?P<symbol>[\w-]+)", re.ASCII)
Reader = Callable[[Instrument, dict[str, Any], dict[str, Any], int], MarketEvent]


class OkxCodec(MarketData):
    """Market data of an exchange with OKX's protocol."""

    failures = FAILURES
    fixed = dict.fromkeys(("instruments", "tickers"), (("instType", "SPOT"),))
    book_query = ("instId", "sz", 1)  # trading-market-data-get-order-book.md

    def __init__(self, spec: ExchangeSpec, rest: str, ws: str, demo: bool = False) -> None:
        super().__init__(spec, rest, ws)
        self._headers = (DEMO_HEADER,) if demo else ()
        self._readers: dict[str, Reader] = {"books": self._book, "trades": self._trade}

    # Requests

    def ws_url(self) -> str:
        return f"{self._ws}/ws/v5/public"

    def opening(self, request_id: int) -> list[Outgoing]:
        """Subscribe to the states of all instruments."""
        return [_message("subscribe", [STATES], request_id)]

    def subscribe(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        """Subscribe to books and trades of each instrument.

        The exchange confirms each channel separately and repeats the id of the message; a refusal of the whole message
        has only the id.
        """
        parts = in_batches(instruments, PAIRS_PER_MESSAGE, request_id)
        return [_subscription(_channels(batch), key, symbols) for key, batch, symbols in parts]

    def unsubscribe(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        parts = in_batches(instruments, PAIRS_PER_MESSAGE, request_id)
        return [_message("unsubscribe", _channels(batch), key) for key, batch, _ in parts]

    def candle_url(self) -> str:
        return f"{self._ws}/ws/v5/business"

    def candle_message(self, op: str, interval: str, instruments: Sequence[Instrument], request_id: int) -> Outgoing:
        """Source: order/book/trading-market-data-ws-candlesticks-channel.md, read 2026-11-27."""
        channels = _channels(instruments, (f"{CANDLE}{CANDLES.intervals[interval]}",))
        if op == "unsubscribe":
            return _message(op, channels, request_id)
        return _subscription(channels, request_id, tuple(one.symbol for one in instruments))

    def candles_request(
        self, instrument: Instrument, interval: str, start_ns: int, end_ns: int, now_ns: int
    ) -> HttpRequest:
        """Source: order/book/trading-market-data-get-candlesticks.md and -history.md, read 2026-11-27: the candles
        earlier than `after` and later than `before`, both exclusive."""
        first, end = ceiling(start_ns, MILLISECOND_NS), ceiling(end_ns, MILLISECOND_NS)
        is_old = interval in ONLY_OLD or start_ns < now_ns - NEW_CANDLES * shortest_ns(interval)
        window = (("before", str(max(0, first - 1))), ("after", str(end)), ("limit", str(CANDLES.page)))
        bars = ("bar", CANDLES.intervals[interval])
        return self._request("old_candles" if is_old else "candles", ("instId", instrument.symbol), bars, *window)

    # Answers over REST

    def instruments(self, body: bytes) -> Listing:
        """Source: public/data/rest-api-get-instruments.md. A pair that is not listed yet may have only its id and
        state; a pair without base and quote cannot be named and is left out."""
        with reading("a list of instruments", body) as read:
            named = [row for row in _data(read) if not _is_unnamed(row)]
            return listing(named, self._instrument, lambda row: text(row["instId"]))

    def _instrument(self, row: dict[str, Any]) -> Instrument:
        base, quoted, state = text(row["baseCcy"]), text(row["quoteCcy"]), text(row["state"])
        tick, lot, largest = _rule(row["tickSz"]), _rule(row["lotSz"]), _rule(row["maxLmtSz"])
        return Instrument(
            exchange=self.spec.exchange,
            name=f"{base}-{quoted}",
            symbol=text(row["instId"]),
            base=base,
            quote=quoted,
            price_scale=self._scale(tick, None),
            size_scale=self._scale(lot, largest),
            status=TRADING if state == LIVE else state,
            price_increment=tick,
            size_increment=lot,
            min_size=_rule(row["minSz"]),
            max_size=largest,
            aliases=() if row.get("instIdCode") is None else (str(integer(row["instIdCode"])),),
            features=("quote_amount", "amend"),  # trading-trade-post-{place, amend}-order.md: for every spot pair
        )

    def _scale(self, increment: Decimal | None, largest: Decimal | None) -> int:
        wire = self.spec.wire_decimals
        return scale_for(max(wire, decimals(increment)) if increment else wire, increment, largest)

    def snapshot(self, instrument: Instrument, body: bytes, limit: int, recv_ns: int) -> DepthSnapshot:
        """Source: order/book/trading-market-data-get-order-book.md."""
        with reading("an order book", body) as read:
            (book,) = _data(read)
            return _whole_book(instrument, book, limit, recv_ns)

    def tickers(self, body: bytes) -> dict[str, Any]:
        """Source: order/book/trading-market-data-get-tickers.md. A side of the book that is empty is None."""
        with reading("a list of tickers", body) as read:
            return readable(_data(read), lambda row: (text(row["instId"]), day_ticker(row, DAY)))

    def candles(self, instrument: Instrument, interval: str, response: HttpResponse) -> list[Candle]:
        """Source: order/book/trading-market-data-get-candlesticks.md, read 2026-11-27. The newest comes first."""
        with reading("a list of candles", response.body) as read:
            return in_order(candle(interval, *_candle(row)) for row in fixed_rows(_data(read), CANDLE_FIELDS))

    def server_time(self, body: bytes) -> int:
        """Source: public/data/rest-api-get-system-time.md."""
        with reading("a server time", body) as read:
            (row,) = _data(read)
            return _time_ns(row)

    # Frames of the websocket

    def scanner(self) -> Scanner | None:
        return BookScanner(DEPTH)

    def decode(self, frame: bytes | memoryview, recv_ns: int) -> Sequence[MarketEvent]:
        if bytes(frame[:5]) == b"pong":
            return (Ignored("pong"),)
        with reading("a frame of this exchange", frame) as message:
            if "event" in message:
                return _answer(text(message["event"]), message)
            return self._pushed(message, recv_ns)

    def symbol_of(self, frame: bytes | memoryview) -> str | None:
        try:
            message = orjson.loads(frame)
            found = message["arg"]["instId"] if message["arg"]["channel"] in self._readers else None
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return None
        return found if isinstance(found, str) and "event" not in message else None

    def _pushed(self, message: dict[str, Any], recv_ns: int) -> Sequence[MarketEvent]:
        channel = text(message["arg"]["channel"])
        reader = self._readers.get(channel)
        data = rows(message["data"])
        if reader is not None:
            instrument = self._bound.get(text(message["arg"]["instId"]))
            if instrument is not None:
                if not data:
                    raise ValueError("no data")
                return [reader(instrument, message, row, recv_ns) for row in data]
        elif channel.startswith(CANDLE) and text(message["arg"]["instId"]) in self._bound:
            symbol, interval = message["arg"]["instId"], channel.removeprefix(CANDLE)
            return [self._streamed(symbol, interval, *_candle(row)) for row in fixed_rows(data, CANDLE_FIELDS)]
        elif channel == STATES["channel"]:
            states = {text(row["instId"]): text(row["state"]) for row in data}
            statuses = [
                Status(symbol, state == LIVE, state) for symbol, state in states.items() if symbol in self._bound
            ]
            return statuses or (Ignored(channel),)
        return (Ignored(channel),)

    def _book(
        self, instrument: Instrument, message: dict[str, Any], book: dict[str, Any], recv_ns: int
    ) -> DepthSnapshot | DepthDelta:
        """Source: order/book/trading-market-data-ws-order-book-channel.md. `checksum` is always 0 and not read."""
        if message["action"] == "snapshot":
            return _whole_book(instrument, book, DEPTH, recv_ns)
        if message["action"] != "update":
            raise ValueError(f"action {message['action']!r}")
        last = integer(book["seqId"])
        return DepthDelta(
            instrument.symbol,
            last,
            last,
            levels(instrument, book["bids"], LEVEL_FIELDS),
            levels(instrument, book["asks"], LEVEL_FIELDS),
            _time_ns(book),
            recv_ns,
            previous=integer(book["prevSeqId"]),
        )

    def _trade(self, instrument: Instrument, message: dict[str, Any], row: dict[str, Any], recv_ns: int) -> PublicTrade:
        """Read a trade. Fills of one taker at one price come as one trade, with the id of the last fill and their
        `count`.

        Source: order/book/trading-market-data-ws-trades-channel.md.
        """
        number, id_text = trade_id(text(row["tradeId"]))
        return PublicTrade(
            instrument.symbol,
            number,
            instrument.price_raw(text(row["px"])),
            instrument.size_raw(text(row["sz"])),
            Side(text(row["side"])),
            _time_ns(row),
            recv_ns,
            digits(row.get("count", "1")) > 1,
            id_text,
        )

    def classify(self, sequence: int, delta: Numbers, joined: bool) -> Verdict:
        """Compare `prevSeqId` with the `seqId` of the previous message.

        A message without changes repeats the number (15, 15). After maintenance the numbers may restart (15, 3), and
        the book continues from there.

        Source: order/book/trading-market-data-ws-order-book-channel.md, Sequence ID.
        """
        return by_chain(sequence, delta, joined)


def _channels(instruments: Iterable[Instrument], kinds: Sequence[str] = ("books", "trades")) -> list[dict[str, str]]:
    names = dict.fromkeys(one.symbol for one in instruments)
    return [{"channel": channel, "instId": symbol} for symbol in names for channel in kinds]


def _subscription(channels: list[dict[str, str]], key: int, symbols: tuple[str, ...]) -> Outgoing:
    expects = [Expected(f"{each['channel']}:{each['instId']}", (each["instId"],)) for each in channels]
    return _message("subscribe", channels, key, (Expected(key, symbols), *expects))


def _message(op: str, channels: list[dict[str, str]], key: int, expects: tuple[Expected, ...] = ()) -> Outgoing:
    return Outgoing(orjson.dumps({"id": str(key), "op": op, "args": channels}), expects, (("subscriptions", 1),))


def _data(read: Any) -> list[Any]:
    """Return the rows of a REST answer. Source: error/code.md: "0" is success."""
    if read["code"] != "0":
        raise ValueError(f"code {read['code']!r}")
    return rows(read["data"])


def _rule(value: Any) -> Decimal | None:
    """Return a rule of an instrument; None if it is empty or zero."""
    return (decimal(value) or None) if text(value) else None


def _time_ns(row: dict[str, Any]) -> int:
    return milliseconds_text(row["ts"])


def _candle(row: list[Any]) -> tuple[int, list[Any], Any, Any, None, bool]:
    """REST and stream have the same rows; `confirm` comes last."""
    return milliseconds_text(row[0]), row[1:5], row[5], row[7], None, CONFIRMED[row[8]]


def _whole_book(instrument: Instrument, book: dict[str, Any], limit: int, recv_ns: int) -> DepthSnapshot:
    sides = levels(instrument, book["bids"], LEVEL_FIELDS), levels(instrument, book["asks"], LEVEL_FIELDS)
    return whole_book(instrument, integer(book["seqId"]), sides, limit, recv_ns, _time_ns(book))


def _answer(event: str, message: dict[str, Any]) -> Sequence[MarketEvent]:
    """Source: overview/websocket/subscribe.md and notification.md."""
    key = message.get("id")
    if event == "subscribe":
        arg = message["arg"]
        confirmed = Subscribed(f"{text(arg['channel'])}:{text(arg.get('instId', arg.get('instType')))}")
        return (confirmed,) if key is None else (Subscribed(text(key)), confirmed)
    if event == "error":
        code, reason = text(message["code"]), text(message["msg"])
        named = NAMED.search(reason)
        whole = None if key is None else text(key)
        return (SubscribeRefused(f"{named['channel']}:{named['symbol']}" if named else whole, code, reason),)
    if event == "notice" and message["code"] == GOING_AWAY:
        return (GoingAway(None),)
    return (Ignored(event),)


def _is_unnamed(row: Any) -> bool:
    return isinstance(row, dict) and (row.get("baseCcy") == "" or row.get("quoteCcy") == "")
