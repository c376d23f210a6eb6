"""Public REST endpoints, by the shape of their path.

Source: rest, Get all known trading pairs, Get single product, Get product book, Get product candles, Get product stats,
Get product ticker, Get product trades; REST API Pagination. The statistics of all products are not in the manual.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ...model.time import SECOND_NS
from ..engine.candles import floor
from ..engine.market import Market
from ..wire.numbers import BadNumber, read_whole
from . import payloads
from .client import stamp
from .desk import Desk
from .errors import ApiError

Sent = Mapping[str, str]
CANDLES, PAGE = 300, 1000
PRODUCT = re.compile(r"/products/(?P<product>[^/]+)(?:/(?P<what>book|candles|stats|ticker|trades))?")


def whole(sent: Mapping[str, Any], name: str, default: int, most: int) -> int:
    """Read a whole number from 1 to `most`."""
    if name not in sent:
        return default
    try:
        value = read_whole(sent[name])
    except BadNumber:
        raise ApiError(f"Invalid {name}") from None
    if not 1 <= value <= most:
        raise ApiError(f"Invalid {name}")
    return value


def moment(written: str) -> int:
    """Read a time: ISO 8601, or seconds since the Unix epoch. Return nanoseconds."""
    if written.isascii() and written.isdigit() and len(written) < 12:
        return int(written) * SECOND_NS
    try:
        read = datetime.fromisoformat(written.replace("Z", "+00:00"))
    except ValueError:
        raise ApiError("Invalid date") from None
    if read.tzinfo is None:
        read = read.replace(tzinfo=UTC)
    return int(read.timestamp()) * SECOND_NS + read.microsecond * 1000


def time(desk: Desk, sent: Sent) -> Any:
    now = desk.now_ns()
    return {"iso": stamp(now), "epoch": now / SECOND_NS}


def products(desk: Desk, sent: Sent) -> Any:
    return [payloads.product(market.rules) for market in desk.streams.markets.values()]


def all_stats(desk: Desk, sent: Sent) -> Any:
    now = desk.now_ns()
    found = {}
    for product, market in desk.streams.markets.items():
        day = payloads.day(market, now)
        found[product] = {"stats_30day": {"volume": day["volume"]}, "stats_24hour": day}
    return found


def book(desk: Desk, market: Market, sent: Sent) -> Any:
    """One level by default, all levels, or all orders. The answer is never cut."""
    level, rules = whole(sent, "level", 1, 3), market.rules
    if level == 3:
        bids, asks = (payloads.orders(rules, side) for side in (market.bids, market.asks))
    else:
        n = 1 if level == 1 else None
        bids, asks = (payloads.counted_levels(rules, side, n) for side in (market.bids, market.asks))
    head = {"bids": bids, "asks": asks, "sequence": desk.streams.sequence(market)}
    return {**head, "auction_mode": False, "auction": None, "time": stamp(desk.now_ns())}


def candles(desk: Desk, market: Market, sent: Sent) -> Any:
    """The newest first; no candle without a trade. Without both times, those that end now."""
    seconds = whole(sent, "granularity", 60, 86_400)
    interval = payloads.GRANULARITIES.get(seconds)
    if interval is None:
        raise ApiError("Unsupported granularity")
    now = desk.now_ns()
    first, last = now - (CANDLES - 1) * seconds * SECOND_NS, now
    if "start" in sent and "end" in sent:
        first, last = moment(sent["start"]), moment(sent["end"])
        if (last - first) // SECOND_NS > CANDLES * seconds:
            raise ApiError(
                "granularity too small for the requested time range. Count of aggregations requested exceeds 300"
            )
    bars = market.bars.klines(interval, first, floor(min(last, now), interval), CANDLES)
    return [payloads.candle(bar) for bar in reversed(bars) if bar.count]


def ticker(desk: Desk, market: Market, sent: Sent) -> Any:
    if not market.trades:
        raise ApiError(payloads.product_id(market.rules) + " has no trades", 404)
    found = payloads.ticker(market, 0, desk.now_ns())
    names = {"ask": "best_ask", "bid": "best_bid", "volume": "volume_24h", "trade_id": "trade_id", "price": "price"}
    return {ours: found[theirs] for ours, theirs in names.items()} | {"size": found["last_size"], "time": found["time"]}


def trades(desk: Desk, market: Market, sent: Sent) -> Any:
    """The newest first; `after` is older than a trade, `before` newer."""
    after, before = whole(sent, "after", 2**62, 2**62), whole(sent, "before", 0, 2**62) if "before" in sent else 0
    rows = [made for made in market.trades if before < made.id < after]
    return [payloads.trade(market, made) for made in reversed(rows[-whole(sent, "limit", PAGE, PAGE) :])]


OF_PRODUCT: dict[str, Callable[[Desk, Market, Sent], Any]] = {
    "": lambda desk, market, sent: payloads.product(market.rules),
    "book": book,
    "candles": candles,
    "stats": lambda desk, market, sent: payloads.day(market, desk.now_ns()),
    "ticker": ticker,
    "trades": trades,
}
QUERIES: dict[str, Callable[[Desk, Sent], Any]] = {"/time": time, "/products": products, "/products/stats": all_stats}


def find(path: str) -> Callable[[Desk, Sent], Any] | None:
    """Return the public endpoint at a path; None: it is not one."""
    if path in QUERIES:
        return QUERIES[path]
    named = PRODUCT.fullmatch(path)
    if named is None:
        return None
    answer = OF_PRODUCT[named["what"] or ""]
    return lambda desk, sent: answer(desk, desk.market(named["product"]), sent)
