"""Trading rules: rounds orders to the exchange's grids, and finds a rule that an order breaks. Pure and exact.

Amounts are rounded down. Prices are rounded down, or up for a sell.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_DOWN, Context, Decimal

from .errors import RuleViolation
from .events import Side
from .instrument import Instrument
from .order import NewOrder, OrderType

_EXACT = Context(prec=100)


def price_increment(instrument: Instrument, price: Decimal | None = None) -> Decimal:
    """Return the step of prices, near `price` if the step depends on the price."""
    return instrument.price_increment or Decimal(1).scaleb(-instrument.price_scale)


def size_increment(instrument: Instrument, size: Decimal | None = None, *, market: bool = False) -> Decimal:
    """Return the step of amounts; with `market`, the step for orders that take any price."""
    own = instrument.market_size_increment if market else None
    return own or instrument.size_increment or Decimal(1).scaleb(-instrument.size_scale)


def quantize_price(instrument: Instrument, price: Decimal, side: Side | None = None) -> Decimal:
    """Return `price` on the grid of prices, rounded up for a sell, else down.

    Raises:
        RuleViolation: not a positive finite number, or zero after rounding.
    """
    _check_number(instrument, "price", price)
    rounding = ROUND_CEILING if side is Side.SELL else ROUND_DOWN
    found = _to_step(price, price_increment(instrument, price), rounding)
    if found <= 0:
        raise RuleViolation("price_increment", instrument.name, f"{price:f} is below one price step")
    return found


def quantize_amount(instrument: Instrument, amount: Decimal, *, market: bool = False) -> Decimal:
    """Return the largest amount on the grid that is not above `amount`; it may be zero.

    Raises:
        RuleViolation: not a positive finite number.
    """
    _check_number(instrument, "amount", amount)
    return _to_step(amount, size_increment(instrument, amount, market=market), ROUND_DOWN)


def quantize(instrument: Instrument, order: NewOrder) -> NewOrder:
    """Return `order` with price and amount on their grids. Raises RuleViolation as the two functions above."""
    market = not order.order_type.has_price
    return replace(
        order,
        price=None if order.price is None else quantize_price(instrument, order.price, order.side),
        stop_price=None if order.stop_price is None else quantize_price(instrument, order.stop_price),
        amount=None if order.amount is None else quantize_amount(instrument, order.amount, market=market),
    )


def check(instrument: Instrument, order: NewOrder, price_now: Decimal | None = None) -> None:
    """Check a quantized order against the known rules, without a request.

    `price_now` (the best opposite price) replaces the price of an order without one; None: do not check such an order's
    notional. Rules about average prices are left to the exchange.

    Raises:
        RuleViolation: names the first rule that the order breaks.
    """

    def no(rule: str, reason: str) -> RuleViolation:
        return RuleViolation(rule, instrument.name, reason)

    if not instrument.is_trading:
        raise no("not_trading", f"its status is {instrument.status}")
    kind = order.order_type
    if instrument.order_types and kind.value not in instrument.order_types:
        raise no("order_type", f"{kind.value} is not among {', '.join(instrument.order_types)}")
    _check_shape(order, instrument)
    if order.self_trade is not None and order.self_trade not in instrument.self_trade_modes:
        raise no("self_trade", f"{order.self_trade} is not among {', '.join(instrument.self_trade_modes)}")
    for name, price in (("price", order.price), ("stop_price", order.stop_price)):
        if price is not None:
            _check_price(instrument, name, price)
    if order.amount is not None:
        _check_amount(instrument, order)
    _check_notional(instrument, order, price_now)


def notional(order: NewOrder, price_now: Decimal | None = None) -> Decimal | None:
    """Return the order's value in quote, by its own price or by `price_now`; None if it has neither."""
    if order.quote_amount is not None:
        return order.quote_amount
    price = order.price if order.price is not None else price_now
    if price is None or order.amount is None:
        return None
    return _EXACT.multiply(price, order.amount)


def _check_shape(order: NewOrder, instrument: Instrument) -> None:
    kind = order.order_type

    def refuse(rule: str, reason: str) -> RuleViolation:
        return RuleViolation(rule, instrument.name, reason)

    if kind.has_price != (order.price is not None):
        raise refuse("price", f"a {kind.value} order {'needs a' if kind.has_price else 'takes no'} price")
    if kind.has_stop != (order.stop_price is not None):
        raise refuse("stop_price", f"a {kind.value} order {'needs a' if kind.has_stop else 'takes no'} stop price")
    if (order.amount is None) == (order.quote_amount is None):
        raise refuse("amount", "an order has an amount or a quote amount, not both")
    if order.quote_amount is not None:
        if kind is not OrderType.MARKET:
            raise refuse("quote_amount", f"a {kind.value} order takes no quote amount")
        if "quote_amount" not in instrument.features:
            raise refuse("quote_amount", "this pair takes no orders by quote amount")
        _check_number(instrument, "quote_amount", order.quote_amount)
    if order.time_in_force is not None and kind not in (
        OrderType.LIMIT,
        OrderType.STOP_LOSS_LIMIT,
        OrderType.TAKE_PROFIT_LIMIT,
    ):
        raise refuse("time_in_force", f"a {kind.value} order takes no time in force")


def _check_price(instrument: Instrument, name: str, price: Decimal) -> None:
    def refuse(rule: str, reason: str) -> RuleViolation:
        return RuleViolation(rule, instrument.name, f"{name} {price:f} {reason}")

    _check_number(instrument, name, price)
    if _off_step(price, price_increment(instrument, price)):
        raise refuse("price_increment", f"is not a multiple of {price_increment(instrument, price):f}")
    if instrument.min_price is not None and price < instrument.min_price:
        raise refuse("min_price", f"is below {instrument.min_price:f}")
    if instrument.max_price is not None and price > instrument.max_price:
        raise refuse("max_price", f"is above {instrument.max_price:f}")


def _check_amount(instrument: Instrument, order: NewOrder) -> None:
    amount, market = order.amount, not order.order_type.has_price
    if amount is None:
        return

    def refuse(rule: str, reason: str) -> RuleViolation:
        return RuleViolation(rule, instrument.name, f"amount {order.amount:f} {reason}")

    if amount != 0:  # an amount rounded to zero is below the smallest size, not malformed
        _check_number(instrument, "amount", amount)
    least, most = instrument.min_size, instrument.max_size
    if market:
        least = max((b for b in (least, instrument.market_min_size) if b is not None), default=None)
        most = min((b for b in (most, instrument.market_max_size) if b is not None), default=None)
    if amount == 0 or (least is not None and amount < least):
        raise refuse("min_size", f"is below {least or size_increment(instrument, market=market):f}")
    for step in {size_increment(instrument, amount), size_increment(instrument, amount, market=market)}:
        if _off_step(amount, step):
            raise refuse("size_increment", f"is not a multiple of {step:f}")
    if most is not None and amount > most:
        raise refuse("max_size", f"is above {most:f}")


def _check_notional(instrument: Instrument, order: NewOrder, price_now: Decimal | None) -> None:
    worth = notional(order, price_now)
    if worth is None:
        return
    market = not order.order_type.has_price
    least = instrument.min_notional if instrument.market_min_notional or not market else None
    most = instrument.max_notional if instrument.market_max_notional or not market else None
    if least is not None and worth < least:
        raise RuleViolation("min_notional", instrument.name, f"{worth:f} {instrument.quote} is below {least:f}")
    if most is not None and worth > most:
        raise RuleViolation("max_notional", instrument.name, f"{worth:f} {instrument.quote} is above {most:f}")


def _check_number(instrument: Instrument, name: str, value: Decimal) -> None:
    if not isinstance(value, Decimal) or not value.is_finite() or value <= 0:
        raise RuleViolation(name, instrument.name, f"{name} is {value!r}; it must be a positive Decimal")
    if value.adjusted() > 30 or len(value.as_tuple().digits) > 40:
        raise RuleViolation(name, instrument.name, f"{name} has more digits than any exchange accepts")


def _to_step(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    steps = _EXACT.divide(value, step).to_integral_value(rounding)
    return _EXACT.multiply(steps, step)


def _off_step(value: Decimal, step: Decimal) -> bool:
    return _EXACT.remainder(value, step) != 0
