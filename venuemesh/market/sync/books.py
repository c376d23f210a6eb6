# Generated from venuemesh/market/aio/books.py by scripts/generate-sync: change that file, not this one.
"""Books of an exchange, and requests to the exchange on demand. Part of `Market`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from ...model.address import book_address, catalog_address
from ...model.candle import Candle
from ...model.errors import NotSynced, RetryLater, UnknownInstrument
from ...model.events import BookState
from ...model.instrument import Instrument
from ...orderbook.records import Trade
from ...orderbook.segment import Top
from ...orderbook.snapshot import BookSnapshot
from ...orderbook.view import BookView
from ...orderbook.view.waits import Waits
from ..rows import (
    ActiveMarkets,
    TickerRow,
    candles_body,
    read_active_markets,
    read_candles,
    read_decimal,
    read_snapshot,
    read_ticker,
    snapshot_body,
)
from .room import AGAIN_S, Room
from .ticks import every

STEP_S = 0.02  # between two checks whether all books are LIVE
POLL_S = 10.0  # how long one request for candles waits at the catalog


class OrderBooks(Mapping[str, BookView]):
    """The tracked books of one exchange by trading pair; follows changes of the tracked pairs."""

    def __init__(self, names: Callable[[], Iterable[str]], book: Callable[[str], BookView]) -> None:
        self._names = names
        self._book = book

    def __getitem__(self, pair: str) -> BookView:
        try:
            return self._book(pair)
        except UnknownInstrument as error:
            raise KeyError(pair) from error

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._names()))

    def __len__(self) -> int:
        return len(list(self._names()))


class Books(Room):
    """Tracked pairs and their books, from this node's memory; other pairs by request to the exchange."""

    # ------------------------------------------------------------------ tracked pairs

    @property
    def instruments(self) -> dict[str, Instrument]:
        """The tracked instruments by trading pair, with their trading rules. Reads local memory."""
        return self._state.instruments

    @property
    def trading_pairs(self) -> list[str]:
        """The tracked trading pairs, sorted, whether or not their feeds run. Reads local memory."""
        return sorted(self.instruments)

    def instrument(self, pair: str) -> Instrument:
        """Return one tracked instrument.

        Raises:
            UnknownInstrument: the mesh does not track the pair.
        """
        return self._state.instrument(pair, "the mesh does not track it")

    # ------------------------------------------------------------------ books

    def order_book(self, pair: str) -> BookView:
        """Return the live view of one tracked book; the same object for the same pair.

        Returns at once and reads nothing. The view's `state` shows whether the book can be trusted; its reading methods
        raise `NotSynced` while it cannot. The view follows the book through restarts and moves.

        Raises:
            UnknownInstrument: the mesh does not track the pair.
        """
        instrument = self.instrument(pair)
        view = self._views.get(pair)
        if view is None or view.instrument != instrument:  # new rules, perhaps new scales: make a new view
            address = book_address(self.exchange, pair)
            view = self._views[pair] = self._state.link.view(BookView, address, instrument)
        return view

    @property
    def order_books(self) -> OrderBooks:
        """All tracked books, a read-only mapping from trading pair to view."""
        return OrderBooks(lambda: self.trading_pairs, self.order_book)

    @property
    def ready(self) -> bool:
        """Whether at least one book is tracked and every tracked book is LIVE on this node now.

        False while the network is stopped.
        """
        pairs = self.trading_pairs
        return bool(pairs) and all(self.order_book(pair).state is BookState.LIVE for pair in pairs)

    @property
    def status_dict(self) -> dict[str, str]:
        """The state of each tracked book on this node: trading pair to the state's name.

        While the network is stopped: RETIRED for a book that was read before, ABSENT for any other.
        """
        return {pair: self.order_book(pair).state.name for pair in self.trading_pairs}

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Wait until `ready` is true.

        Raises:
            RetryLater: not ready within the timeout; the reason names the books that are not LIVE.
        """
        Waits.begin()
        deadline = time.monotonic() + timeout_s
        while not self.ready:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                waiting = {pair: state for pair, state in self.status_dict.items() if state != BookState.LIVE.name}
                reason = ", ".join(f"{pair} is {state}" for pair, state in waiting.items()) or "no pair is tracked"
                raise RetryLater(1.0, f"{self.exchange} is not ready after {timeout_s} s: {reason}")
            Waits.sleep(min(STEP_S, left_s))

    def trades(self, pair: str, after: Trade | int | None = None) -> Iterator[Trade]:
        """Iterate over the public trades of one tracked pair, from now on or after a known number.

        See `BookView.trades` for the numbering and for missed trades.
        """
        return self.order_book(pair).trades(after=after)

    def every(self, seconds: float) -> Iterator[int]:
        """Yield the number of a tick, from 0, every `seconds` of the monotonic clock.

        Ticks that pass while the consumer is busy are left out; the next number shows how many there were.
        """
        return every(seconds)

    # ------------------------------------------------------------------ requests to the exchange on demand

    def active_markets(self, timeout_s: float = 15.0) -> ActiveMarkets:
        """Return a row per instrument that trades now, tracked or not. One call to the catalog actor.

        Raises:
            RetryLater: the exchange could not be reached now.
        """
        return read_active_markets(self._catalog("active_markets", None, timeout_s))

    def ticker(self, pair: str, timeout_s: float = 15.0) -> TickerRow:
        """Return the exchange's own 24-hour ticker of any pair that it lists. Raises as `active_markets`."""
        return read_ticker(self._catalog("ticker", {"pair": pair}, timeout_s))

    def candles(
        self,
        pair: str,
        interval: str,
        start: datetime | int | None = None,
        end: datetime | int | None = None,
        limit: int | None = None,
        timeout_s: float = 60.0,
    ) -> list[Candle]:
        """Return candles of any pair that the exchange lists, oldest first.

        `interval` is "1m", "4h", "1d" or another that the exchange offers. The candles open from `start` until before
        `end` (datetimes with a time zone, or ns since the Unix epoch). With a `start` the answer has the first `limit`
        candles from `start` on; without `start`, the last `limit` candles before `end` (default 500). The catalog sends
        as many requests as needed. Without a trade some exchanges have no candle; then the answer has no candle,
        either.

        The last candle `is_closed` only when it can no longer change.

        Raises:
            ValueError: a time has no zone, `start` is not before `end`, or `limit` is not a whole number of at least 1.
            UnknownInstrument: the exchange does not list the pair.
            NotOffered: the exchange has no candles of this interval; the error lists its intervals.
            Rejected: more than 10,000 candles, or candles older than the exchange keeps.
            RetryLater: the exchange could not be reached now.
        """
        body = candles_body(pair, interval, start, end, limit)
        return read_candles(self._catalog("candles", body, timeout_s))

    def candle_changes(
        self,
        pair: str,
        interval: str,
        start: datetime | int | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[Candle]:
        """Iterate over the candles of any pair that the exchange lists, live: each change of the open candle, and each
        candle once more when it `is_closed`.

        The iteration begins with the open candle, or with the first candle that opens at `start` or later (a datetime
        with a time zone, or ns since the Unix epoch); to resume, pass the `close_ns` of the last closed candle. Candles
        come in order and without gaps: after a lost connection the mesh requests the missing ones before it shows a
        newer one. A closed candle comes once and is final. Changes of the open candle may be conflated, and the open
        candle may come again after a restart of the catalog. Where the exchange has no candle, because there was no
        trade, the iteration has none either.

        The mesh subscribes when the first reader of a pair and interval asks, and ends the subscription half a minute
        after the last one. Meanwhile `candles` answers from memory.

        Raises:
            ValueError: `start` has no zone.
            UnknownInstrument: the exchange does not list the pair.
            NotOffered: the exchange streams no candles, or none of this interval.
            Rejected: more than 10,000 candles since `start`, or candles older than the exchange keeps.
            RetryLater: no candle came for `timeout_s`; the reason says why the stream is not live, if it is not.
        """
        Waits.begin()
        body = {**candles_body(pair, interval, start, None, None), "after": 0}
        reason, heard = None, time.monotonic()
        while True:
            left_s = POLL_S if timeout_s is None else min(POLL_S, heard + timeout_s - time.monotonic())
            if timeout_s is not None and left_s <= 0:
                raise RetryLater(1.0, f"no candle of {pair} {interval} for {timeout_s:g} s: {reason or 'no trade'}")
            try:
                answer = self._catalog("poll:candles", body, left_s)
            except RetryLater as error:  # the catalog is away, or the exchange cannot be asked now
                reason = str(error)
                Waits.sleep(min(AGAIN_S, left_s))
                continue
            reason = answer["reason"]
            body |= {"start_ns": answer["start_ns"], "after": answer["version"]}
            for candle in read_candles(answer["candles"]):
                body["start_ns"] = candle.close_ns if candle.is_closed else candle.open_ns
                yield candle
                heard = time.monotonic()

    def mid_price(self, pair: str, timeout_s: float = 5.0) -> Decimal | None:
        """Return the mid price of any pair that the exchange lists; None when a side of its book is empty.

        For a tracked pair with a LIVE book the price comes from memory; for any other pair from the catalog actor,
        which keeps answers for about a second and sends one request for all callers of the same moment.

        Raises:
            UnknownInstrument: the exchange does not list the pair.
            RetryLater: the exchange could not be reached now.
        """
        Waits.begin()
        top = self._live_top(pair)
        if top is not None:
            return top.mid
        return read_decimal(self._catalog("mid_price", {"pair": pair}, timeout_s))

    def get_snapshot(self, pair: str, limit: int = 1000, timeout_s: float = 15.0) -> BookSnapshot:
        """Return the book of any pair that the exchange lists, `limit` levels a side at most.

        The book of a tracked pair comes from its book actor with all proven levels (memory holds only the best levels);
        of a redundant book, from either of its two actors. The book of any other pair, or a book that is not LIVE, is
        fetched from the exchange now; also if the actor has not answered in half of the timeout.

        Raises:
            ValueError: `limit` is not a whole number of at least 1.
            UnknownInstrument: the exchange does not list the pair.
            RetryLater: the exchange could not be reached now.
        """
        body, deadline = snapshot_body(pair, limit), time.monotonic() + timeout_s
        if self._live_top(pair) is not None:
            with contextlib.suppress(RetryLater, NotSynced):  # the book actor has just died: ask the exchange
                plain = self.ask_role(book_address(self.exchange, pair), "snapshot", body, timeout_s / 2)
                if plain["state"] == BookState.LIVE:
                    return read_snapshot(plain)
        return read_snapshot(self._catalog("get_snapshot", body, deadline - time.monotonic()))

    def check_network(self, timeout_s: float = 5.0) -> None:
        """Return after the exchange has answered a ping through the mesh.

        Raises:
            RetryLater: no answer; the error has the reason.
        """
        self._catalog("check_network", None, timeout_s)

    # ------------------------------------------------------------------ the network

    def stop_network(self, timeout_s: float = 30.0) -> None:
        """Stop the feeds of this exchange for the whole mesh: all its books end in an orderly way. Idempotent.

        The tracked pairs stay tracked: `trading_pairs` keeps them, and their views stay valid and raise `NotSynced`
            until
        the network is started again. Requests to the exchange on demand still work. The stop is durable: a restarted
        supervisor keeps it.

        Raises:
            RetryLater: the supervisor or its store is away (the stop may not be durable yet), or the books have not all
                ended within the timeout (they are ending).
        """
        Waits.answer(self._state.link.network, self.exchange, False, timeout_s)

    def start_network(self, timeout_s: float = 30.0) -> None:
        """Start the feeds of this exchange again; return when the start is durable. Idempotent.

        The books start afterwards, each as a new incarnation; `wait_ready` waits until they are LIVE.

        Raises:
            RetryLater: the supervisor or its store is away; the start may not be durable yet.
        """
        Waits.answer(self._state.link.network, self.exchange, True, timeout_s)

    # ------------------------------------------------------------------ inside

    def _live_top(self, pair: str) -> Top | None:
        """Return the top of a tracked pair whose book is LIVE on this node now; None for any other pair."""
        if pair not in self.instruments:
            return None
        top = self.order_book(pair).peek()
        return top if top.live else None

    def _catalog(self, kind: str, body: Any, timeout_s: float) -> Any:
        return self.ask_role(catalog_address(self.exchange), kind, body, timeout_s)
