"""Bybit spot market data: bytes to events, intents to requests.

Source: bybit-exchange/docs, docs/v5, market/ and websocket/, pages named where they are read, read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from ...model.candle import Candle
from ...model.events import (
    DepthDelta,
    DepthSnapshot,
    Ignored,
    MarketEvent,
    PublicTrade,
    Side,
    Subscribed,
    SubscribeRefused,
)
from ...model.http import HttpResponse
from ...model.instrument import TRADING, Instrument, scale_for
from ..candles import candle, closed_by, in_order
from ..listing import Listing, listing
from ..market import MarketData, day_ticker, in_batches, whole_book
from ..market_codec import Expected, Outgoing, Scanner
from ..reading import (
    decimal,
    digits,
    fixed_rows,
    flag,
    integer,
    levels,
    milliseconds,
    milliseconds_text,
    positive_decimal,
    readable,
    reading,
    rows,
    text,
)
from ..sequence import Numbers, Verdict, by_step
from ..spec import BookFeed, BookSource, ExchangeSpec, Proof
from ..trade_ids import trade_id
from .refusals import FAILURES
from .scanner import BookScanner
from .spec import CANDLES, CATEGORY, DEPTH, PUBLIC

CANDLE_FIELDS = 7  # market/kline.mdx
# market/tickers.mdx, in the order of `day_ticker`
DAY = ["volume24h", "turnover24h", "bid1Price", "ask1Price", "lastPrice", "prevPrice24h", "highPrice24h", "lowPrice24h"]
ARGS_PER_REQUEST = 10  # websocket/wss-authentication.mdx, Args limits: spot
RESTARTED = 1  # `u` of a book after a restart of the service, in a message of any type
BOOK, TRADES, CANDLE = "orderbook", "publicTrade", "kline"
SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
STATUSES = {"Trading": TRADING}  # enum.mdx, status; any other state keeps the exchange's word


class BybitCodec(MarketData):
    """Market data of an exchange with Bybit's protocol. Raises Misconfigured: an option does not allow its value."""

    failures = FAILURES
    fixed = dict.fromkeys(("instruments", "snapshot", "tickers", "candles"), (("category", CATEGORY),))
    candle_query = ("symbol", "interval", "start", "end")  # market/kline.mdx; both times included, as in its example
    book_query = ("symbol", "limit", 1)  # market/orderbook.mdx: default of spot

    def __init__(self, spec: ExchangeSpec, rest: str, ws: str, depth: int = DEPTH.default) -> None:
        book = replace(spec.book, window=DEPTH.checked(depth))
        if depth == 1:  # websocket/public/orderbook.mdx: level 1 has snapshots only
            book = BookFeed(BookSource.EVERY_FRAME, Proof.CONNECTION, window=depth)
        super().__init__(replace(spec, book=book), rest, ws)
        self._depth = depth

    # Requests

    def ws_url(self) -> str:
        return f"{self._ws}{PUBLIC}"

    def subscribe(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        return self._requests("subscribe", instruments, request_id)

    def unsubscribe(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        return self._requests("unsubscribe", instruments, request_id)

    def _requests(self, op: str, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        parts = in_batches(instruments, ARGS_PER_REQUEST // 2, request_id)
        return [
            _request(op, number, [topic for one in some for topic in self._topics(one)], symbols)
            for number, some, symbols in parts
        ]

    def candle_message(self, op: str, interval: str, instruments: Sequence[Instrument], request_id: int) -> Outgoing:
        """Source: websocket/public/kline.mdx, read 2026-11-27."""
        symbols = tuple(one.symbol for one in instruments)
        topics = [f"{CANDLE}.{CANDLES.intervals[interval]}.{symbol}" for symbol in symbols]
        return _request(op, request_id, topics, symbols)

    def _topics(self, instrument: Instrument) -> tuple[str, str]:
        return f"{BOOK}.{self._depth}.{instrument.symbol}", f"{TRADES}.{instrument.symbol}"

    # Answers over REST

    def instruments(self, body: bytes) -> Listing:
        """Source: market/instrument.mdx. Spot lists pairs that trade, all on one page."""
        with reading("a list of instruments", body) as read:
            result = _result(read)
            if result.get("nextPageCursor"):
                raise ValueError("one page of several")
            return listing(rows(result["list"]), self._instrument)

    def _instrument(self, listed: dict[str, Any]) -> Instrument:
        """`minOrderQty` and `maxOrderAmt` are deprecated: "no longer check"; `maxOrderQty` is read where its successors
        are missing."""
        sizes = listed["lotSizeFilter"]
        tick = decimal(listed["priceFilter"]["tickSize"])
        step = decimal(sizes["basePrecision"])
        max_size = positive_decimal(sizes, "maxLimitOrderQty", "maxOrderQty")
        status = text(listed["status"])
        return Instrument(
            exchange=self.spec.exchange,
            name=f"{text(listed['baseCoin'])}-{text(listed['quoteCoin'])}",
            symbol=text(listed["symbol"]),
            base=listed["baseCoin"],
            quote=listed["quoteCoin"],
            price_scale=scale_for(self.spec.wire_decimals, tick, None),
            size_scale=scale_for(self.spec.wire_decimals, step, max_size),
            status=STATUSES.get(status, status),
            price_increment=tick or None,
            size_increment=step or None,
            max_size=max_size,
            min_notional=positive_decimal(sizes, "minOrderAmt"),
            market_max_size=positive_decimal(sizes, "maxMarketOrderQty"),
            # order/create-order.mdx, marketUnit, and order/amend-order.mdx: for every spot pair
            features=("quote_amount", "amend"),
        )

    def snapshot(self, instrument: Instrument, body: bytes, limit: int, recv_ns: int) -> DepthSnapshot:
        """Source: market/orderbook.mdx."""
        with reading("an order book", body) as read:
            data = _result(read)
            sides = levels(instrument, data["b"]), levels(instrument, data["a"])
            return whole_book(instrument, integer(data["u"]), sides, limit, recv_ns, milliseconds(data["ts"]))

    def tickers(self, body: bytes) -> dict[str, Any]:
        """Source: market/tickers.mdx. An empty side of the book is empty text."""
        with reading("a list of tickers", body) as read:
            return readable(rows(_result(read)["list"]), lambda row: (text(row["symbol"]), day_ticker(row, DAY)))

    def candles(self, instrument: Instrument, interval: str, response: HttpResponse) -> list[Candle]:
        """Source: market/kline.mdx, read 2026-11-27. The newest comes first. No row says whether its candle has closed;
        the answer has the exchange's time."""
        with reading("a list of candles", response.body) as read:
            result = _result(read)
            if result["symbol"] != instrument.symbol:
                raise ValueError(f"candles of {result['symbol']!r}, not of {instrument.symbol}")
            listed = in_order(
                candle(interval, milliseconds_text(row[0]), row[1:5], row[5], row[6])
                for row in fixed_rows(result["list"], CANDLE_FIELDS)
            )
            return closed_by(listed, milliseconds(read["time"]))

    def server_time(self, body: bytes) -> int:
        """Source: market/time.mdx."""
        with reading("a server time", body) as read:
            return digits(_result(read)["timeNano"])

    # Frames of the websocket

    def scanner(self) -> Scanner | None:
        return BookScanner(self.spec.book.is_numbered)

    def decode(self, frame: bytes | memoryview, recv_ns: int) -> Sequence[MarketEvent]:
        with reading("a frame of this exchange", frame) as message:
            if "topic" not in message:
                return (_answer(message),)
            kind, _, rest = text(message["topic"]).partition(".")
            if kind == BOOK:
                depth, _, symbol = rest.partition(".")
                if symbol in self._bound:
                    return (self._book(self._bound[symbol], int(depth), message, recv_ns),)
            elif kind == TRADES and rest in self._bound:
                read = [self._trade(self._bound[rest], row, recv_ns) for row in rows(message["data"])]
                return read or (Ignored(kind),)
            elif kind == CANDLE:
                interval, _, symbol = rest.partition(".")
                if symbol in self._bound:
                    candles = [self._candle(symbol, interval, row) for row in rows(message["data"])]
                    return candles or (Ignored(kind),)
            return (Ignored(kind),)

    def symbol_of(self, frame: bytes | memoryview) -> str | None:
        try:
            kind, _, rest = orjson.loads(frame)["topic"].partition(".")
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            return None
        if kind == BOOK:
            return str(rest.partition(".")[2]) or None
        return str(rest) or None if kind in (TRADES, "tickers") else None

    def _book(
        self, instrument: Instrument, depth: int, message: dict[str, Any], recv_ns: int
    ) -> DepthSnapshot | DepthDelta:
        """Source: websocket/public/orderbook.mdx. `cts` is the matching engine's time; old messages have `ts` only."""
        data = message["data"]
        kind = text(message["type"])
        if data["s"] != instrument.symbol or kind not in ("snapshot", "delta"):
            raise ValueError(f"a {kind!r} of {data['s']!r} under the topic {message['topic']!r}")
        sides = levels(instrument, data["b"]), levels(instrument, data["a"])
        update, ts_event_ns = integer(data["u"]), milliseconds(message.get("cts", message["ts"]))
        if kind == "delta" and update != RESTARTED:
            return DepthDelta(instrument.symbol, update, update, *sides, ts_event_ns, recv_ns)
        sequence = update if self.spec.book.is_numbered else 0
        return whole_book(instrument, sequence, sides, depth, recv_ns, ts_event_ns)

    def _trade(self, instrument: Instrument, row: dict[str, Any], recv_ns: int) -> PublicTrade:
        """Source: websocket/public/trade.mdx. `S` is the taker's side."""
        if row["s"] != instrument.symbol:
            raise ValueError(f"a trade of {row['s']!r} among those of {instrument.symbol}")
        number, id_text = trade_id(text(row["i"]))
        return PublicTrade(
            instrument.symbol,
            number,
            instrument.price_raw(text(row["p"])),
            instrument.size_raw(text(row["v"])),
            SIDES[row["S"]],
            milliseconds(row["T"]),
            recv_ns,
            id_text=id_text,
        )

    def _candle(self, symbol: str, interval: str, row: dict[str, Any]) -> MarketEvent:
        """Source: websocket/public/kline.mdx. `confirm`: whether the candle has closed."""
        prices = [row[name] for name in ("open", "high", "low", "close")]
        numbers = (prices, row["volume"], row["turnover"], None, flag(row["confirm"]))
        return self._streamed(symbol, interval, milliseconds(row["start"]), *numbers)

    def classify(self, sequence: int, delta: Numbers, joined: bool) -> Verdict:
        """In recordings `u` increases by one with each message of a book; a new snapshot restarts the sequence."""
        return by_step(sequence, delta)


def _request(op: str, number: int, args: list[str], symbols: tuple[str, ...]) -> Outgoing:
    frame = orjson.dumps({"req_id": str(number), "op": op, "args": args})
    return Outgoing(frame, (Expected(str(number), symbols),) if op == "subscribe" else ())


def _result(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a successful answer. Source: guide.mdx, Common response parameters."""
    if integer(answer["retCode"]) != 0:
        raise ValueError(f"retCode {answer['retCode']}")
    result: dict[str, Any] = answer["result"]
    return result


def _answer(message: dict[str, Any]) -> MarketEvent:
    """Read the answer to one of our requests. Source: websocket/wss-authentication.mdx.

    A pong is {"op":"ping","ret_msg":"pong"} on sockets of spot and futures, {"op":"pong"} on the others.
    """
    op = text(message["op"])
    if op in ("ping", "pong"):
        return Ignored("pong")
    if flag(message["success"]):
        return Subscribed(message["req_id"]) if op == "subscribe" and text(message.get("req_id")) else Ignored(op)
    request = message.get("req_id")
    return SubscribeRefused(None if not request else text(request), op, text(message["ret_msg"]))
