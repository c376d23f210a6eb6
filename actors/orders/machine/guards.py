"""Refusals before anything is sent: unoffered features, paused scopes, trading rules, guards. Pure.

The price band refuses prices that lose money: a buy above best ask x (1 + band), a sell below best bid x (1 - band). It
allows orders that rest far from the market. A market order is refused if the book does not hold its amount within the
band. If a band is set and the book is not known, the order is refused. For stop orders the band compares only the limit
price with the stop price, because the book will have moved when they trigger.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import ROUND_UP, Decimal

from ....connectors.spec import Amend, Offer
from ....model.errors import MeshError, NotOffered, Paused, RetryLater, RuleViolation, UnknownInstrument
from ....model.events import Side
from ....model.instrument import Instrument
from ....model.order import ZERO, NewOrder, Order, OrderType, as_new
from ....model.rules import check, notional, quantize
from ....model.spelling import similar_pairs
from ....model.time import SECOND_NS
from ..settings import Limits, OrderSettings
from .effects import Levels, Now, Top
from .ledger import EXACT, Ledger, Terms

ONE = Decimal(1)


class Guards:
    """See the module. Holds the configured limits, the instruments, the pauses and the latest tops."""

    def __init__(self, settings: OrderSettings, offer: Offer, instruments: Iterable[Instrument]) -> None:
        self._settings, self._offer = settings, offer
        self._id = re.compile(offer.client_id_pattern)
        self.instruments = {one.name: one for one in instruments}
        self.by_symbol = {one.symbol: one for one in self.instruments.values()}
        self._is_listed = bool(self.instruments)
        self.pauses: dict[str, str] = {}
        self.tops: dict[str, Top] = {}

    def adopt(self, instrument: Instrument) -> None:
        """Hold an instrument, whether or not the exchange lists it. Its earlier symbol stays known."""
        self.instruments[instrument.name] = self.by_symbol[instrument.symbol] = instrument

    def instrument(self, pair: str) -> Instrument:
        """Raises UnknownInstrument, or RetryLater while no list of the exchange is known."""
        found = self.instruments.get(pair)
        if found is None and not self._is_listed:
            raise RetryLater(1.0, "the exchange's list of instruments is not known yet")
        if found is None:
            similar = similar_pairs(pair, self.instruments)
            raise UnknownInstrument(self._settings.exchange, pair, "the exchange does not list it", similar)
        return found

    def rules(self, instruments: Iterable[Instrument], open_on: Callable[[str], int]) -> list[str]:
        """Apply the exchange's current rules; return the pairs whose rules changed.

        A pair that the exchange no longer lists keeps its rules, and a pair with open orders (`open_on`) its symbol.
        """
        changed: list[str] = []
        for one in instruments:
            self._is_listed = True
            held = self.instruments.get(one.name)
            if held == one or (held is not None and held.symbol != one.symbol and open_on(one.name)):
                continue
            self.adopt(one)
            if held is not None:
                changed.append(one.name)
        return changed

    def paused(self, pair: str) -> None:
        """Raises Paused: trading is paused in a scope that includes the pair."""
        for scope in ("mesh", self._settings.exchange, "account", self._settings.account, pair):
            if scope in self.pauses:
                raise Paused(scope, self.pauses[scope])

    def top(self, pair: str, now: Now) -> Top:
        """Return the pair's top; both sides None if no recent top is known."""
        found = self.tops.get(pair)
        if found is None or now.mono_ns - found.mono_ns > self._settings.top_age_s * SECOND_NS:
            return Top(None, None, now.mono_ns)
        return found

    def judge(self, asked: NewOrder, ledger: Ledger, ahead: Mapping[str, int], now: Now) -> NewOrder | MeshError:
        """Return the quantized order, or the reason to refuse it.

        `ahead`: the number of earlier orders of the same command, per pair.
        """
        try:
            instrument = self.instrument(asked.pair)
            self._offered(asked)
            self.paused(asked.pair)
            order = quantize(instrument, asked)
            top = self.top(asked.pair, now)
            opposite = top.ask if order.side is Side.BUY else top.bid
            check(instrument, order, opposite)
            self._band(order, top)
            self._notional(order, opposite)
            self._count(order, ledger, ahead, instrument)
        except MeshError as error:
            return error
        return order

    def quantized(self, asked: NewOrder) -> NewOrder:
        """Return the order on the grids of its pair. Raises UnknownInstrument, RuleViolation."""
        return quantize(self.instrument(asked.pair), asked)

    def need(self, order: NewOrder, now: Now) -> tuple[str, Decimal | None]:
        """Return the asset and amount that a quantized order takes; None: unknown, so it takes everything available."""
        instrument = self.instruments[order.pair]
        if order.side is Side.SELL:
            return instrument.base, order.amount if order.quote_amount is None else self._worth(order, now)
        if order.quote_amount is not None:
            return instrument.quote, order.quote_amount
        price = order.price
        if price is None:
            near = order.stop_price if order.stop_price is not None else self.top(order.pair, now).ask
            slack = self._limit(order.pair, "price_band") or self._settings.market_slack
            price = None if near is None else EXACT.multiply(near, ONE + slack)
        if price is None or order.amount is None:
            return instrument.quote, None
        return instrument.quote, EXACT.multiply(price, order.amount)

    def growth(self, order: Order, terms: Terms, *, at_most: bool = True) -> tuple[str, Decimal]:
        """Return the asset and the amount that new terms take beyond an order's terms; below zero: they take less.

        With `at_most`, the largest amount for any fills in the meantime: a buy of more at a lower price takes more
        beyond the old terms the more has been filled.
        """
        instrument, (amount, price) = self.instruments[order.pair], terms
        old, new, filled = order.amount or ZERO, amount or ZERO, order.filled
        if order.side is Side.SELL:
            return instrument.base, EXACT.subtract(new, old)
        before, after = (self._near(order, one) for one in (order.price, price))

        def more(done: Decimal) -> Decimal:
            left, kept = EXACT.subtract(new, done), EXACT.subtract(old, done)
            return EXACT.subtract(EXACT.multiply(left, after), EXACT.multiply(kept, before))

        worst = more(max(filled, min(old, new))) if at_most else more(filled)
        return instrument.quote, max(more(filled), worst)

    def _near(self, order: Order, price: Decimal | None) -> Decimal:
        """Return the price that a buy pays at most; without a limit price, the stop price with slack."""
        if price is not None or order.stop_price is None:
            return price or ZERO
        slack = self._limit(order.pair, "price_band") or self._settings.market_slack
        return EXACT.multiply(order.stop_price, ONE + slack)

    def amended(self, order: Order, amount: Decimal | None, price: Decimal | None, now: Now) -> None:
        """Check an order's new terms. An order that only gets smaller needs no further check.

        Raises:
            NotOffered: the exchange has no amendments of this pair, or not of this kind.
            RuleViolation: as `judge`, or the new amount is not above the filled amount.
            Paused: as `judge`.
        """
        instrument, offered = self.instrument(order.pair), self._offer.amend
        current = order.amount or Decimal(0)
        if not offered or (instrument.features and "amend" not in instrument.features):
            raise NotOffered(self._settings.exchange, f"amending {instrument.name}")
        bound = f"below {current:f} and " if Amend.LARGER not in offered else ""
        if amount is None or amount <= order.filled or (bound and amount > current):
            shown = "none" if amount is None else f"{amount:f}"
            reason = f"the new amount {shown} must be {bound}above the filled {order.filled:f}"
            raise RuleViolation("amount", instrument.name, reason)
        if price != order.price and (Amend.PRICE not in offered or order.price is None):
            raise NotOffered(self._settings.exchange, f"amending the price of {instrument.name}")
        if amount <= current and price == order.price:
            return
        self.paused(order.pair)
        new = replace(as_new(order), amount=amount, price=price)
        top = self.top(order.pair, now)
        opposite = top.ask if order.side is Side.BUY else top.bid
        check(instrument, new, opposite)
        self._band(new, top)
        self._notional(new, opposite)

    def _worth(self, order: NewOrder, now: Now) -> Decimal | None:
        bid = self.top(order.pair, now).bid
        if bid is None or order.quote_amount is None:
            return None
        slack = self._limit(order.pair, "price_band") or self._settings.market_slack
        scale = Decimal(1).scaleb(-self.instruments[order.pair].size_scale)
        return (order.quote_amount / (bid * (ONE - min(slack, Decimal("0.9"))))).quantize(scale, ROUND_UP)

    def _limit(self, pair: str, name: str) -> Decimal | None:
        found: Decimal | None = getattr(self._settings.pair_limits.get(pair, Limits()), name)
        general: Decimal | None = getattr(self._settings.limits, name)
        return general if found is None else found

    def _offered(self, asked: NewOrder) -> None:
        def no(what: str) -> NotOffered:
            return NotOffered(self._settings.exchange, what)

        if asked.order_type not in self._offer.order_types:
            raise no(f"{asked.order_type.value} orders")
        if asked.time_in_force is not None and asked.time_in_force not in self._offer.times_in_force:
            raise no(f"time in force {asked.time_in_force.value}")
        if asked.quote_amount is not None and not self._offer.quote_amount:
            raise no("orders by quote amount")
        is_market, by_quote = asked.order_type is OrderType.MARKET, asked.quote_amount is not None
        if is_market and self._offer.by_spent_asset and by_quote != (asked.side is Side.BUY):
            instead = "amount" if by_quote else "quote_amount"
            raise no(f"a MARKET order to {asked.side.value} by this amount; give its {instead}")
        if asked.self_trade is not None and asked.self_trade not in self._offer.self_trade_modes:
            raise no(f"self-trade prevention {asked.self_trade}")
        if self._id.fullmatch(asked.client_order_id) is None:
            raise RuleViolation(
                "client_order_id", asked.pair, f"{asked.client_order_id!r} is not a valid id on this exchange"
            )
        if not asked.client_order_id.startswith(self._settings.prefix):
            reason = f"{asked.client_order_id!r} must begin with {self._settings.prefix!r}, like all ids of this mesh"
            raise RuleViolation("client_order_id", asked.pair, reason)

    def _band(self, order: NewOrder, top: Top) -> None:
        band, buy = self._limit(order.pair, "price_band"), order.side is Side.BUY
        if band is None:
            return
        near = order.stop_price if order.stop_price is not None else top.ask if buy else top.bid
        if near is None:
            raise RuleViolation("price_band", order.pair, "the top of the book is not known now")
        bound = EXACT.multiply(near, ONE + band if buy else ONE - band)
        if order.price is None:
            if order.stop_price is None:
                self._reach(order, top.asks if buy else top.bids, bound, f"{band:%} from {_text(near)}")
        elif (order.price > bound) if buy else (order.price < bound):
            reason = f"{order.side.value} at {_text(order.price)} is beyond {_text(bound)}, {band:%} from {_text(near)}"
            raise RuleViolation("price_band", order.pair, reason)

    def exceeds_band(self, order: NewOrder, top: Top) -> bool:
        """Return whether the price band refuses the order by this top; more levels may show that it need not."""
        try:
            self._band(order, top)
        except RuleViolation:
            return True
        return False

    def _reach(self, order: NewOrder, levels: Levels | None, bound: Decimal, distance: str) -> None:
        """Check that a market order fills within the bound, by the known levels of the other side."""
        if levels is None:
            reason = "the book is not known now, so nothing bounds a market order; a limit order has a bound"
            raise RuleViolation("price_band", order.pair, reason)
        instrument, held = self.instruments[order.pair], ZERO
        for price, size in levels:
            if (price > bound) if order.side is Side.BUY else (price < bound):
                break
            held = EXACT.add(held, size if order.quote_amount is None else EXACT.multiply(price, size))
        asked, unit = order.amount or ZERO, instrument.base
        if order.quote_amount is not None:
            asked, unit = order.quote_amount, instrument.quote
        if held < asked:
            reason = f"{order.side.value} {_text(asked)} {unit} at market would go beyond {_text(bound)}, {distance}"
            known = f"the known book holds {_text(held)} {unit} up to there"
            raise RuleViolation("price_band", order.pair, f"{reason}: {known}")

    def _notional(self, order: NewOrder, opposite: Decimal | None) -> None:
        most = self._limit(order.pair, "max_order_notional")
        if most is None:
            return
        worth = notional(order, opposite)
        if order.side is Side.SELL and order.amount is not None and opposite is not None and worth is not None:
            # A sell trades at the bid, even if its own price is lower
            worth = max(worth, EXACT.multiply(opposite, order.amount))
        if worth is None:
            raise RuleViolation(
                "max_order_notional",
                order.pair,
                "no price is known now, so the notional of the order cannot be computed",
            )
        if worth > most:
            raise RuleViolation("max_order_notional", order.pair, f"the order's notional {worth:f} is above {most:f}")

    def _count(self, order: NewOrder, ledger: Ledger, ahead: Mapping[str, int], instrument: Instrument) -> None:
        most = self._settings.limits.max_open_orders
        count = ledger.open_count + sum(ahead.values())
        if most is not None and count >= most:
            raise RuleViolation("max_open_orders", order.pair, f"the account already has {count} open orders")
        own = self._settings.pair_limits.get(order.pair, Limits()).max_open_orders
        bounds = [bound for bound in (own, instrument.max_orders) if bound is not None]
        if bounds:
            count = ledger.open_on(order.pair) + ahead.get(order.pair, 0)
            if count >= min(bounds):
                raise RuleViolation("max_open_orders", order.pair, f"the pair already has {count} open orders")


def _text(number: Decimal) -> str:
    """Return a number without exponent and trailing zeros."""
    return f"{number.normalize():f}"
