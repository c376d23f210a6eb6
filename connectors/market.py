"""What the market codecs of exchanges share: requests over REST, recorded URLs, whole books, tickers and candles.

A connector's market codec derives from `MarketData`. It states its `failures`, and what its requests ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from ..model.errors import NotOffered
from ..model.events import CandleUpdate, DepthSnapshot, Ignored, Levels, MarketEvent
from ..model.http import HttpRequest, HttpResponse
from ..model.instrument import Instrument
from ..model.time import MILLISECOND_NS
from .candles import candle, ceiling
from .drafts import batches, public, recognised
from .failures import Failures
from .market_codec import Expected, Outgoing, Scanner, SnapshotKey, SnapshotScanner
from .reading import amount_text, price_text
from .signing import encoded, with_query
from .spec import ExchangeSpec

Fixed = Mapping[str, tuple[tuple[str, str], ...]]
DAY_PRICES = ("bid", "ask", "last", "open", "high", "low")


class MarketData:
    """The part of `Codec` that does not depend on the exchange.

    `fixed`: by endpoint, the parameters that all its requests carry. `book_query` names the symbol and the number of
    levels in a request for a book, and the number that applies if a recorded URL states none. `candle_query` names the
    symbol, the interval, and the first and last time in a request for candles.
    """

    failures: ClassVar[Failures]
    fixed: ClassVar[Fixed] = {}
    book_query: ClassVar[tuple[str, str, int]] = ("symbol", "limit", 100)
    candle_query: ClassVar[tuple[str, str, str, str]] = ("symbol", "interval", "startTime", "endTime")

    def __init__(self, spec: ExchangeSpec, rest: str | None, ws: str | None) -> None:
        self.spec = spec
        self.snapshot_limit = spec.max_snapshot
        self._rest = (rest or spec.rest).rstrip("/")
        self._ws = (ws or spec.ws).rstrip("/")
        self._headers: tuple[tuple[str, str], ...] = ()  # of every request over REST
        self._bound: dict[str, Instrument] = {}

    def ws_url(self) -> str:
        return self._ws

    def candle_url(self) -> str:
        return self.ws_url()

    def bind(self, instruments: Iterable[Instrument]) -> None:
        self._bound = {instrument.symbol: instrument for instrument in instruments}

    def scanner(self) -> Scanner | None:
        return None

    def snapshot_scanner(self) -> SnapshotScanner | None:
        return None

    # Requests over REST

    def _request(self, endpoint: str, *params: tuple[str, str], size: int | None = None) -> HttpRequest:
        query = with_query("", encoded((*self.fixed.get(endpoint, ()), *params)))
        return public(self.spec.endpoints[endpoint], self._rest, query, size, self._headers)

    def instruments_request(self) -> HttpRequest:
        return self._request("instruments")

    def tickers_request(self) -> HttpRequest:
        return self._request("tickers")

    def time_request(self) -> HttpRequest | None:
        return self._request("time")

    def snapshot_request(self, instrument: Instrument, limit: int) -> HttpRequest:
        symbol, levels, _ = self.book_query
        size = min(limit, self.spec.max_snapshot)
        return self._request("snapshot", (symbol, self._rest_name(instrument)), (levels, str(size)), size=size)

    def candles_request(
        self, instrument: Instrument, interval: str, start_ns: int, end_ns: int, now_ns: int
    ) -> HttpRequest:
        """For an exchange that takes the first and last time of opening, both included, in milliseconds."""
        symbol, bar, first, last = self.candle_query
        offer = self.spec.candles
        if offer is None:
            raise NotOffered(self.spec.exchange, "candles")
        window = (first, str(ceiling(start_ns, MILLISECOND_NS))), (last, str(ceiling(end_ns, MILLISECOND_NS) - 1))
        which = (symbol, self._rest_name(instrument)), (bar, offer.intervals[interval])
        return self._request("candles", *which, *window, ("limit", str(offer.page)))

    def _rest_name(self, instrument: Instrument) -> str:
        return instrument.symbol

    def _symbol_of(self, rest_name: str) -> str:
        return rest_name

    def recognise(self, url: str) -> SnapshotKey | str | None:
        parts = urlsplit(url)
        name = recognised(self.spec, parts.path)
        if name != "snapshot":
            return name
        symbol, levels, usual = self.book_query
        query = parse_qs(parts.query)
        size = query.get(levels, [str(usual)])[0]
        if symbol not in query or not (size.isascii() and size.isdigit()):
            return None
        return SnapshotKey(self._symbol_of(query[symbol][0]), min(int(size), self.spec.max_snapshot))

    def _streamed(self, symbol: str, interval: str, *row: Any) -> MarketEvent:
        """Return a candle of a stream: `interval` is the exchange's name, and `row` is as in `candles.candle`."""
        name = None if self.spec.candles is None else self.spec.candles.name_of(interval)
        return Ignored("candle") if name is None else CandleUpdate(symbol, name, candle(name, *row))

    def failure(self, response: HttpResponse, changes: bool = False) -> Exception | None:
        return self.failures.public_failure(response, changes)


def in_batches(
    instruments: Sequence[Instrument], size: int, first_id: int
) -> Iterator[tuple[int, Sequence[Instrument], tuple[str, ...]]]:
    """Cut instruments into messages of `size`; yield the id of each, its instruments, and their symbols once each."""
    for key, batch in enumerate(batches(instruments, size), first_id):
        yield key, batch, tuple(dict.fromkeys(instrument.symbol for instrument in batch))


def requests(
    instruments: Sequence[Instrument], size: int, first_id: int, frame: Callable[[int, Sequence[Instrument]], bytes]
) -> list[Outgoing]:
    """Return the messages of an exchange that answers each message once, under its id."""
    cut = in_batches(instruments, size, first_id)
    return [Outgoing(frame(key, batch), (Expected(key, symbols),)) for key, batch, symbols in cut]


def whole_book(
    instrument: Instrument,
    sequence: int,
    sides: tuple[Levels, Levels],
    limit: int,
    recv_ns: int,
    ts_event_ns: int | None = None,
    checksum: int | None = None,
) -> DepthSnapshot:
    """Return a whole book; a side with fewer levels than the requested `limit` is complete."""
    bids, asks = sides
    complete = len(bids) < limit, len(asks) < limit
    return DepthSnapshot(instrument.symbol, sequence, bids, asks, *complete, ts_event_ns, recv_ns, None, checksum)


def day_ticker(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, str | None]:
    """Read a ticker of 24 hours: `names` are the exchange's for volume, quote volume, and the `DAY_PRICES`.

    A price that is empty or zero means no price: an empty side of the book, or no trade.
    """
    volume, quote_volume, *prices = names
    found = {name: price_text(row[key]) for name, key in zip(DAY_PRICES, prices, strict=True)}
    return {"volume": amount_text(row[volume]), "quote_volume": amount_text(row[quote_volume]), **found}
