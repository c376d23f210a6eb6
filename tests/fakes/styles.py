"""Connectors for exchanges of every style of book feed, and samples of a model exchange for each style.

The wire format is invented: JSON with `t` for the kind. REST answers are Binance's, because only the feed differs.

    book      {"t":"book","s":symbol,"b":[[price,size],...],"a":[...]} and "seq", "crc", "id" as the style has them
    delta     {"t":"delta",...} and, by the proof: "first" and "seq", "prev" and "seq", "seq", "crc", or nothing
    trade     {"t":"trade","s":symbol,"id":text,"p":price,"q":size,"side":"buy"}
    answers   {"t":"ok","key":key}, {"t":"no","key":key,"code":code,"why":text}
    others {"t":"ping","n":n}, expects {"pong":n}; {"t":"state","s":symbol,"state":"halt"}; {"t":"lost","s":symbol};
              {"t":"bye"}; anything else is ignored, and so is the text "pong"
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from venuemesh.connectors.binance.market import BinanceCodec
from venuemesh.connectors.binance.samples import SAMPLES
from venuemesh.connectors.binance.spec import SPEC
from venuemesh.connectors.market_codec import Expected, Outgoing
from venuemesh.connectors.reading import levels
from venuemesh.connectors.samples import MarketDataSamples, RefusalSample, TradeSample
from venuemesh.connectors.sequence import Verdict, by_chain, by_connection, by_range, by_step
from venuemesh.connectors.spec import BookFeed, BookSource, ExchangeSpec, KeepAlive, Proof
from venuemesh.connectors.trade_ids import trade_id
from venuemesh.model.errors import DataError, DecodeError
from venuemesh.model.events import (
    DepthDelta,
    DepthSnapshot,
    GoingAway,
    Ignored,
    Lost,
    PublicTrade,
    Say,
    Side,
    Status,
    Subscribed,
    SubscribeRefused,
)
from venuemesh.model.fixed import to_raw, to_text
from venuemesh.orderbook.checksum import crc32

SYMBOL, PAIR = "BNBBTC", "BNB-BTC"
FEEDS = {
    "range": BookFeed(),
    "chain": BookFeed(BookSource.PUSHED, Proof.CHAIN, window=4),
    "checksum": BookFeed(BookSource.PUSHED, Proof.CHECKSUM, window=3, first_book_s=5.0),
    "step": BookFeed(BookSource.PUSHED, Proof.STEP, window=4),
    "connection": BookFeed(BookSource.PUSHED, Proof.CONNECTION),
    "requested": BookFeed(BookSource.REQUESTED, Proof.CHAIN),
    "every frame": BookFeed(BookSource.EVERY_FRAME, Proof.CONNECTION),
}
UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, DataError)


def integer(value: Any) -> int:
    if type(value) is not int or not -(2**63) < value < 2**63:
        raise TypeError(f"{value!r} is not an integer")
    return value


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


class StyledCodec(BinanceCodec):
    """Reads the feed described above, by the spec's book feed."""

    def scanner(self) -> None:
        return None

    def _stream_requests(self, method: str, instruments: Sequence[Any], request_id: int) -> list[Outgoing]:
        """Return one message for all pairs; each pair is confirmed separately, for its book and for its trades."""
        op = method.lower()
        keys = [(f"{kind}:{one.symbol}", one.symbol) for one in instruments for kind in ("book", "trade")]
        frame = orjson.dumps({"op": op, "channels": [key for key, _ in keys]})
        return [Outgoing(frame, tuple(Expected(key, (symbol,)) for key, symbol in keys), (("subscriptions", 1),))]

    def decode(self, frame: bytes | memoryview, recv_ns: int) -> Sequence[Any]:
        if bytes(frame) == b"pong":
            return (Ignored("pong"),)
        try:
            message = orjson.loads(frame)
            if "e" in message:
                return super().decode(frame, recv_ns)  # candles, as Binance streams them
            return self._events(text(message["t"]), message, recv_ns)
        except UNREADABLE as error:
            raise DecodeError(f"not a frame: {error!r}", repr(bytes(frame[:60]))) from error

    def symbol_of(self, frame: bytes | memoryview) -> str | None:
        try:
            message = orjson.loads(frame)
            return text(message["s"]) if message["t"] in ("book", "delta", "trade") else None
        except UNREADABLE:
            return None

    def _events(self, kind: str, message: dict[str, Any], recv_ns: int) -> Sequence[Any]:
        if kind in ("book", "delta", "trade", "state", "lost"):
            instrument = self._bound.get(text(message["s"]))
            if instrument is None:
                return (Ignored(kind),)
        match kind:
            case "book":
                return (self._book(instrument, message, recv_ns),)
            case "delta":
                return (self._change(instrument, message, recv_ns),)
            case "trade":
                number, id_text = trade_id(text(message["id"]))
                price, size = instrument.price_raw(text(message["p"])), instrument.size_raw(text(message["q"]))
                side = Side(message["side"])
                return (PublicTrade(instrument.symbol, number, price, size, side, None, recv_ns, id_text=id_text),)
            case "ok":
                return (Subscribed(text(message["key"])),)
            case "no":
                return (SubscribeRefused(text(message["key"]), text(message["code"]), text(message["why"])),)
            case "ping":
                return (Say(orjson.dumps({"pong": integer(message["n"])})),)
            case "state":
                return (Status(instrument.symbol, message["state"] == "open", text(message["state"])),)
            case "lost":
                return (Lost(instrument.symbol, "the exchange dropped messages"),)
            case "bye":
                return (GoingAway(None),)
        return (Ignored(kind),)

    def _numbers(self, message: dict[str, Any]) -> dict[str, Any]:
        match self.spec.book.proof:
            case Proof.RANGE:
                return {"first": integer(message["first"]), "last": integer(message["seq"])}
            case Proof.CHAIN:
                last, previous = integer(message["seq"]), integer(message["prev"])
                return {"first": last, "last": last, "previous": previous}
            case Proof.STEP:
                return {"first": integer(message["seq"]), "last": integer(message["seq"])}
            case Proof.CHECKSUM:
                return {"first": 0, "last": 0, "checksum": integer(message["crc"])}
        return {"first": 0, "last": 0}

    def _change(self, instrument: Any, message: dict[str, Any], recv_ns: int) -> DepthDelta:
        bids, asks = levels(instrument, message["b"]), levels(instrument, message["a"])
        return DepthDelta(
            instrument.symbol, bids=bids, asks=asks, ts_event_ns=None, ts_recv_ns=recv_ns, **self._numbers(message)
        )

    def _book(self, instrument: Any, message: dict[str, Any], recv_ns: int) -> DepthSnapshot:
        feed = self.spec.book
        bids, asks = levels(instrument, message["b"]), levels(instrument, message["a"])
        whole = [feed.window is None or len(side) < feed.window for side in (bids, asks)]
        return DepthSnapshot(
            instrument.symbol,
            integer(message["seq"]) if feed.is_numbered else 0,
            bids,
            asks,
            whole[0],
            whole[1],
            None,
            recv_ns,
            None if message.get("id") is None else integer(message["id"]),
            integer(message["crc"]) if feed.proof is Proof.CHECKSUM else None,
        )

    def classify(self, sequence: int, delta: Any, joined: bool) -> Verdict:
        match self.spec.book.proof:
            case Proof.RANGE:
                return by_range(sequence, delta)
            case Proof.CHAIN:
                return by_chain(sequence, delta, joined)
            case Proof.STEP:
                return by_step(sequence, delta)
        return by_connection()


class ChecksummedCodec(StyledCodec):
    """The checksum over the best ten levels a side, with all decimals."""

    def checksum(self, instrument: Any, book: Any) -> int:
        return crc32(book, 10, instrument.price_scale, instrument.size_scale)


class RequestedCodec(StyledCodec):
    """Whole books on request over the socket."""

    def book_request(self, instrument: Any, request_id: int) -> Outgoing:
        frame = orjson.dumps({"op": "book", "s": instrument.symbol, "id": request_id})
        return Outgoing(frame, cost=(("subscriptions", 1),))


CODECS: dict[str, type[StyledCodec]] = {"checksum": ChecksummedCodec, "requested": RequestedCodec}


@dataclass(frozen=True)
class StyledConnector:
    """A connector of one style. Wrong connectors replace `codec_class` and `spec`."""

    style: str
    spec: ExchangeSpec
    codec_class: type[StyledCodec]
    name: str = "acme"

    def codec(self, rest: str | None = None, ws: str | None = None) -> StyledCodec:
        return self.codec_class(self.spec, rest, ws)


def connector(style: str, codec_class: type[StyledCodec] | None = None, **feed: Any) -> StyledConnector:
    """A connector of the style; `feed` replaces fields of its book feed, `codec_class` its codec."""
    spec = replace(
        SPEC,
        exchange="acme",
        options=(),
        book=replace(FEEDS[style], **feed),
        keepalive=KeepAlive(b"ping", 15.0),
        gzip=style == "requested",
        limits={**SPEC.limits, "subscriptions": replace(SPEC.limits["messages"], amount=240, per_s=3600.0)},
    )
    return StyledConnector(style, spec, codec_class or CODECS.get(style, StyledCodec))


Row = tuple[str, str]


class Model:
    """The exchange's side of one book: its levels and its frames, written independently of the codec."""

    def __init__(self, style: str, bids: Sequence[Row], asks: Sequence[Row], sequence: int = 100) -> None:
        self.feed = FEEDS[style]
        self.sides: dict[str, dict[int, int]] = {"b": {}, "a": {}}
        self.sequence = sequence
        self._set("b", bids)
        self._set("a", asks)

    def _set(self, name: str, rows: Sequence[Row]) -> None:
        side = self.sides[name]
        for price, size in rows:
            side[to_raw(price, 8)] = to_raw(size, 8)
        kept = [row for row in sorted(side.items(), reverse=name == "b") if row[1]]
        self.sides[name] = dict(kept[: self.feed.window])

    def rows(self, name: str) -> tuple[Row, ...]:
        return tuple((to_text(price, 8), to_text(size, 8)) for price, size in self.sides[name].items())

    def crc(self) -> int:
        digits = "".join(
            number.replace(".", "").lstrip("0") for name in ("a", "b") for row in self.rows(name)[:10] for number in row
        )
        return zlib.crc32(digits.encode())

    def _frame(self, kind: str, bids: Sequence[Row], asks: Sequence[Row], **more: Any) -> bytes:
        if self.feed.proof is Proof.CHECKSUM:
            more["crc"] = self.crc()
        return orjson.dumps({"t": kind, "s": SYMBOL, "b": bids, "a": asks, **more})

    def book(self, **more: Any) -> bytes:
        if self.feed.is_numbered:
            more["seq"] = self.sequence
        return self._frame("book", self.rows("b"), self.rows("a"), **more)

    def change(self, bids: Sequence[Row] = (), asks: Sequence[Row] = (), by: int = 1) -> bytes:
        """Change levels and send the change; the number rises by `by`, or falls if `by` is negative."""
        before, self.sequence = self.sequence, self.sequence + by
        self._set("b", bids)
        self._set("a", asks)
        if self.feed.source is BookSource.EVERY_FRAME:
            return self.book()
        numbers: dict[str, int] = {}
        match self.feed.proof:
            case Proof.RANGE:
                numbers = {"first": before + 1, "seq": self.sequence}
            case Proof.CHAIN:
                numbers = {"prev": before, "seq": self.sequence}
            case Proof.STEP:
                numbers = {"seq": self.sequence}
        return self._frame("delta", bids, asks, **numbers)


BIDS = (("0.0024", "10"), ("0.0023", "5"), ("0.0022", "1.5"))
ASKS = (("0.0026", "100"), ("0.0027", "7.5"), ("0.0028", "2"))


def model(style: str) -> Model:
    return Model(style, BIDS, ASKS)


def story(style: str) -> MarketDataSamples:
    """Return the model's samples of this style; numbers go back if the style allows it, and levels fall out."""
    steps = style == "step"
    venue = model(style)
    rest = style == "range"
    body = {"lastUpdateId": 100, "bids": BIDS, "asks": ASKS}
    snapshot = orjson.dumps(body) if rest else venue.book(**({"id": 7} if style == "requested" else {}))
    deltas = (
        venue.change(bids=[("0.0024", "12")], by=1 if steps else 5),
        venue.change(bids=[("0.00245", "0.123"), ("0.00241", "1")], asks=[("0.0026", "0")]),
        venue.change(asks=[("0.00265", "3"), ("0.00261", "0.5"), ("0.0027", "8")], by=-100 if style == "chain" else 1),
        *([venue.change(by=0)] if style == "chain" else []),
        venue.change(bids=[("0.0024", "0")]),
        venue.change(bids=[("0.00242", "4")], asks=[("0.00262", "2")]),
    )
    bids, asks, sequence = venue.rows("b"), venue.rows("a"), venue.sequence
    venue.change(bids=[("0.00243", "7")])
    gap = venue.change(asks=[("0.0029", "0.25"), ("0.00265", "0")])
    stale = None
    if rest:
        earlier = Model(style, BIDS, ASKS, 97)
        stale = earlier.change(bids=[("0.0024", "9")], by=2)
    elif style == "requested":
        stale = Model(style, BIDS, ASKS, 97).change(bids=[("0.0024", "9")], by=2)
    uuid = "6d1a1a3e-9c1f-4d7e-8f0e-2b9a5d6c7e10"
    trade = {"t": "trade", "s": SYMBOL, "id": uuid, "p": "0.0025", "q": "2", "side": "buy"}
    return replace(
        SAMPLES,
        snapshot=snapshot,
        rest_book=SAMPLES.snapshot,
        deltas=deltas,
        bids=bids,
        asks=asks,
        sequence=sequence,
        stale=stale,
        gap=gap if FEEDS[style].proof is not Proof.CONNECTION else None,
        trades=(TradeSample(orjson.dumps(trade), trade_id(uuid)[0], "0.0025", "2", Side.BUY),),
        acks=((b'{"t":"ok","key":"book:BNBBTC"}', "book:BNBBTC"),),
        refusals=(RefusalSample(b'{"t":"no","key":"trade:BNBBTC","code":"7","why":"no"}', "trade:BNBBTC", "7"),),
        ignored=(b'{"t":"weather"}',),
        pings=((b'{"t":"ping","n":5}', b'{"pong":5}'),),
        closing=(b'{"t":"bye"}',),
    )


def packed(frame: bytes) -> bytes:
    """Return a frame as an exchange with gzip sends it."""
    return gzip.compress(frame, mtime=0)
