"""Market data of an order manager: current trading rules, tops of books, fees.

Rules come from the catalog by a long poll; changes go to the machine. A top comes from the book's segment if this node
has the book (a microsecond), else from the catalog's cached ticker. The levels of a book, for market orders, come from
the segment, else from the exchange by a request of the catalog. Fees come from the configuration, else from the
exchange for this account (cached; the last known ones while the exchange does not answer), else from the exchange's
published schedule. `FeeRates.source` says which.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from ...model.address import book_address, catalog_address
from ...model.errors import (
    DataError,
    InboxFull,
    MeshError,
    Misconfigured,
    NotSynced,
    OutcomeUnknown,
    Rejected,
    RetryLater,
    UnknownInstrument,
)
from ...model.events import BookState
from ...model.fixed import to_decimal
from ...model.instrument import Instrument
from ...model.spelling import similar_pairs
from ...model.time import SECOND_NS
from ...orderbook.view import BookReading
from ..account.gateway import Gateway
from ..catalog.settings import LISTING_AGAIN_S
from ..cell.background import Background
from ..cell.role import Context
from ..limits.machine import Priority
from .machine.effects import Top
from .settings import OrderManagerSettings

POLL_S = 30.0
FEES_KEPT_NS = 3600 * SECOND_NS
TOP_WAIT_S = 2.0
Raw = np.ndarray[Any, np.dtype[np.int64]]  # rows of price and size
NO_ANSWER = (RetryLater, OutcomeUnknown, InboxFull, Rejected, DataError)


@dataclass(frozen=True, slots=True)
class FeeRates:
    """Fee rates of one pair on this account, as fractions, and their source."""

    maker: Decimal
    taker: Decimal
    source: str
    discount: str = ""


class Markets:
    """See the module."""

    def __init__(
        self,
        settings: OrderManagerSettings,
        context: Context,
        gateway: Gateway,
        changed: Callable[[list[Instrument]], None],
    ) -> None:
        self._context, self._gateway, self._changed = context, gateway, changed
        self._exchange = settings.machine.exchange
        self._catalog = catalog_address(self._exchange)
        self._maker_fee, self._taker_fee = settings.maker_fee, settings.taker_fee
        self._version = 0
        self._by_name: dict[str, Instrument] = {}
        self._views: dict[str, BookReading] = {}
        self._fees: dict[str, tuple[int, FeeRates]] = {}
        self._background = Background()
        self._known = asyncio.Event()
        self.error: str | None = "the catalog has not listed the instruments yet"

    def start(self) -> None:
        self._background.start(self._follow())

    async def stop(self) -> None:
        await self._background.stop()

    async def known(self, wait_s: float | None) -> list[Instrument]:
        """Wait until the instruments are known and return them; none if they are not known in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._known.wait()
        return list(self._by_name.values())

    @property
    def are_known(self) -> bool:
        """Whether the catalog has listed the instruments."""
        return self._known.is_set()

    def keep(self, instruments: Iterable[Instrument]) -> None:
        """Hold the instruments of orders, whether or not the exchange lists them."""
        self._take({instrument.name: instrument for instrument in instruments})

    def lists(self, pair: str) -> bool:
        """Return whether the pair is known: the exchange lists or listed it, or an order has it."""
        return pair in self._by_name

    def _take(self, instruments: Mapping[str, Instrument]) -> None:
        self._by_name |= instruments
        self._gateway.codec.bind(list(self._by_name.values()))

    def instrument(self, pair: Any) -> Instrument:
        """Return the instrument of a pair. Raises UnknownInstrument."""
        found = self._by_name.get(pair) if isinstance(pair, str) else None
        if found is None:
            similar = similar_pairs(str(pair), self._by_name)
            raise UnknownInstrument(self._exchange, str(pair), "the exchange does not list it", similar)
        return found

    async def _follow(self) -> None:
        context = self._context
        try:
            while True:
                kind = "poll:instruments" if self._version else "instruments"
                try:
                    listed = await context.ask(self._catalog, kind, {"after": self._version}, POLL_S)
                except NO_ANSWER as error:
                    if not self._version:
                        self.error = f"the catalog does not list the instruments: {error}"
                    await asyncio.sleep(LISTING_AGAIN_S)
                    continue
                if listed is None or listed["version"] == self._version:
                    continue
                self._version, self.error = listed["version"], None
                found = [Instrument.from_dict(plain) for plain in listed["instruments"]]
                self._take({instrument.name: instrument for instrument in found})
                self._changed(found)
                self._known.set()
        except Exception as failure:  # an unexpected error ends the cell
            context.fail(failure)
            raise

    # ------------------------------------------------------------------ tops

    def top_here(self, pair: str) -> Top | None:
        """Return the top of the book from its segment on this node; None if this node has no LIVE book."""
        instrument = self._by_name.get(pair)
        if instrument is None:
            return None
        try:
            top = self._view(instrument).top()
        except (NotSynced, Misconfigured):
            return None
        bid, ask = top.best_bid, top.best_ask
        prices = (None if bid is None else bid.price, None if ask is None else ask.price)
        return Top(*prices, self._context.monotonic_ns())

    def _view(self, instrument: Instrument) -> BookReading:
        view = self._views.get(instrument.name)
        if view is None:
            address = book_address(self._exchange, instrument.name)
            view = self._views[instrument.name] = BookReading(self._context.segments, instrument, address)
        return view

    async def top(self, pair: str) -> Top | None:
        """Return the top of a book, from this node or else from the catalog; None if neither has it."""
        found = self.top_here(pair)
        if found is not None:
            return found
        asked_ns = self._context.monotonic_ns()
        try:
            row = await self._context.ask(self._catalog, "ticker", {"pair": pair}, TOP_WAIT_S)
        except MeshError:
            return None
        return Top(_price(row["bid"]), _price(row["ask"]), asked_ns)

    def levels_here(self, pair: str) -> Top | None:
        """Return the top of the book and its best levels from its segment on this node; None without a LIVE book."""
        instrument = self._by_name.get(pair)
        if instrument is None:
            return None
        try:
            book = self._view(instrument).snapshot()
        except (NotSynced, Misconfigured):
            return None
        scales = (book.price_scale, book.size_scale)
        return _with_levels(book.bids, book.asks, scales, self._context.monotonic_ns())

    async def all_levels(self, pair: str) -> Top | None:
        """Return the top of a book and all levels that the book's actor has proven, or else the exchange's answer now.

        None: neither answers.
        """
        read_ns, address = self._context.monotonic_ns(), book_address(self._exchange, pair)
        for asked, wanted in ((address, BookState.LIVE), (self._catalog, None)):
            kind, body = ("snapshot" if wanted else "get_snapshot"), {"pair": pair}
            try:
                row = await self._context.ask(asked, kind, body, TOP_WAIT_S)
            except MeshError:
                continue
            if wanted in (None, row["state"]):
                bids, asks = (
                    np.frombuffer(row[side], "<i8").reshape(-1, 2)[: row.get(f"proven_{side}")]
                    for side in ("bids", "asks")
                )
                return _with_levels(bids, asks, (row["price_scale"], row["size_scale"]), read_ns)
        return None

    # ------------------------------------------------------------------ fees

    async def fees(self, pair: Any) -> FeeRates:
        """Return the fee rates of `pair` for this account. Raises UnknownInstrument."""
        instrument = self.instrument(pair)
        if self._maker_fee is not None and self._taker_fee is not None:
            return FeeRates(self._maker_fee, self._taker_fee, "configuration")
        held = self._fees.get(instrument.name)
        now_ns = self._context.monotonic_ns()
        if held is None or now_ns - held[0] >= FEES_KEPT_NS:
            stated = await self._ask_fees(instrument)
            held = held if stated is None else (now_ns, stated)
            if held is not None:
                self._fees[instrument.name] = held
        offer = self._gateway.codec.offer
        rates = FeeRates(offer.maker_fee, offer.taker_fee, "schedule") if held is None else held[1]
        return FeeRates(
            rates.maker if self._maker_fee is None else self._maker_fee,
            rates.taker if self._taker_fee is None else self._taker_fee,
            rates.source,
            rates.discount,
        )

    async def _ask_fees(self, instrument: Instrument) -> FeeRates | None:
        """Request the account's rates; None: the exchange does not state them now. A caller waits for them."""
        gateway = self._gateway
        try:
            stated = (await gateway.read(gateway.codec.fees(instrument), Priority.URGENT)).fees
        except MeshError:
            return None
        return None if stated is None else FeeRates(stated.maker, stated.taker, "exchange", stated.discount)


def _price(text: Any) -> Decimal | None:
    return Decimal(text) if text else None


def _with_levels(bids: Raw, asks: Raw, scales: tuple[int, int], read_ns: int) -> Top:
    """Return a top with its levels, from raw prices and sizes."""
    sides = [
        tuple((to_decimal(price, scales[0]), to_decimal(size, scales[1])) for price, size in side.tolist())
        for side in (bids, asks)
    ]
    bid, ask = (side[0][0] if side else None for side in sides)
    return Top(bid, ask, read_ns, *sides)
