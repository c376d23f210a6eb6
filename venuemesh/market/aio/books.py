"""Books of an exchange, and what is asked of the exchange on demand. Part of `AsyncMarket`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
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
from ...orderbook.view import AsyncBookView
from ...orderbook.view.waits import AsyncWaits
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
from .room import AsyncRoom
from .ticks import every

STEP_S = 0.02  # between two looks at whether all books are LIVE


class AsyncOrderBooks(Mapping[str, AsyncBookView]):
    """The tracked books of one exchange by trading pair; follows what is tracked."""

    def __init__(self, names: Callable[[], Iterable[str]], book: Callable[[str], AsyncBookView]) -> None:
        self._names = names
        self._book = book

    def __getitem__(self, pair: str) -> AsyncBookView:
        try:
            return self._book(pair)
        except UnknownInstrument as error:
            raise KeyError(pair) from error

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._names()))

    def __len__(self) -> int:
        return len(list(self._names()))


class AsyncBooks(AsyncRoom):
    """Tracked pairs and their books, read from this node's memory; any other pair, asked of the exchange."""

    # ------------------------------------------------------------------ what is tracked

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
        found = self.instruments.get(pair)
        if found is None:
            raise UnknownInstrument(self.exchange, pair, "the mesh does not track it")
        return found

    # ------------------------------------------------------------------ books

    def order_book(self, pair: str) -> AsyncBookView:
        """Return the live view of one tracked book; the same object for the same pair.

        Returns at once and reads nothing: the view says in `state` whether there is anything to trust, and its reading
        methods raise `NotSynced` while there is not. It follows the book through restarts and moves by itself.

        Raises:
            UnknownInstrument: the mesh does not track the pair.
        """
        instrument = self.instrument(pair)
        view = self._views.get(pair)
        if view is None or view.instrument != instrument:  # new rules, perhaps new scales: a new view reads by them
            address = book_address(self.exchange, pair)
            view = self._views[pair] = self._state.link.view(AsyncBookView, address, instrument)
        return view

    @property
    def order_books(self) -> AsyncOrderBooks:
        """All tracked books, a read-only mapping from trading pair to view."""
        return AsyncOrderBooks(lambda: self.trading_pairs, self.order_book)

    @property
    def ready(self) -> bool:
        """Whether something is tracked and every tracked book is LIVE, as seen from this node now.

        False while the network is stopped.
        """
        pairs = self.trading_pairs
        return bool(pairs) and all(self.order_book(pair).state is BookState.LIVE for pair in pairs)

    @property
    def status_dict(self) -> dict[str, str]:
        """The state of each tracked book, as seen from this node: trading pair to the state's name.

        While the network is stopped: RETIRED for a book that was read before, ABSENT for any other.
        """
        return {pair: self.order_book(pair).state.name for pair in self.trading_pairs}

    async def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Return when `ready` is true.

        Raises:
            RetryLater: not ready within the timeout; the reason names the books that are not LIVE.
        """
        AsyncWaits.begin()
        deadline = time.monotonic() + timeout_s
        while not self.ready:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                waiting = {pair: state for pair, state in self.status_dict.items() if state != BookState.LIVE.name}
                reason = ", ".join(f"{pair} is {state}" for pair, state in waiting.items()) or "nothing is tracked"
                raise RetryLater(1.0, f"{self.exchange} is not ready after {timeout_s} s: {reason}")
            await AsyncWaits.sleep(min(STEP_S, left_s))

    def trades(self, pair: str, after: Trade | int | None = None) -> AsyncIterator[Trade]:
        """Iterate over the public trades of one tracked pair, from now on or after a number seen before.

        See `AsyncBookView.trades` for numbering and for how a reader that falls behind learns of it.
        """
        return self.order_book(pair).trades(after=after)

    def every(self, seconds: float) -> AsyncIterator[int]:
        """Iterate with a tick every `seconds`, paced by the monotonic clock: the number of the tick, from 0.

        Ticks that pass while the consumer is busy are left out; the next number shows how many there were.
        """
        return every(seconds)

    # ------------------------------------------------------------------ asked of the exchange on demand

    async def active_markets(self, timeout_s: float = 15.0) -> ActiveMarkets:
        """Return a row per instrument that trades now, tracked or not. One call to the catalog actor.

        Raises:
            RetryLater: the exchange could not be asked now; nothing happened.
        """
        return read_active_markets(await self._catalog("active_markets", None, timeout_s))

    async def ticker(self, pair: str, timeout_s: float = 15.0) -> TickerRow:
        """Return the exchange's own 24-hour ticker of any pair that it lists. Raises as `active_markets`."""
        return read_ticker(await self._catalog("ticker", {"pair": pair}, timeout_s))

    async def candles(
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
        `end` (datetimes with a time zone, or ns since the Unix epoch). With a `start`, they are the first `limit` from
        there on; without it, the last `limit` before `end` (500 when none is given). As many requests are sent as the
        exchange needs for them. Where the exchange has no candle, because nothing was traded, none is made up.

        The last candle `is_closed` only once it cannot change any more.

        Raises:
            ValueError: a time has no zone, `start` is not before `end`, or `limit` is no whole number of at least 1.
            UnknownInstrument: the exchange lists no such pair.
            NotOffered: the exchange has no candles of this interval; the error lists its intervals.
            Rejected: more than 10,000 candles, or older ones than the exchange gives.
            RetryLater: the exchange could not be asked now.
        """
        body = candles_body(pair, interval, start, end, limit)
        return read_candles(await self._catalog("candles", body, timeout_s))

    async def mid_price(self, pair: str, timeout_s: float = 5.0) -> Decimal | None:
        """Return the mid price of any pair that the exchange lists; None when a side of its book is empty.

        A tracked pair whose book is LIVE is read from memory; any other is asked of the catalog actor, which keeps
        answers for about a second and asks the exchange once however many ask at the same time.

        Raises:
            UnknownInstrument: the exchange lists no such pair.
            RetryLater: the exchange could not be asked now.
        """
        AsyncWaits.begin()
        top = self._live_top(pair)
        if top is not None:
            return top.mid
        return read_decimal(await self._catalog("mid_price", {"pair": pair}, timeout_s))

    async def get_snapshot(self, pair: str, limit: int = 1000, timeout_s: float = 15.0) -> BookSnapshot:
        """Return the book of any pair that the exchange lists, `limit` levels a side at most.

        A tracked pair's comes from its book actor, as deep as it is proven there (memory holds only the best levels);
        the book of any other pair, or of one that is not LIVE, is fetched from the exchange now.

        Raises:
            ValueError: `limit` is no whole number of at least 1.
            UnknownInstrument: the exchange lists no such pair.
            RetryLater: the exchange could not be asked now.
        """
        body = snapshot_body(pair, limit)
        if self._live_top(pair) is not None:
            with contextlib.suppress(RetryLater, NotSynced):  # it died just now: the exchange knows
                plain = await self.ask_role(book_address(self.exchange, pair), "snapshot", body, timeout_s)
                if plain["state"] == BookState.LIVE:
                    return read_snapshot(plain)
        return read_snapshot(await self._catalog("get_snapshot", body, timeout_s))

    async def check_network(self, timeout_s: float = 5.0) -> None:
        """Return when the exchange answered a ping through the mesh just now.

        Raises:
            RetryLater: no answer; the reason says why.
        """
        await self._catalog("check_network", None, timeout_s)

    # ------------------------------------------------------------------ the network

    async def stop_network(self, timeout_s: float = 30.0) -> None:
        """Stop the feeds of this exchange, for the whole mesh: every book of it ends in order. Idempotent.

        What is tracked stays tracked: `trading_pairs` keeps it, the views stay valid and raise `NotSynced` until the
        network is started again. What is asked of the exchange on demand still works. The wish outlives the supervisor.

        Raises:
            RetryLater: the supervisor or its store is away (the wish may not hold yet), or the books have not all ended
                within the timeout (they are ending).
        """
        await AsyncWaits.answer(self._state.link.network, self.exchange, False, timeout_s)

    async def start_network(self, timeout_s: float = 30.0) -> None:
        """Start the feeds of this exchange again; return when the wish is durable. Idempotent.

        The books follow by themselves, each as a new incarnation; `wait_ready` waits until they are LIVE.

        Raises:
            RetryLater: the supervisor or its store is away; the wish may not hold yet.
        """
        await AsyncWaits.answer(self._state.link.network, self.exchange, True, timeout_s)

    # ------------------------------------------------------------------ inside

    def _live_top(self, pair: str) -> Top | None:
        """The top of a tracked pair whose book is LIVE here now; None for any other pair."""
        if pair not in self.instruments:
            return None
        top = self.order_book(pair).peek()
        return top if top.live else None

    async def _catalog(self, kind: str, body: Any, timeout_s: float) -> Any:
        return await self.ask_role(catalog_address(self.exchange), kind, body, timeout_s)
