"""`Market`: one exchange as a strategy sees it. Small, picklable, without a connection of its own.

Reads of books and trades go to the shared-memory segments of the node the strategy runs on: no Ray call, no lock, about
a microsecond. What is asked of the exchange on demand (untracked pairs, all markets) is one call to the exchange's
catalog actor; those methods exist in a blocking form and, with the suffix `_async`, in an awaitable one for use inside
async actors. Orders, balances and events of the market's account are in `orders`, its other half. The facade
decides nothing about the market: it checks, asks and waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..model.errors import Misconfigured, NotSynced, OutcomeUnknown, RetryLater, UnknownExchange, UnknownInstrument
from ..model.events import BookState
from ..model.instrument import Instrument
from ..orderbook.records import Trade
from ..orderbook.segment import Top
from ..orderbook.snapshot import BookSnapshot
from ..orderbook.view import BookView
from .account import AGAIN_S, TradingLink
from .orders import Trading
from .ticks import every

if TYPE_CHECKING:
    import pandas as pd


LEVELS_MAX = 1_000_000  # of a snapshot: more than any exchange gives


class Link(TradingLink, Protocol):
    """What `Market` needs of the mesh; `venuemesh.mesh.mesh` has the real one, tests a fake."""

    def exchanges(self) -> list[str]: ...
    def tracked(self, exchange: str) -> dict[str, Instrument]:
        """The tracked instruments of an exchange, by name, as of the newest route table this process has."""

    def view(self, address: str, instrument: Instrument) -> BookView: ...
    def network(self, exchange: str, running: bool, timeout_s: float) -> None:
        """Start or stop the feeds of an exchange; see `Market.stop_network`."""

    async def network_async(self, exchange: str, running: bool, timeout_s: float) -> None: ...
    def children(self) -> list[dict[str, Any]]:
        """The supervisor's tree: a row per actor."""


@dataclass(frozen=True, slots=True)
class ActiveMarket:
    """One instrument that trades now, with its last 24 hours. Volumes are in base, quote and US dollars.

    `usd_volume` is the quote volume converted through the exchange's own rates; None when no chain of its markets leads
    from the quote asset to a dollar.
    """

    trading_pair: str
    base: str
    quote: str
    last_price: Decimal | None
    volume: Decimal
    quote_volume: Decimal
    usd_volume: Decimal | None


class ActiveMarkets(tuple[ActiveMarket, ...]):
    """Rows of `ActiveMarket`, largest dollar volume first."""

    __slots__ = ()

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a data frame indexed by trading pair, volumes as float64. Needs pandas installed."""
        import pandas as pd

        columns = ["base", "quote", "last_price", "volume", "quote_volume", "usd_volume"]
        frame = pd.DataFrame(
            [[getattr(row, column) for column in columns] for row in self],
            columns=columns,
            index=pd.Index([row.trading_pair for row in self], name="trading_pair"),
        )
        numbers = ["last_price", "volume", "quote_volume", "usd_volume"]
        return frame.astype(dict.fromkeys(numbers, "float64"))


@dataclass(frozen=True, slots=True)
class TickerRow:
    """The exchange's own 24-hour ticker of one pair."""

    trading_pair: str
    last_price: Decimal | None
    bid: Decimal | None
    ask: Decimal | None
    volume: Decimal
    quote_volume: Decimal


class OrderBooks(Mapping[str, BookView]):
    """The tracked books of one exchange by trading pair; follows what is tracked."""

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


class Market(Trading):
    """One exchange of a running mesh. Get it from `Mesh.market(exchange)`; pass it to any task or actor: it pickles.

    `account`: None takes the exchange's only one; without any the market is for reading. `owner` names the strategy on
    every order it places; when the last process that placed orders as this owner dies, the orders are kept or
    cancelled as `on_death` says.
    """

    def __init__(
        self, link: Link, exchange: str, account: str | None = None, owner: str = "", on_death: str = "keep"
    ) -> None:
        known = link.exchanges()
        if exchange not in known:
            raise UnknownExchange(exchange, known)
        accounts = link.accounts(exchange)
        if account is None and len(accounts) == 1:
            account = accounts[0]
        elif account is not None and account not in accounts:
            raise Misconfigured(f"account {account!r} of {exchange}", f"known are: {', '.join(accounts) or 'none'}")
        self.exchange = exchange
        self._link = link
        self._views: dict[str, BookView] = {}
        self._set_up(account, owner, on_death)

    def __repr__(self) -> str:
        of = f"{self.exchange} {self.account}" if self.account else self.exchange
        return f"<Market {of} of mesh {self._link.mesh}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # asks nobody: the other end may not be able to wait
        return _restore, (self._link, self.exchange, self.account, self.owner, self.on_death)

    # ------------------------------------------------------------------ what is tracked

    @property
    def instruments(self) -> dict[str, Instrument]:
        """The tracked instruments by trading pair, with their trading rules. Reads local memory."""
        found: dict[str, Instrument] = self._link.tracked(self.exchange)
        return found

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

    def order_book(self, pair: str) -> BookView:
        """Return the live view of one tracked book; the same object for the same pair.

        Returns at once and reads nothing: the view says in `state` whether there is anything to trust, and its reading
        methods raise `NotSynced` while there is not. It follows the book through restarts and moves by itself.

        Raises:
            UnknownInstrument: the mesh does not track the pair.
        """
        instrument = self.instrument(pair)
        view = self._views.get(pair)
        if view is None or view.instrument != instrument:  # new rules, perhaps new scales: a new view reads by them
            view = self._views[pair] = self._link.view(f"book/{self.exchange}/{pair}", instrument)
        return view

    @property
    def order_books(self) -> OrderBooks:
        """All tracked books, a read-only mapping from trading pair to view."""
        return OrderBooks(lambda: self.trading_pairs, self.order_book)

    @property
    def ready(self) -> bool:
        """Whether something is tracked and every tracked book is LIVE, as seen from this node now.

        False while the network is stopped.
        """
        pairs = self.trading_pairs
        return bool(pairs) and all(self.order_book(pair).state is BookState.LIVE for pair in pairs)

    @property
    def status_dict(self) -> dict[str, str]:
        """What each tracked book's state is, as seen from this node: trading pair to the state's name.

        While the network is stopped: RETIRED for a book that was read before, ABSENT for any other.
        """
        return {pair: self.order_book(pair).state.name for pair in self.trading_pairs}

    async def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Return when `ready` is true.

        Raises:
            RetryLater: it was not within the timeout; the reason names the books that are not LIVE.
        """
        try:
            async with asyncio.timeout(timeout_s):
                async for _ in every(0.02):
                    if self.ready:
                        return
        except TimeoutError:
            waiting = {pair: state for pair, state in self.status_dict.items() if state != BookState.LIVE.name}
            said = ", ".join(f"{pair} is {state}" for pair, state in waiting.items()) or "nothing is tracked"
            raise RetryLater(1.0, f"{self.exchange} is not ready after {timeout_s} s: {said}") from None

    def trades(self, pair: str, after: Trade | int | None = None) -> AsyncIterator[Trade]:
        """Iterate over the public trades of one tracked pair, from now on or after a number seen before.

        See `BookView.trades` for numbering and for what a reader that falls behind is told.
        """
        return self.order_book(pair).trades(after=after)

    # ------------------------------------------------------------------ asked of the exchange on demand

    def active_markets(self, timeout_s: float = 15.0) -> ActiveMarkets:
        """Return a row per instrument that trades now, tracked or not. One call to the catalog actor; blocks.

        Raises:
            RetryLater: the exchange could not be asked now; nothing happened.
        """
        return _active_markets(self._catalog("active_markets", None, timeout_s))

    async def active_markets_async(self, timeout_s: float = 15.0) -> ActiveMarkets:
        """`active_markets` for async actors."""
        return _active_markets(await self._catalog_async("active_markets", None, timeout_s))

    def ticker(self, pair: str, timeout_s: float = 15.0) -> TickerRow:
        """Return the exchange's own 24-hour ticker of any pair it lists. Blocks; raises as `active_markets`."""
        return _ticker(self._catalog("ticker", {"pair": pair}, timeout_s))

    async def ticker_async(self, pair: str, timeout_s: float = 15.0) -> TickerRow:
        """`ticker` for async actors."""
        return _ticker(await self._catalog_async("ticker", {"pair": pair}, timeout_s))

    def mid_price(self, pair: str, timeout_s: float = 5.0) -> Decimal | None:
        """Return the mid price of any pair the exchange lists; None when a side of its book is empty.

        A tracked pair whose book is LIVE is read from memory; any other is asked of the catalog actor, which keeps
        answers for a second or so and asks the exchange once however many ask at the same time.

        Raises:
            UnknownInstrument: the exchange lists no such pair.
            RetryLater: the exchange could not be asked now.
        """
        top = self._live_top(pair)
        return top.mid if top is not None else _decimal(self._catalog("mid_price", {"pair": pair}, timeout_s))

    async def mid_price_async(self, pair: str, timeout_s: float = 5.0) -> Decimal | None:
        """`mid_price` for async actors."""
        top = self._live_top(pair)
        if top is not None:
            return top.mid
        return _decimal(await self._catalog_async("mid_price", {"pair": pair}, timeout_s))

    def get_snapshot(self, pair: str, limit: int = 1000, timeout_s: float = 15.0) -> BookSnapshot:
        """Return the book of any pair the exchange lists, `limit` levels a side at most. Blocks.

        A tracked pair's comes from its book actor, as deep as it is proven there (memory holds only the best levels);
        any other, or one in doubt, is fetched from the exchange now.

        Raises:
            ValueError: `limit` is no whole number of at least 1.
            UnknownInstrument: the exchange lists no such pair.
            RetryLater: the exchange could not be asked now.
        """
        body = _snapshot_body(pair, limit)
        if self._live_top(pair) is not None:
            with contextlib.suppress(RetryLater, NotSynced):  # it died just now: the exchange knows
                plain = self._ask_role(f"book/{self.exchange}/{pair}", "snapshot", body, timeout_s)
                if plain["state"] == BookState.LIVE:
                    return _book_snapshot(plain)
        return _book_snapshot(self._catalog("get_snapshot", body, timeout_s))

    async def get_snapshot_async(self, pair: str, limit: int = 1000, timeout_s: float = 15.0) -> BookSnapshot:
        """`get_snapshot` for async actors."""
        body = _snapshot_body(pair, limit)
        if self._live_top(pair) is not None:
            with contextlib.suppress(RetryLater, NotSynced):
                plain = await self._ask_role_async(f"book/{self.exchange}/{pair}", "snapshot", body, timeout_s)
                if plain["state"] == BookState.LIVE:
                    return _book_snapshot(plain)
        return _book_snapshot(await self._catalog_async("get_snapshot", body, timeout_s))

    def check_network(self, timeout_s: float = 5.0) -> None:
        """Return when the exchange answered a ping through the mesh just now.

        Raises:
            RetryLater: it did not; the reason says why.
        """
        self._catalog("check_network", None, timeout_s)

    async def check_network_async(self, timeout_s: float = 5.0) -> None:
        """`check_network` for async actors."""
        await self._catalog_async("check_network", None, timeout_s)

    # ------------------------------------------------------------------ the network

    def stop_network(self, timeout_s: float = 30.0) -> None:
        """Stop the feeds of this exchange, for the whole mesh: every book of it ends in order. Idempotent; blocks.

        What is tracked stays tracked: `trading_pairs` keeps it, the views stay valid and raise `NotSynced` until the
        network is started again. What is asked of the exchange on demand still works. The wish outlives the supervisor.

        Raises:
            RetryLater: the supervisor or its store is away (the wish may not hold yet), or the books have not all ended
                within the timeout (they are ending).
        """
        self._link.network(self.exchange, False, timeout_s)

    async def stop_network_async(self, timeout_s: float = 30.0) -> None:
        """`stop_network` for async actors."""
        await self._link.network_async(self.exchange, False, timeout_s)

    def start_network(self, timeout_s: float = 30.0) -> None:
        """Start the feeds of this exchange again. Idempotent; blocks until the wish is durable.

        The books follow by themselves, each as a new incarnation; `wait_ready` waits until they are LIVE.

        Raises:
            RetryLater: the supervisor or its store is away; the wish may not hold yet.
        """
        self._link.network(self.exchange, True, timeout_s)

    async def start_network_async(self, timeout_s: float = 30.0) -> None:
        """`start_network` for async actors."""
        await self._link.network_async(self.exchange, True, timeout_s)

    # ------------------------------------------------------------------ time

    def every(self, seconds: float) -> AsyncIterator[int]:
        """Iterate with a tick every `seconds`, paced by the monotonic clock; see `venuemesh.market.ticks.every`."""
        return every(seconds)

    # ------------------------------------------------------------------ inside

    def _live_top(self, pair: str) -> Top | None:
        """The top of a tracked pair whose book is LIVE here now; None of any other."""
        if pair not in self.instruments:
            return None
        top = self.order_book(pair).peek()
        return top if top.live else None

    def _ask_role(self, address: str, kind: str, body: Any, timeout_s: float) -> Any:
        """Ask a role something that changes nothing: an outcome that is unknown only means to ask again."""
        try:
            return self._link.call(address, kind, body, timeout_s)
        except OutcomeUnknown as error:
            raise RetryLater(AGAIN_S, str(error)) from error

    async def _ask_role_async(self, address: str, kind: str, body: Any, timeout_s: float) -> Any:
        try:
            return await self._link.call_async(address, kind, body, timeout_s)
        except OutcomeUnknown as error:
            raise RetryLater(AGAIN_S, str(error)) from error

    def _catalog(self, kind: str, body: Any, timeout_s: float) -> Any:
        return self._ask_role(f"catalog/{self.exchange}", kind, body, timeout_s)

    async def _catalog_async(self, kind: str, body: Any, timeout_s: float) -> Any:
        return await self._ask_role_async(f"catalog/{self.exchange}", kind, body, timeout_s)


def _snapshot_body(pair: str, limit: int) -> dict[str, Any]:
    if type(limit) is not int or not 1 <= limit <= LEVELS_MAX:
        raise ValueError(f"limit is {limit!r}; it must be a whole number from 1 to {LEVELS_MAX}")
    return {"pair": pair, "limit": limit, "levels": limit}


def _restore(link: Link, exchange: str, account: str | None, owner: str, on_death: str) -> Market:
    market = Market.__new__(Market)
    market.exchange, market._link, market._views = exchange, link, {}
    market._set_up(account, owner, on_death)  # ids of its own: two copies never choose the same
    return market


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _book_snapshot(plain: dict[str, Any]) -> BookSnapshot:
    sides: dict[str, Any] = {}
    for side in ("bids", "asks"):
        levels = np.frombuffer(plain[side], "<i8").reshape(-1, 2)
        proven = plain.get(f"proven_{side}", len(levels))
        sides[side] = levels[:proven]
        sides[f"{side}_complete"] = plain[f"{side}_complete"] and proven >= len(levels)
    return BookSnapshot(
        address=plain["address"],
        incarnation=(plain["incarnation"][0], plain["incarnation"][1]),
        state=BookState(plain["state"]),
        version=plain.get("version", 0),
        sequence=plain["sequence"],
        ts_event_ns=plain["ts_event_ns"],
        ts_recv_ns=plain["ts_recv_ns"],
        price_scale=plain["price_scale"],
        size_scale=plain["size_scale"],
        **sides,
    )


def _active_markets(rows: list[dict[str, Any]]) -> ActiveMarkets:
    markets = [
        ActiveMarket(
            trading_pair=row["name"],
            base=row["base"],
            quote=row["quote"],
            last_price=_decimal(row["last_price"]),
            volume=Decimal(row["volume"]),
            quote_volume=Decimal(row["quote_volume"]),
            usd_volume=_decimal(row["usd_volume"]),
        )
        for row in rows
    ]
    return ActiveMarkets(sorted(markets, key=lambda row: (-(row.usd_volume or Decimal(0)), row.trading_pair)))


def _ticker(row: dict[str, Any]) -> TickerRow:
    return TickerRow(
        trading_pair=row["name"],
        last_price=_decimal(row["last_price"]),
        bid=_decimal(row["bid"]),
        ask=_decimal(row["ask"]),
        volume=Decimal(row["volume"]),
        quote_volume=Decimal(row["quote_volume"]),
    )
