"""Market data of an order manager: current trading rules, tops of books, fees.

Rules come from the catalog by a long poll; changes go to the machine. A top comes from the book's segment if this node
has the book (a microsecond), else from the catalog's cached ticker. Fees come from the configuration, else from the
exchange for this account (cached; the last known ones while the exchange does not answer), else from the exchange's
published schedule. `FeeRates.source` says which.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

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

    async def known(self) -> list[Instrument]:
        """Wait until the instruments are known and return them."""
        await self._known.wait()
        return list(self._by_name.values())

    @property
    def are_known(self) -> bool:
        """Whether the catalog has listed the instruments."""
        return self._known.is_set()

    def lists(self, pair: str) -> bool:
        """Return whether the exchange lists the pair."""
        return pair in self._by_name

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
                self._by_name = {instrument.name: instrument for instrument in found}
                self._gateway.codec.bind(found)
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
        view = self._views.get(pair)
        if view is None:
            address = book_address(self._exchange, pair)
            view = self._views[pair] = BookReading(self._context.segments, instrument, address)
        try:
            top = view.top()
        except (NotSynced, Misconfigured):
            return None
        bid, ask = top.best_bid, top.best_ask
        prices = (None if bid is None else bid.price, None if ask is None else ask.price)
        return Top(*prices, self._context.monotonic_ns())

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
