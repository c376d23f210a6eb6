"""The trading rules that a new order must pass. Each refusal is `Rejected` with a code that names the rule.

Source: filters.md, errors.md (Filter failures), read 2026-11-22. There are no reference prices here, so averages are
averages of trades. The manual states neither the order of the filters nor the price for a STOP_LOSS without a price;
here this is the average price, as for MARKET.
"""

from __future__ import annotations

from ...model.errors import Rejected
from ...model.events import Side
from ...model.time import MINUTE_NS
from .accounts import Account, Ticket
from .market import Market
from .rules import ONE, SCALE, Rules

INT64_MAX = 2**63 - 1
SELF_TRADE_MODES = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT")
PLAIN = ("LIMIT", "MARKET", "LIMIT_MAKER")
CONDITIONAL = ("STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
PRICELESS = ("MARKET", "STOP_LOSS", "TAKE_PROFIT")


def check_form(
    rules: Rules,
    kind: str,
    size: int,
    price: int | None,
    time_in_force: str,
    quote_size: int | None,
    self_trade: str,
    stop_price: int | None,
) -> None:
    """Check the rules that do not depend on market and account: status, combination, PRICE, SIZE, NOTIONAL.

    Raises:
        Rejected: MARKET_CLOSED, BAD_ORDER, PRICE, SIZE, NOTIONAL.
    """
    if rules.status != "TRADING":
        raise Rejected("MARKET_CLOSED", "Market is closed.")
    if (kind not in PLAIN and kind not in CONDITIONAL) or time_in_force not in ("GTC", "IOC", "FOK"):
        raise Rejected("BAD_ORDER", f"{kind} {time_in_force}")
    if self_trade not in SELF_TRADE_MODES:
        raise Rejected("BAD_ORDER", f"self-trade prevention {self_trade}")
    if (stop_price is not None) != (kind in CONDITIONAL):
        raise Rejected("BAD_ORDER", f"a {kind} order and a stop price")
    if kind in PRICELESS:
        if price is not None or (quote_size is None) == (size <= 0) or (quote_size or 0) < 0:
            raise Rejected("BAD_ORDER", f"a {kind} order has a size or a quote amount, and no price")
        if quote_size is not None and kind != "MARKET":
            raise Rejected("BAD_ORDER", f"a {kind} order has a size")
    else:
        if price is None or quote_size is not None:
            raise Rejected("BAD_ORDER", f"a {kind} order has a price and a size")
        if not rules.min_price <= price <= rules.max_price or price % rules.tick:
            raise Rejected("PRICE", "The price is outside its range or off the tick.")
    if quote_size is None and (not rules.min_size <= size <= rules.max_size or size % rules.step):
        raise Rejected("SIZE", "The size is outside its range or off the step.")
    low, high = rules.min_notional * 10**SCALE, rules.max_notional * 10**SCALE
    if price is not None and not low <= price * size <= high:
        raise Rejected("NOTIONAL", "The order is worth too little or too much.")
    if size > INT64_MAX or (price or 0) > INT64_MAX or (quote_size or 0) > INT64_MAX:
        raise Rejected("BAD_ORDER", "a number beyond int64")


def check_account(market: Market, account: Account, ticket: Ticket, now_ns: int, orders: int = 1) -> None:
    """Check the rules that depend on the market's past and on the account's open orders.

    `orders` is the number of orders placed together, for OPEN_ORDERS.

    Raises:
        Rejected: PRICE (of a stop price), MARKET_SIZE, NOTIONAL, PRICE_BAND, OPEN_ORDERS,
            STOP_ORDERS, POSITION.
    """
    rules, price, size = market.rules, ticket.price, ticket.size
    stop = ticket.stop_price
    if stop is not None and (not rules.min_price <= stop <= rules.max_price or stop % rules.tick):
        raise Rejected("PRICE", "The price is outside its range or off the tick.")
    if price is None:
        if ticket.quote_size is None:
            _market_lot(rules, size)
        _market_notional(market, ticket, now_ns)
    else:
        average = average_price(market, now_ns)
        up, down = (rules.bid_up, rules.bid_down) if ticket.side is Side.BUY else (rules.ask_up, rules.ask_down)
        if not average * down <= price * ONE <= average * up:
            raise Rejected("PRICE_BAND", "The price is too far from the average.")
    if ticket.kind != "MARKET" and account.open_here.get(market.symbol, 0) + orders > rules.max_orders:
        raise Rejected("OPEN_ORDERS", "There are too many open orders.")
    if stop is not None:
        algos = sum(1 for order in account.open.values() if order.conditional and order.symbol == market.symbol)
        if algos >= rules.max_algo_orders:
            raise Rejected("STOP_ORDERS", "There are too many open stop orders.")
    if rules.max_position and ticket.side is Side.BUY:
        base = account.balance(rules.base)
        coming = sum(
            order.remaining
            for order in account.open.values()
            if order.symbol == market.symbol and order.side is Side.BUY
        )
        if base.free + base.locked + coming + size > rules.max_position:
            raise Rejected("POSITION", "The position would be too large.")


def average_price(market: Market, now_ns: int) -> int:
    """Return the volume-weighted price of the last `average_mins` minutes; the last price if they had no trade."""
    bars, minutes = market.bars, market.rules.average_mins
    volume = quote = 0
    since = now_ns - minutes * MINUTE_NS
    for start, bar in reversed(bars.minutes.items()):
        if start < since - since % MINUTE_NS or not minutes:
            break
        volume += bar.volume
        quote += bar.quote
    return quote // volume if volume else bars.last_price


def _market_lot(rules: Rules, size: int) -> None:
    largest = rules.market_max or INT64_MAX
    if not rules.market_min <= size <= largest or (rules.market_step and size % rules.market_step):
        raise Rejected("MARKET_SIZE", "The size of a market order is outside its range or off the step.")


def _market_notional(market: Market, ticket: Ticket, now_ns: int) -> None:
    rules = market.rules
    quote = ticket.quote_size
    worth = quote * ONE if quote is not None else average_price(market, now_ns) * ticket.size
    low, high = rules.min_notional * ONE, rules.max_notional * ONE
    if (rules.min_applies_to_market and worth < low) or (rules.max_applies_to_market and worth > high):
        raise Rejected("NOTIONAL", "The order is worth too little or too much.")


def check_amendment(market: Market, size: int, price: int | None, done: int) -> None:
    """Check an order's new size; `done` is its traded size.

    Raises:
        Rejected: SIZE, NOTIONAL.
    """
    rules = market.rules
    if not rules.min_size <= size <= rules.max_size or size % rules.step or size <= done:
        raise Rejected("SIZE", "The size is outside its range or off the step.")
    if price is not None and price * size < rules.min_notional * 10**SCALE:
        raise Rejected("NOTIONAL", "The order is worth too little or too much.")
