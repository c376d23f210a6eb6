"""The role `catalog/<exchange>`: lists the exchange's instruments, and answers for pairs that the mesh does not track.

A new incarnation fetches the list again and uses no state of its predecessor. The version of a list is the wall-clock
time (ns) at which the list was first seen, so versions grow across incarnations too.

    instruments                  {"version", "instruments": [Instrument.to_dict(), ...], "kept": names of those that the
                                 exchange does not list}; waits for the first list
    refresh                      the same, fetched now
    active_markets               a row per trading instrument: name, base, quote, last_price, volume, quote_volume,
                                 usd_volume (decimal text; None where unknown), of the last 24 hours
    ticker {pair}                name, last_price, bid, ask, open, high, low, volume, quote_volume
    mid_price {pair}             decimal text; None when a side of the book is empty
    candles {pair, interval, start_ns, end_ns, limit}
                                 a list of `Candle` as plain values, oldest first; see `CandleQuery`
    get_snapshot {pair, limit}   a book fetched now, in the form of the book role's `snapshot`
    keep {instruments}           list these pairs, too, where the exchange's list lacks them, until the next `keep`
    delisted {instruments}       {"gone", "present"}: names of these instruments, by the exchange's answer to each name;
                                 a pair whose answer states neither is in neither list. "lists_halted": see the spec
    check_network                None, when the exchange has answered just now
    poll instruments {after}     as `instruments`, as soon as the version is not `after`; None at the timeout
    poll candles {pair, interval, start_ns, after}
                                 the candles from `start_ns` on that have changed after version `after`, and where the
                                 next poll continues; see `LiveCandles.poll`. The polls themselves are the lease of the
                                 subscription at the exchange.

After a failed refresh the last readable list stays in force, and `status` states the reason. For an unreadable row the
last readable version of the row stays in force; `status` names such rows. Every request is within the rate budget.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from loguru import logger

from ...connectors.listing import Listing
from ...connectors.market_codec import Codec, ServesCandles, StreamsCandles
from ...connectors.reading import LeftOut, left_out_text
from ...connectors.transport import Feed, Rest
from ...model.address import book_address
from ...model.backoff import Backoff
from ...model.candle import Candle
from ...model.errors import (
    DataError,
    InboxFull,
    MeshError,
    NotOffered,
    OutcomeUnknown,
    Rejected,
    RetryLater,
    UnknownInstrument,
)
from ...model.events import BookState, DepthSnapshot
from ...model.fixed import to_decimal
from ...model.http import HttpRequest, HttpResponse
from ...model.instrument import Instrument
from ...model.plain import to_plain
from ...model.spelling import similar_pairs
from ...model.time import SECOND_NS, in_ns
from ..book.surroundings import FeedLike, Surroundings
from ..candles.live import LiveCandles
from ..candles.query import CandleQuery, read_position, read_query
from ..cell.role import Context, whole_number
from ..limits.budget import Budget, Budgeted, RestLike
from ..limits.machine import Priority
from .rates import Market, usd_rates, usd_volume
from .settings import CatalogSettings

MID_LEVELS = 5  # levels of the snapshot for a mid price: the cheapest snapshot
AGAIN = Backoff(first_s=1.0, cap_s=60.0)  # after a refresh that failed
MOST_PROBED = 20  # pairs of one `delisted`
NAMED_ROWS = 5  # of the rows left out, in the status
# errors that a request to an exchange may raise
EXPECTED = (RetryLater, OutcomeUnknown, InboxFull, Rejected, DataError)


class CatalogRole:
    """See the module. `codec`, `rest` and `connect` replace those of the settings."""

    reads = frozenset(
        {"instruments", "active_markets", "ticker", "mid_price", "candles", "get_snapshot", "check_network", "delisted"}
    )

    def __init__(
        self,
        settings: CatalogSettings,
        context: Context,
        *,
        codec: Codec | None = None,
        rest: RestLike | None = None,
        connect: Callable[..., FeedLike] = Feed,
    ) -> None:
        self._settings, self._context = settings, context
        self._exchange = settings.connector.exchange
        self._codec = codec = codec or settings.connector.market_codec()
        budget = Budget(context, codec.spec, self._exchange, settings.connector.egress)
        bare = rest or Rest(timeout_s=10.0)
        self._rest = Budgeted(budget, bare)
        self._version = 0
        self._plain: list[dict[str, Any]] = []
        self._by_name: dict[str, Instrument] = {}
        self._found: list[Instrument] = []  # as the exchange lists them
        self._kept: dict[
            str, Instrument
        ] = {}  # pairs that the exchange does not list, and that are not known to be gone
        self._left_out: tuple[LeftOut, ...] = ()
        self._changed = asyncio.Event()
        self._error: str | None = None
        self._failures = 0
        self._refreshed_ns: int | None = None
        self._flights: dict[str, asyncio.Task[Any]] = {}
        self._cache: dict[str, tuple[int, Any]] = {}  # by query: when the answer expires, the answer
        self._loop: asyncio.Task[None] | None = None
        self._live = self._live_candles(connect, bare, budget)
        self._probed: dict[str, int] = {}  # by pair that the list lacks: the call of `delisted` that asked for it last

    def _live_candles(self, connect: Callable[..., FeedLike], rest: RestLike, budget: Budget) -> LiveCandles | None:
        offer, context, connector = self._codec.spec.candles, self._context, self._settings.connector
        if offer is None or offer.stream is None or not isinstance(self._codec, StreamsCandles):
            return None
        around = Surroundings(
            connect=connect,
            rest=rest,
            budget=budget,
            monotonic_ns=context.monotonic_ns,
            time_ns=context.time_ns,
            alive=context.alive,
            fail=context.fail,
        )
        return LiveCandles(connector.market_codec, offer, around, self._window)

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop().create_task(self._keep_fresh())

    async def stop(self) -> None:
        tasks = [task for task in (self._loop, *self._flights.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._live is not None:
            await self._live.stop()
        await self._rest.close()

    async def handle(self, kind: str, body: Any) -> Any:
        match kind:
            case "instruments":
                if not self._version:
                    await self._once("refresh", self._refresh)
                return self._listed()
            case "refresh":
                await self._once("refresh", self._refresh)
                return self._listed()
            case "active_markets":
                return await self._active_markets()
            case "ticker":
                return await self._ticker(await self._instrument(body))
            case "mid_price":
                instrument = await self._instrument(body)
                mid: Decimal | None = await self._cached(f"mid {instrument.name}", lambda: self._mid_price(instrument))
                return None if mid is None else f"{mid:f}"
            case "candles":
                return await self._candles(await self._instrument(body), body)
            case "get_snapshot":
                limit = whole_number(body, "limit") or self._codec.snapshot_limit
                return self._plain_snapshot(*await self._snapshot(await self._instrument(body), limit))
            case "keep":
                self._kept = {plain["name"]: Instrument.from_dict(plain) for plain in body["instruments"]}
                if self._version:
                    self._publish()
                return None
            case "delisted":
                return await self._delisted([Instrument.from_dict(plain) for plain in body["instruments"]])
            case "check_network":
                await self._check_network()
                return None
        raise self._context.unknown(kind)

    async def poll(self, kind: str, body: Any, timeout_s: float) -> Any:
        if kind == "candles":
            return await self._poll_candles(await self._instrument(body), body, timeout_s)
        if kind != "instruments":
            raise self._context.unknown_poll(kind)
        after = (body or {}).get("after", 0)
        try:
            async with asyncio.timeout(timeout_s):
                while self._version in (0, after):
                    await self._changed.wait()
        except TimeoutError:
            return None
        return self._listed()

    def status(self) -> dict[str, Any]:
        age = None if self._refreshed_ns is None else (self._context.monotonic_ns() - self._refreshed_ns) / SECOND_NS
        return {
            "state": "SERVING" if self._version and self._error is None else "STALE" if self._version else "EMPTY",
            "error": self._error,
            "instruments": len(self._plain),
            "left_out": len(self._left_out),
            "left_out_rows": left_out_text(self._left_out) or None,
            "trading": sum(instrument.is_trading for instrument in self._by_name.values()),
            "version": self._version,
            "age_s": age,
            "failures": self._failures,
            "candles": None if self._live is None else self._live.status(),
        }

    def beat(self) -> None:
        """Drop expired answers, and keep the followed candles up to date."""
        if self._live is not None:
            self._live.beat()
        now_ns = self._context.monotonic_ns()
        for what in [what for what, (until_ns, _) in self._cache.items() if until_ns <= now_ns]:
            del self._cache[what]

    # ------------------------------------------------------------------ the list

    async def _keep_fresh(self) -> None:
        try:
            while True:
                wait_s = self._settings.refresh_s
                try:
                    await self._once("refresh", self._refresh)
                except EXPECTED as error:
                    wait_s = AGAIN.delay_s(self._failures, 0.5)
                    if isinstance(error, RetryLater):
                        wait_s = max(wait_s, error.after_s or 0.0)
                await asyncio.sleep(wait_s)
        except Exception as failure:  # the top of this shell: an unexpected error ends the cell
            self._context.fail(failure)
            raise

    async def _refresh(self) -> None:
        try:
            response = await self._send(self._codec.instruments_request(), Priority.BACKGROUND)
            found = self._codec.instruments(response.body).keeping(self._by_name)
            if not found and (self._codec.spec.lists_halted or not self._version):
                raise RetryLater(10.0, f"{self._exchange} lists no instruments")
        except EXPECTED as error:
            self._failures += 1
            self._error = f"the list could not be refreshed ({self._failures} in a row): {error}"
            raise
        self._error, self._failures = None, 0
        self._refreshed_ns = self._context.monotonic_ns()
        if found.left_out != self._left_out:
            self._left_out = found.left_out
            logger.warning("rows of the list of instruments are left out", rows=left_out_text(found.left_out) or "none")
        self._found = [*found, *still_listed(self._by_name.values(), found)]
        self._publish()

    def _publish(self) -> None:
        """Make a new version of the list, if it has changed: the exchange's list, and the kept pairs that it lacks."""
        names = {instrument.name for instrument in self._found}
        self._kept = {name: instrument for name, instrument in self._kept.items() if name not in names}
        instruments = [*self._found, *self._kept.values()]
        plain = [instrument.to_dict() for instrument in sorted(instruments, key=lambda listed: listed.name)]
        if plain != self._plain:
            self._plain = plain
            self._by_name = {instrument.name: instrument for instrument in instruments}
            self._version = max(self._version + 1, self._context.time_ns())
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    def _listed(self) -> dict[str, Any]:
        return {"version": self._version, "instruments": self._plain, "kept": sorted(self._kept)}

    async def _instrument(self, body: Any) -> Instrument:
        if not self._version:
            await self._once("refresh", self._refresh)
        pair = (body or {}).get("pair")
        found = self._by_name.get(pair) if isinstance(pair, str) else None
        if found is None:
            raise UnknownInstrument(
                self._exchange, str(pair), "the exchange does not list it", similar_pairs(str(pair), self._by_name)
            )
        return found

    # ------------------------------------------------------------------ prices and books on demand

    async def _tickers(self) -> dict[str, dict[str, Any]]:
        response = await self._send(self._codec.tickers_request(), Priority.NORMAL)
        return self._codec.tickers(response.body)

    async def _active_markets(self) -> list[dict[str, Any]]:
        if not self._version:
            await self._once("refresh", self._refresh)
        tickers = await self._cached("tickers", self._tickers)
        trading = [instrument for instrument in self._by_name.values() if instrument.is_trading]
        markets = {i.name: _market(i, tickers[i.symbol]) for i in trading if i.symbol in tickers}
        rates = usd_rates(markets.values())
        rows = []
        for instrument in trading:
            row = tickers.get(instrument.symbol, {})
            market = markets.get(instrument.name)
            dollars = usd_volume(market, rates) if market is not None else None
            rows.append(
                {
                    "name": instrument.name,
                    "base": instrument.base,
                    "quote": instrument.quote,
                    "last_price": row.get("last"),
                    "volume": row.get("volume") or "0",
                    "quote_volume": row.get("quote_volume") or "0",
                    "usd_volume": None if dollars is None else f"{dollars:f}",
                }
            )
        return rows

    async def _ticker(self, instrument: Instrument) -> dict[str, Any]:
        row = (await self._cached("tickers", self._tickers)).get(instrument.symbol)
        if row is None:
            raise UnknownInstrument(self._exchange, instrument.name, "the exchange has no readable ticker of it")
        return {
            "name": instrument.name,
            "last_price": row["last"],
            "bid": row["bid"],
            "ask": row["ask"],
            "open": row.get("open"),
            "high": row.get("high"),
            "low": row.get("low"),
            "volume": row["volume"] or "0",
            "quote_volume": row["quote_volume"] or "0",
        }

    async def _mid_price(self, instrument: Instrument) -> Decimal | None:
        snapshot, _ = await self._snapshot(instrument, MID_LEVELS)
        if not len(snapshot.bids) or not len(snapshot.asks):
            return None
        both = int(snapshot.bids[0, 0]) + int(snapshot.asks[0, 0])
        return to_decimal(both * 5, instrument.price_scale + 1)  # half of the sum, exactly

    async def _snapshot(self, instrument: Instrument, limit: int) -> tuple[DepthSnapshot, Instrument]:
        response = await self._send(self._codec.snapshot_request(instrument, limit), Priority.NORMAL)
        asked = min(limit, self._codec.spec.max_snapshot)
        return self._codec.snapshot(instrument, response.body, asked, response.recv_ns), instrument

    async def _delisted(self, instruments: Iterable[Instrument]) -> dict[str, Any]:
        """Ask the exchange for a few levels of each pair: by its answer it has the pair, or no longer has it.

        One call probes at most `MOST_PROBED` pairs, the next calls the others. A refusal with a code of
        many meanings counts only if the same request is answered for a listed pair.
        """
        waiting = sorted(instruments, key=lambda one: self._probed.get(one.name, 0))  # probed longest ago first
        probed = waiting[:MOST_PROBED]
        turn = 1 + max(self._probed.values(), default=0)
        self._probed = {one.name: self._probed.get(one.name, 0) for one in waiting} | {one.name: turn for one in probed}
        answers = {instrument.name: await self._refusal(instrument) for instrument in probed}
        codes = {name: error.code for name, error in answers.items() if isinstance(error, Rejected)}
        known = self._codec.spec.unknown_symbol
        gone = [name for name, code in codes.items() if code in known]
        if len(gone) < len(codes):
            listed = (one for one in self._by_name.values() if one.is_trading and one.name not in answers)
            control = next(listed, None)
            gone = list(codes) if control is not None and await self._refusal(control) is None else gone
        present = [name for name, error in answers.items() if error is None]
        return {"gone": gone, "present": present, "lists_halted": self._codec.spec.lists_halted}

    async def _refusal(self, instrument: Instrument) -> MeshError | None:
        """Return the error of a request for a few levels of a pair; None: the exchange answers it."""
        try:
            await self._send(self._codec.snapshot_request(instrument, MID_LEVELS), Priority.BACKGROUND)
        except EXPECTED as error:
            return error
        return None

    async def _candles(self, instrument: Instrument, body: Any) -> list[dict[str, Any]]:
        series = None if self._live is None else self._live.series(instrument.symbol, str(body.get("interval")))
        now_ns = max(self._context.time_ns(), 0 if series is None else series.newest_ns)
        query = read_query(self._exchange, self._codec.spec.candles, body, now_ns)
        if series is None:
            found = await self._pages(instrument, query, query.pages)
        else:
            found = await self._pages(instrument, query, query.before(series.covered_ns))
            found += series.since(series.covered_ns)
        return [to_plain(candle) for candle in query.chosen(found)]

    async def _window(self, instrument: Instrument, interval: str, start_ns: int, end_ns: int) -> list[Candle]:
        """Request the candles of a time over REST, oldest first."""
        body = {"interval": interval, "start_ns": start_ns, "end_ns": end_ns}
        query = read_query(self._exchange, self._codec.spec.candles, body, max(end_ns, self._context.time_ns()))
        return query.chosen(await self._pages(instrument, query, query.pages))

    async def _pages(
        self, instrument: Instrument, query: CandleQuery, pages: Iterable[tuple[int, int]]
    ) -> list[Candle]:
        codec = self._codec
        if not isinstance(codec, ServesCandles):
            raise NotOffered(self._exchange, "candles")
        found: list[Candle] = []
        for start_ns, end_ns in pages:
            request = codec.candles_request(instrument, query.interval, start_ns, end_ns, self._context.time_ns())
            response = await self._send(request, Priority.NORMAL)
            found += codec.candles(instrument, query.interval, response)
        return found

    async def _poll_candles(self, instrument: Instrument, body: Any, timeout_s: float) -> dict[str, Any]:
        if self._live is None:
            raise NotOffered(self._exchange, "a stream of candles")
        interval, start_ns, after = read_position(self._exchange, self._codec.spec.candles, body)
        news = await self._live.poll(instrument, interval, start_ns, after, timeout_s)
        return {**news, "candles": [to_plain(candle) for candle in news["candles"]]}

    def _plain_snapshot(self, snapshot: DepthSnapshot, instrument: Instrument) -> dict[str, Any]:
        return {
            "address": book_address(self._exchange, instrument.name),
            "incarnation": list(self._context.incarnation),
            "state": int(BookState.LIVE if instrument.is_trading else BookState.HALTED),
            "version": 0,
            "sequence": snapshot.sequence,
            "price_scale": instrument.price_scale,
            "size_scale": instrument.size_scale,
            "bids": snapshot.bids.astype("<i8").tobytes(),
            "asks": snapshot.asks.astype("<i8").tobytes(),
            "bids_complete": snapshot.bids_complete,
            "asks_complete": snapshot.asks_complete,
            "ts_event_ns": snapshot.ts_event_ns,
            "ts_recv_ns": snapshot.ts_recv_ns,
        }

    async def _check_network(self) -> None:
        """Send the cheapest request: a few levels of the first trading pair."""
        first = next((instrument for instrument in self._by_name.values() if instrument.is_trading), None)
        if first is None:
            await self._once("refresh", self._refresh)
        else:
            await self._once("ping", lambda: self._snapshot(first, MID_LEVELS))

    # ------------------------------------------------------------------ asking the exchange

    async def _send(self, request: HttpRequest, priority: Priority) -> HttpResponse:
        """Return the answer; raise the typed error of a failure."""
        response = await self._rest.send(request, priority)
        error = self._codec.failure(response)
        if error is not None:
            raise error
        return response

    async def _cached(self, what: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        held = self._cache.get(what)
        if held is not None and self._context.monotonic_ns() < held[0]:
            return held[1]

        async def fetch() -> Any:
            answer = await ask()
            self._cache[what] = (self._context.monotonic_ns() + in_ns(self._settings.price_ttl_s), answer)
            return answer

        return await self._once(what, fetch)

    async def _once(self, what: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Join the request for `what` that is under way, or start one: many callers cost one request."""
        flight = self._flights.get(what)
        if flight is None:
            flight = self._flights[what] = asyncio.ensure_future(_flight(ask))
            flight.add_done_callback(lambda done: self._landed(what, done))
        error, answer = await asyncio.shield(flight)
        if error is not None:
            raise type(error)(*error.args)  # each caller gets a separate exception object
        return answer

    def _landed(self, what: str, flight: asyncio.Task[Any]) -> None:
        self._flights.pop(what, None)
        if not flight.cancelled() and (failure := flight.exception()) is not None:
            self._context.fail(failure)


async def _flight(ask: Callable[[], Awaitable[Any]]) -> tuple[MeshError | None, Any]:
    try:
        return None, await ask()
    except MeshError as error:
        return error, None


def still_listed(known: Iterable[Instrument], found: Listing) -> list[Instrument]:
    """Return the instruments of earlier lists that the new list may still have, in an unreadable row.

    An unreadable row without a symbol may be of any of them.
    """
    unread = [row.name for row in found.left_out if row.is_unreadable]
    listed = {instrument.name for instrument in found}
    return [
        instrument
        for instrument in known
        if instrument.name not in listed
        and any(symbol is None or symbol in (instrument.symbol, *instrument.aliases) for symbol in unread)
    ]


def _market(instrument: Instrument, row: Mapping[str, Any]) -> Market:
    last, bid, ask = (Decimal(row[name]) if row.get(name) else None for name in ("last", "bid", "ask"))
    return Market(instrument.base, instrument.quote, Decimal(row.get("quote_volume") or 0), last, bid, ask)
