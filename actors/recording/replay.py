"""Replay recorded frames through the same codec, machine and book as a book role, and return the resulting books.

A recorded snapshot is used when the book needs one and ignored otherwise, because a role would not have requested it.
Recorded connections reach the machine only if the connection alone is the proof; otherwise numbers and checksums show
lost messages, on any connection.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...connectors.gzip_frames import inflate
from ...connectors.market_codec import Codec, SnapshotKey, Verdict
from ...connectors.sequence import Numbers
from ...connectors.settings import ConnectorSettings, OptionValue
from ...connectors.spec import ExchangeSpec, Proof
from ...model.errors import CaptureError, DecodeError, Misconfigured
from ...model.events import DepthSnapshot, Ignored, Levels, MarketEvent, OrderSnapshot, PublicTrade, Side, Ticker
from ...model.fixed import decimals, to_text
from ...model.instrument import Instrument
from ...model.time import SECOND_NS
from ..book.content import make_books
from ..book.effects import Ask
from ..book.events import Closed, Opened
from ..book.ingest import Ingest, NoSink, Pair, Sink
from ..book.machine import BookMachine
from .file import Record, read
from .first_books import FirstBook, first_books, recorded_by_order, unlisted
from .instruments import given_instruments, listed_instruments

TICKERS_PENDING = 4096  # tickers of one instrument that wait for the delta with their id
KEEP_BYTES = 128 << 20  # of deltas of one instrument without a snapshot
BEST = 5


@dataclass(slots=True)
class Tally:
    """Counts of one instrument, in addition to those of its machine."""

    file: str
    diffs: int = 0
    stream_gaps: int = 0
    crossed_after: int = 0
    tickers_with_same_id: int = 0
    tickers_equal_to_book: int = 0
    trades: int = 0
    first_trade: PublicTrade | None = None
    last_trade: PublicTrade | None = None
    first_ns: int = 0
    last_ns: int = 0
    last_seen: int | None = None
    pending: OrderedDict[int, Ticker] = field(default_factory=OrderedDict)


class Replay:
    """One recording of one exchange, fed record by record."""

    def __init__(
        self,
        codec: Codec,
        listed: dict[str, Instrument],
        scales: dict[str, int],
        *,
        fast: bool,
        first: Mapping[str, FirstBook] | None = None,
        sink: Callable[[Instrument], Sink] = lambda _: NoSink(),
    ) -> None:
        """`first` is the result of `first_books`; `sink` is called once for every instrument in the recording."""
        self.codec = codec
        self._sink = sink
        self.ingest = Ingest(codec, self._ask, self._other, lambda: self._now_ns, fast=fast, observer=self)
        self.tallies: dict[str, Tally] = {}
        self.lines: dict[str, int] = {}
        self._listed = listed
        self._first = first or {}
        self._scales = scales  # size scale of instruments that are in no list
        self._now_ns = 0
        self._file = ""
        self._ignored = False

    def feed(self, file: str, record: Record) -> None:
        self._file, self._now_ns = file, record.recv_ns
        self.lines[file] = self.lines.get(file, 0) + 1
        if record.kind == "http":
            key = self.codec.recognise(record.url)
            if isinstance(key, SnapshotKey):
                self._snapshot(key, record)
        elif record.kind == "recv":
            self._frame(record)
        elif record.kind == "connect" and self.codec.spec.book.proof is Proof.CONNECTION:
            for pair in self.ingest.pairs.values():
                self.ingest.on(pair, Closed("the recording continues with another connection"))
                self.ingest.on(pair, Opened())

    def _frame(self, record: Record) -> None:
        frame: bytes | memoryview = record.raw
        if self.codec.spec.gzip:
            try:
                frame = inflate(frame)
            except DecodeError as error:
                self.ingest.unreadable_frame(frame, error)
                return
        self._ignored = False
        self.ingest.frame(frame, record.recv_ns)
        if self._ignored and (symbol := self.codec.symbol_of(frame)) not in (None, *self.ingest.pairs):
            self._pair(str(symbol))
            self.ingest.frame(frame, record.recv_ns)

    def _snapshot(self, key: SnapshotKey, record: Record) -> None:
        pair = self._pair(key.symbol)
        self._saw(pair)
        pair.machine.wants_snapshot(record.recv_ns)
        self.ingest.snapshot(pair, pair.machine.attempt, record.raw, key.limit, record.recv_ns)

    def _pair(self, symbol: str) -> Pair:
        pair = self.ingest.pairs.get(symbol)
        if pair is None:
            feed, instrument = self.codec.spec.book, self.instrument(symbol)
            machine = BookMachine(self.codec.classify, lambda: 0.0, feed=feed, keep_bytes=KEEP_BYTES)
            machine.on(Opened(), self._now_ns)
            book, orders = make_books(replace(feed, window=self._first_book(symbol).window), instrument)
            pair = Pair(instrument, book, machine, self._sink(instrument), orders=orders)
            self.tallies[symbol] = Tally(self._file)
            self.ingest.track([pair])
        return pair

    def _first_book(self, symbol: str) -> FirstBook:
        return self._first.get(symbol) or FirstBook(self.codec.spec.book.window or 0, None)

    def instrument(self, symbol: str) -> Instrument:
        """Return the instrument with which the replay reads a symbol."""
        known = self._listed.get(symbol) or self._first_book(symbol).instrument
        return known or unlisted(self.codec.spec, symbol, self._scales.get(symbol))

    def _ask(self, pair: Pair, effect: Ask) -> None:
        """Use the recording's next snapshot as the answer."""

    def _other(self, event: MarketEvent) -> None:
        self._ignored = isinstance(event, Ignored)
        if isinstance(event, DepthSnapshot | OrderSnapshot):  # the answer to a request over the socket
            pair = self._pair(event.symbol)
            self._saw(pair)
            pair.machine.wants_snapshot(self._now_ns)
            self.ingest.answer(pair, pair.machine.attempt, event)

    # Called by `Ingest` for every frame

    def _saw(self, pair: Pair) -> Tally:
        tally = self.tallies[pair.instrument.symbol]
        tally.first_ns = tally.first_ns or self._now_ns
        tally.last_ns = self._now_ns
        return tally

    def delta(self, pair: Pair, delta: Numbers) -> None:
        tally = self._saw(pair)
        tally.diffs += 1
        if tally.last_seen is not None and self.codec.classify(tally.last_seen, delta, True) is Verdict.GAP:
            tally.stream_gaps += 1
        tally.last_seen = delta.last

    def book(self, pair: Pair) -> None:
        tally = self._saw(pair)
        tally.last_seen = pair.book.sequence

    def applied(self, pair: Pair) -> None:
        tally = self.tallies[pair.instrument.symbol]
        tally.crossed_after += pair.book.crossed
        ticker = tally.pending.pop(pair.book.sequence, None)
        if ticker is not None:
            self._compare(pair, tally, ticker)

    def ticker(self, pair: Pair, ticker: Ticker) -> None:
        tally = self._saw(pair)
        if pair.machine.is_joined and pair.book.sequence == ticker.sequence:
            self._compare(pair, tally, ticker)
        elif not pair.machine.is_joined or ticker.sequence > pair.book.sequence:
            tally.pending[ticker.sequence] = ticker
            if len(tally.pending) > TICKERS_PENDING:
                tally.pending.popitem(last=False)

    @staticmethod
    def _compare(pair: Pair, tally: Tally, ticker: Ticker) -> None:
        tally.tickers_with_same_id += 1
        best = [tuple(row) for side in Side for row in pair.book.levels(side, 1).tolist()]
        tally.tickers_equal_to_book += best == [row for row in (ticker.bid, ticker.ask) if row is not None]

    def trade(self, pair: Pair, trade: PublicTrade) -> None:
        tally = self._saw(pair)
        tally.trades += 1
        tally.first_trade = tally.first_trade or trade
        tally.last_trade = trade

    # Results

    def result(self) -> dict[str, dict[str, Any]]:
        return {
            symbol: self._result(self.ingest.pairs[symbol], self.tallies[symbol]) for symbol in sorted(self.tallies)
        }

    def _decimals(self, pair: Pair, tally: Tally) -> tuple[int, int]:
        """Return the decimals of prices and of sizes as the exchange writes them.

        If each pair has its own decimals on the wire and the instrument's scale is finer, they are the decimals of its
        increments, or as many as its values need.
        """
        instrument, spec = pair.instrument, self.codec.spec
        scales, wire = (instrument.price_scale, instrument.size_scale), spec.wire_decimals
        if not spec.decimals_by_pair:
            return max(scales[0], wire), max(scales[1], wire)
        rules = instrument.price_increment, instrument.size_increment
        levels = np.concatenate([pair.book.levels(side) for side in Side])
        traded = [trade for trade in (tally.first_trade, tally.last_trade) if trade is not None]
        values = [
            [*levels[:, 0].tolist(), *(trade.price_raw for trade in traded)],
            [*levels[:, 1].tolist(), *(trade.size_raw for trade in traded)],
        ]
        price, size = (
            scale if scale < wire else max(decimals(rule or "0"), _needed(held, scale))
            for scale, rule, held in zip(scales, rules, values, strict=True)
        )
        return price, size

    def _result(self, pair: Pair, tally: Tally) -> dict[str, Any]:
        instrument, counters = pair.instrument, pair.machine.counters
        feed = self.codec.spec.book
        numbered = counters.snapshots > 0 and feed.is_numbered
        price_decimals, size_decimals = self._decimals(pair, tally)

        def rows(side: Side) -> list[list[str]]:
            levels: Levels = pair.book.levels(side, BEST)
            return [
                [
                    _text(price, instrument.price_scale, price_decimals),
                    _text(size, instrument.size_scale, size_decimals),
                ]
                for price, size in levels.tolist()
            ]

        def trades(trade: PublicTrade | None) -> list[list[str]]:
            if trade is None:
                return []
            price = _text(trade.price_raw, instrument.price_scale, price_decimals)
            size = _text(trade.size_raw, instrument.size_scale, size_decimals)
            return [[trade.id_text or str(trade.trade_id), price, size, trade.side.value]]

        result: dict[str, Any] = {
            "instrument": instrument.symbol,
            "file": tally.file,
            "lines_in_file": self.lines.get(tally.file, 0),
            "span_s": round((tally.last_ns - tally.first_ns) / SECOND_NS, 1),
            "book": {
                "diffs": tally.diffs,
                "applied": counters.applied,
                "dropped": counters.dropped,
                "gaps": counters.gaps,
                "stream_gaps": tally.stream_gaps,
                "crossed_after": tally.crossed_after,
                "last_id": pair.book.sequence if numbered else None,
                "snapshot_id": pair.machine.snapshot_sequence if numbered else None,
                "n_bids": pair.book.n_bids,
                "n_asks": pair.book.n_asks,
                "bids": rows(Side.BUY),
                "asks": rows(Side.SELL),
                "tickers_with_same_id": tally.tickers_with_same_id,
                "tickers_equal_to_book": tally.tickers_equal_to_book,
            },
            "trades": {"count": tally.trades, "first": trades(tally.first_trade), "last": trades(tally.last_trade)},
            "state": pair.machine.state.name,
            "error": pair.machine.error,
        }
        if not feed.is_joined:
            result["book"]["snapshots"] = counters.snapshots
        if pair.orders is not None:
            result["book"]["orders"] = pair.orders.n_orders
        if feed.proof is Proof.CHECKSUM:
            right = counters.checksums - counters.bad_checksums
            result["book"] |= {"checksum_ok": right, "checksum_bad": counters.bad_checksums}
        if instrument.symbol in self._listed:
            result["rules"] = _rules(instrument)
        return result


def _text(raw: int, scale: int, places: int) -> str:
    """Format a number of this `scale` with `places` decimals."""
    if places < scale:
        raw //= 10 ** (scale - places)
    return to_text(raw * 10 ** max(0, places - scale), places)


def _needed(values: Iterable[int], scale: int) -> int:
    """Return the fewest decimals that represent all values exactly."""
    places, held = 0, list(values)
    while places < scale and any(value % 10 ** (scale - places) for value in held):
        places += 1
    return places


def _rules(instrument: Instrument) -> dict[str, str | None]:
    return {
        "price_step": _plain(instrument.price_increment),
        "size_step": _plain(instrument.size_increment),
        "min_size": _plain(instrument.min_size),
        "min_notional": _plain(instrument.min_notional),
    }


def _plain(rule: Any) -> str | None:
    return None if rule is None else f"{rule:f}"


def replay(
    paths: Iterable[Path | str],
    exchange: str,
    path: str = "fast",
    allow_truncated: bool = False,
    on_truncated: Callable[[CaptureError], None] | None = None,
    instruments: Iterable[Path | str] = (),
    options: Mapping[str, OptionValue] | None = None,
) -> dict[str, dict[str, Any]]:
    """Replay recordings of `exchange`, in the given order, and return by symbol the values of `expected.json`.

    `path` "fast" is the byte scanner with the JSON path behind it, "slow" the JSON path alone. Several files are one
    recording. Memory is bounded for files of any size. The results also have `state` and `error` of the book at the
    end.

    `instruments` are files with instruments that the recording lacks, or that replace those of the recording: see
    `given_instruments`. `options` are the connector's. The window of a pushed book is the smallest window for the first
    book of its pair, if that is deeper than the options' window. If a checksum is the proof, a pair that is in no list
    gets the decimals that result in the checksum of its first book.

    Raises:
        UnknownExchange, Misconfigured: no such exchange, no such file, no such path, no such option.
        CaptureError: a file is cut off, damaged or empty. With `allow_truncated` the replay uses all intact records
        before the damage, continues with the next file, and describes the loss in `truncated` of each result.
        `on_truncated` is then called once for each such file, also if the file adds no result.
    """
    if path not in ("fast", "slow"):
        raise Misconfigured("path", f"{path!r} is not one of fast, slow")
    files = [Path(given) for given in paths]
    settings = ConnectorSettings(exchange, options=options or {})
    listed = listed_instruments(settings.market_codec(), files)
    listed |= given_instruments(settings.market_codec(), instruments)
    codec_of = codec_for(settings, listed, files)
    first = first_books(codec_of(), listed, files)
    best: tuple[int, dict[str, dict[str, Any]]] | None = None
    cut: list[CaptureError] = []
    scales: dict[str, int] | None = {}
    while scales is not None:
        run = Replay(codec_of(), listed, scales, fast=path == "fast", first=first)
        cut.clear()  # every run finds the same files truncated
        for file, record in records(files, cut.append if allow_truncated else None):
            run.feed(file, record)
        misfits = sum(pair.misfits for pair in run.ingest.pairs.values())
        if best is None or misfits < best[0]:
            truncated = {"truncated": "; ".join(map(str, cut))} if cut else {}
            best = misfits, {symbol: found | truncated for symbol, found in run.result().items()}
        scales = _coarser(run, listed, scales, codec_of().spec)
    if on_truncated is not None:
        for error in cut:
            on_truncated(error)
    return best[1] if best is not None else {}


def codec_for(
    settings: ConnectorSettings, listed: Mapping[str, Instrument], files: Sequence[Path]
) -> Callable[[], Codec]:
    """Return what makes the codec of the recorded books: of levels, or of orders where the recording has orders."""
    if settings.spec.order_level is not None and recorded_by_order(settings.order_level_codec(), listed, files):
        return settings.order_level_codec
    return settings.market_codec


def recorded_symbols(codec: Codec, files: Sequence[Path]) -> tuple[list[str], int]:
    """Return the symbols with a book, delta, trade or ticker in the recordings, and the time of the first record."""
    found: set[str] = set()
    began_ns = 0
    for _, record in records(files, lambda _: None):  # the replay itself reports the damage
        began_ns = began_ns or record.recv_ns
        if record.kind == "recv":
            try:
                symbol = codec.symbol_of(inflate(record.raw) if codec.spec.gzip else record.raw)
            except DecodeError:
                continue
            if symbol is not None:
                found.add(symbol)
        elif record.kind == "http" and isinstance(key := codec.recognise(record.url), SnapshotKey):
            found.add(key.symbol)
    return sorted(found), began_ns


def records(files: Sequence[Path], on_truncated: Callable[[CaptureError], None] | None) -> Iterator[tuple[str, Record]]:
    """Yield the records of several files as one recording, each record with the name of its file."""
    for path in files:
        try:
            for record in read(path):
                yield path.name, record
        except CaptureError as error:
            if on_truncated is None:
                raise
            on_truncated(error)


def _coarser(
    run: Replay, listed: dict[str, Instrument], scales: dict[str, int], spec: ExchangeSpec
) -> dict[str, int] | None:
    """Return the scales to try next, after sizes of an unlisted instrument did not fit the decimals of the messages."""
    changed = dict(scales)
    wire = spec.wire_decimals
    for symbol, pair in run.ingest.pairs.items():
        if symbol not in listed and pair.misfits and changed.get(symbol, wire) > 0:
            changed[symbol] = max(0, changed.get(symbol, wire) - 4)
    return changed if changed != scales else None
