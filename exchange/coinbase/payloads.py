"""Products, books, trades and candles as REST and the channels write them. Decimals are text, ids of trades numbers.

Source: rest, Get all known trading pairs, Get product book, Get product candles, Get product stats, Get product ticker,
Get product trades; ws, Status Channel, Ticker Channel, Matches Channel.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ...model.time import DAY_NS, SECOND_NS
from ..engine.book import BookSide
from ..engine.candles import Bar
from ..engine.market import Market, Trade
from ..engine.rules import SCALE, Rules
from ..wire.numbers import short, text, to_decimals
from .client import stamp

GRANULARITIES = {60: "1m", 300: "5m", 900: "15m", 3_600: "1h", 21_600: "6h", 86_400: "1d"}
# The engine's states, as what is true of a product (rest, Get all known trading pairs)
RESTRICTED = {"CANCEL_ONLY": "cancel_only", "HALT": "trading_disabled", "BREAK": "trading_disabled"}
FIRST_ID = UUID("d50ec984-77a8-460a-8000-000000000000").int


def product_id(rules: Rules) -> str:
    return f"{rules.base}-{rules.quote}"


def order_id(number: int) -> str:
    """Return the exchange's id of an order: a UUID."""
    return str(UUID(int=FIRST_ID + number))


def order_number(text: str) -> int | None:
    """Return the engine's number of an order, by its id with or without dashes; None: the text is not an order's id."""
    try:
        number = UUID(text).int - FIRST_ID
    except ValueError:
        return None
    return number if 0 <= number < 2**62 else None


def price(rules: Rules, raw: int) -> str:
    """Write a price with the decimals of its tick, or with all if it has more."""
    unit = 10 ** (SCALE - rules.price_decimals)
    return text(raw) if raw % unit else to_decimals(raw, rules.price_decimals)


def product(rules: Rules, whole: bool = True) -> dict[str, Any]:
    """One product; the channel `status` does not have all fields."""
    restriction = RESTRICTED.get(rules.status, "" if rules.status == "TRADING" else "auction_mode")
    row = {
        "id": product_id(rules),
        "base_currency": rules.base,
        "quote_currency": rules.quote,
        "quote_increment": short(rules.tick),
        "base_increment": short(rules.step),
        "display_name": product_id(rules),
        "min_market_funds": short(rules.min_notional),
        "post_only": False,
        "limit_only": False,
        "cancel_only": restriction == "cancel_only",
        "status": "online",
        "status_message": "",
        "fx_stablecoin": False,
        "trading_disabled": restriction == "trading_disabled",
        "auction_mode": restriction == "auction_mode",
    }
    if not whole:
        return row
    return row | {"margin_enabled": False, "max_slippage_percentage": "0.02", "high_bid_limit_percentage": ""}


def levels(rules: Rules, side: BookSide) -> list[list[str]]:
    """All levels of a side, best first."""
    return [[price(rules, at), text(size)] for at, size in side.depth()]


def counted_levels(rules: Rules, side: BookSide, n: int | None) -> list[list[Any]]:
    """Levels with their number of orders, best first."""
    found = [side.levels[at] for at, _ in side.depth(n)]
    return [[price(rules, level.price), text(level.size), len(level.orders)] for level in found]


def orders(rules: Rules, side: BookSide) -> list[list[str]]:
    """All orders of a side, best first, oldest first at one price."""
    return [
        [price(rules, level.price), text(order.remaining), order_id(order.id)]
        for level in side.best_first()
        for order in level.orders.values()
    ]


def match(market: Market, made: Trade, sequence: int, kind: str = "match") -> dict[str, Any]:
    """One trade in the channels; `side` is the maker's."""
    return {
        "type": kind,
        "trade_id": made.id,
        "maker_order_id": order_id(made.maker_order),
        "taker_order_id": order_id(made.taker_order),
        "side": "buy" if made.buyer_is_maker else "sell",
        "size": text(made.size),
        "price": price(market.rules, made.price),
        "product_id": product_id(market.rules),
        "sequence": sequence,
        "time": stamp(made.time_ns),
    }


def trade(market: Market, made: Trade) -> dict[str, Any]:
    """One trade over REST."""
    row = match(market, made, 0)
    return {name: row[name] for name in ("trade_id", "side", "size", "price", "time")}


def day(market: Market, now_ns: int) -> dict[str, str]:
    """Statistics of 24 hours."""
    window, rules = market.bars.window(now_ns - DAY_NS, now_ns), market.rules
    prices = {"open": window.open, "high": window.high, "low": window.low, "last": market.bars.last_price}
    return {**{name: price(rules, raw) for name, raw in prices.items()}, "volume": text(window.volume)}


def ticker(market: Market, sequence: int, now_ns: int) -> dict[str, Any]:
    """The message of the channel `ticker`, after a trade."""
    last, (bid, ask) = market.trades[-1], market.tops
    found, rules = day(market, now_ns), market.rules
    return {
        "type": "ticker",
        "sequence": sequence,
        "product_id": product_id(rules),
        "price": price(rules, last.price),
        "open_24h": found["open"],
        "volume_24h": found["volume"],
        "low_24h": found["low"],
        "high_24h": found["high"],
        "volume_30d": found["volume"],
        "best_bid": price(rules, bid[0]) if bid else "",
        "best_bid_size": text(bid[1]) if bid else "",
        "best_ask": price(rules, ask[0]) if ask else "",
        "best_ask_size": text(ask[1]) if ask else "",
        "side": "sell" if last.buyer_is_maker else "buy",
        "time": stamp(last.time_ns),
        "trade_id": last.id,
        "last_size": text(last.size),
    }


def candle(bar: Bar) -> list[Any]:
    """One row: JSON numbers, the time in seconds."""
    numbers = (bar.low, bar.high, bar.open, bar.close, bar.volume)
    return [bar.open_ns // SECOND_NS, *(float(short(raw)) for raw in numbers)]
