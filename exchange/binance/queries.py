"""Market-data queries, shared by REST and the WebSocket API: parameters, weight, answer.

Source: rest-api.md (General endpoints, Market Data endpoints) and web-socket-api.md, read 2026-11-22. Not offered:
SBE answers. The engine has no block trades and no reference prices; the answers are the manual's for such symbols.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from ...model.time import DAY_NS, MINUTE_NS
from ..engine.candles import floor
from ..engine.engine import Engine
from ..engine.market import Market
from ..wire.numbers import text
from . import errors, payloads
from .limits import Limits
from .params import Param, timestamp_ns

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """One query with the market and its parameters."""

    engine: Engine
    limits: Limits
    values: Values
    now_ns: int
    unit: int  # nanoseconds of one unit of time in the answer
    rest: bool

    def market(self) -> Market:
        """The market of `symbol`, if it has the requested status."""
        market = self._known(self.values["symbol"])
        wanted = self.values.get("symbolStatus")
        if wanted is not None and market.rules.status != wanted:
            raise errors.status_mismatch()
        return market

    def _known(self, symbol: str) -> Market:
        market = self.engine.markets.get(symbol)
        if market is None:
            raise errors.bad_symbol()
        return market

    def markets(self) -> list[Market]:
        """The markets of `symbols`, or all markets, limited to the requested status."""
        names = self.values.get("symbols")
        found = list(self.engine.markets.values()) if names is None else [self._known(name) for name in names]
        wanted = self.values.get("symbolStatus")
        return found if wanted is None else [market for market in found if market.rules.status == wanted]


@dataclass(frozen=True, slots=True)
class Query:
    """One endpoint. The answer is any value that orjson can write."""

    params: tuple[Param, ...]
    weight: Callable[[Values], int]
    answer: Callable[[Asked], Any]


SYMBOL = Param("symbol", "symbol", mandatory=True)
ONE_SYMBOL = Param("symbol", "symbol")
SYMBOLS = Param("symbols", "symbols")
LIMIT = Param("limit", "limit")
STATUS = Param("symbolStatus", "status")


def _limit(values: Values, default: int, largest: int) -> int:
    """Read `limit`. A larger value becomes the largest, as for depth in the manual."""
    limit: int = values.get("limit", default)
    if limit < 1:
        raise errors.invalid("limit")
    return min(limit, largest)


def _one_or_many(asked: Asked, row: Callable[[Market], Any], required: bool = False, at_most: int | None = None) -> Any:
    """Answer with an object for `symbol`, with an array for `symbols` or without both."""
    values = asked.values
    if "symbol" in values and "symbols" in values:
        raise errors.bad_combination()
    if required and "symbol" not in values and "symbols" not in values:
        raise errors.missing_either("symbol", "symbols")
    if "symbol" in values:
        return row(asked.market())
    if at_most is not None and len(values["symbols"]) > at_most:
        raise errors.too_many_values("symbols", at_most)
    return [row(market) for market in asked.markets()]


def ping(asked: Asked) -> Any:
    return {}


def time(asked: Asked) -> Any:
    return {"serverTime": asked.now_ns // asked.unit}


def exchange_info(asked: Asked) -> Any:
    values, limits = asked.values, asked.limits
    if sum(name in values for name in ("symbol", "symbols", "permissions")) > 1:
        raise errors.bad_combination()
    if "symbolStatus" in values and ("symbol" in values or "symbols" in values):
        raise errors.bad_combination()
    markets = [asked.market()] if "symbol" in values else asked.markets()
    if "symbol" not in values and "symbols" not in values:
        wanted = set(values.get("permissions", ("SPOT", "MARGIN", "LEVERAGED")))
        markets = [market for market in markets if wanted & set(market.rules.permissions)]
    shows = values.get("showPermissionSets", True)
    return {
        "timezone": "UTC",
        "serverTime": asked.now_ns // asked.unit,
        "rateLimits": payloads.rate_limits(limits, asked.rest),
        "exchangeFilters": [],
        "symbols": [payloads.symbol_info(market.rules, shows) for market in markets],
    }


def execution_rules(asked: Asked) -> Any:
    if len(asked.values) > 1:
        raise errors.bad_combination()
    markets = [asked.market()] if "symbol" in asked.values else asked.markets()
    return {"symbolRules": [{"symbol": market.symbol, "rules": []} for market in markets]}


def depth(asked: Asked) -> Any:
    market = asked.market()
    return orjson.Fragment(payloads.depth(market, _limit(asked.values, 100, 5000)))


def trades(asked: Asked) -> Any:
    limit = _limit(asked.values, 500, 1000)
    found = list(asked.market().trades)[-limit:]
    return [payloads.trade(trade, asked.unit) for trade in found]


def historical_trades(asked: Asked) -> Any:
    limit = _limit(asked.values, 500, 1000)
    held = list(asked.market().trades)
    if "fromId" in asked.values:
        first = bisect_left(held, asked.values["fromId"], key=lambda trade: trade.id)
        held = held[first : first + limit]
    return [payloads.trade(trade, asked.unit) for trade in held[-limit:]]


def block_trades(asked: Asked) -> Any:
    asked.market()
    _limit(asked.values, 500, 1000)
    return []


def aggregate_trades(asked: Asked) -> Any:
    values, limit = asked.values, _limit(asked.values, 500, 1000)
    held = list(asked.market().aggregates)
    if "fromId" in values and ("startTime" in values or "endTime" in values):
        raise errors.bad_combination()
    if "fromId" in values:
        first = bisect_left(held, values["fromId"], key=lambda found: found.id)
        held = held[first : first + limit]
    elif "startTime" in values:
        start = timestamp_ns(values["startTime"])
        stop = _until(values)
        held = [found for found in held if start <= found.time_ns and (stop is None or found.time_ns < stop)][:limit]
    elif "endTime" in values:
        stop = _until(values)
        held = [found for found in held if stop is None or found.time_ns < stop][-limit:]
    return [payloads.aggregate(found, asked.unit) for found in held[-limit:]]


def _until(values: Values) -> int | None:
    """The first nanosecond after `endTime`, which is inclusive in its own unit."""
    end = values.get("endTime")
    if end is None:
        return None
    return timestamp_ns(end) + (1_000 if end >= 10**15 else 1_000_000)


def klines(asked: Asked) -> Any:
    values = asked.values
    limit = _limit(values, 500, 1000)
    market = asked.market()
    interval, offset = values["interval"], values.get("timeZone", 0)
    start = timestamp_ns(values["startTime"]) if "startTime" in values else None
    last = floor(asked.now_ns, interval, offset)
    stop = _until(values)
    until = last if stop is None else min(last, stop - 1)
    bars = market.bars.klines(interval, start, until, limit, offset)
    return [payloads.kline(bar, interval, offset, asked.unit) for bar in bars]


def average(asked: Asked) -> Any:
    price, last_ns = payloads.average_price(asked.market(), asked.now_ns)
    return {"mins": 5, "price": text(price), "closeTime": last_ns // asked.unit}


def day(asked: Asked) -> Any:
    mini = asked.values.get("type") == "MINI"
    return _one_or_many(asked, lambda market: payloads.day_ticker(market, asked.now_ns, asked.unit, mini))


def trading_day(asked: Asked) -> Any:
    mini, now = asked.values.get("type") == "MINI", asked.now_ns
    start = floor(now, "1d", asked.values.get("timeZone", 0))

    def row(market: Market) -> Any:
        # The manual's close time is the last millisecond of the day.
        close = start + DAY_NS - asked.unit
        return payloads.rolling(market, market.bars.window(start, now), start, close, asked.unit, mini)

    return _one_or_many(asked, row, required=True, at_most=100)


def rolling(asked: Asked) -> Any:
    mini, now = asked.values.get("type") == "MINI", asked.now_ns
    width = asked.values.get("windowSize", DAY_NS)

    def row(market: Market) -> Any:
        start = (now - width) - (now - width) % MINUTE_NS
        return payloads.rolling(market, market.bars.window(start, now), start, now, asked.unit, mini)

    return _one_or_many(asked, row, required=True, at_most=100)


def price(asked: Asked) -> Any:
    return _one_or_many(asked, lambda market: {"symbol": market.symbol, "price": text(market.bars.last_price)})


def book_ticker(asked: Asked) -> Any:
    def row(market: Market) -> Any:
        bid, ask = market.bids.top or (0, 0), market.asks.top or (0, 0)
        return {
            "symbol": market.symbol,
            "bidPrice": text(bid[0]),
            "bidQty": text(bid[1]),
            "askPrice": text(ask[0]),
            "askQty": text(ask[1]),
        }

    return _one_or_many(asked, row)


def reference_price(asked: Asked) -> Any:
    asked.market()
    raise errors.no_reference_price()


def _flat(weight: int) -> Callable[[Values], int]:
    return lambda values: weight


def _depth_weight(values: Values) -> int:
    limit = values.get("limit", 100)
    return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1000 else 250


def _day_weight(values: Values) -> int:
    if "symbol" in values:
        return 2
    count = len(values["symbols"]) if "symbols" in values else 101
    return 2 if count <= 20 else 40 if count <= 100 else 80


def _each(per_symbol: int, most: int, without: int) -> Callable[[Values], int]:
    def weight(values: Values) -> int:
        if "symbol" in values:
            return per_symbol
        return min(most, per_symbol * len(values["symbols"])) if "symbols" in values else without

    return weight


def _two_or_four(values: Values) -> int:
    return 2 if "symbol" in values else 4


_KLINES = (
    SYMBOL,
    Param("interval", "interval", mandatory=True),
    Param("startTime", "number"),
    Param("endTime", "number"),
    Param("timeZone", "zone"),
    LIMIT,
)
_TICKER = (ONE_SYMBOL, SYMBOLS, Param("type", "type"), STATUS)

# name: (REST path, WebSocket API method, query); Source: the pages named above.
QUERIES: tuple[tuple[str, str, Query], ...] = (
    ("/api/v3/ping", "ping", Query((), _flat(1), ping)),
    ("/api/v3/time", "time", Query((), _flat(1), time)),
    (
        "/api/v3/exchangeInfo",
        "exchangeInfo",
        Query(
            (ONE_SYMBOL, SYMBOLS, Param("permissions", "permissions"), Param("showPermissionSets", "bool"), STATUS),
            _flat(20),
            exchange_info,
        ),
    ),
    (
        "/api/v3/executionRules",
        "executionRules",
        Query((ONE_SYMBOL, SYMBOLS, STATUS), _each(2, 40, 40), execution_rules),
    ),
    ("/api/v3/depth", "depth", Query((SYMBOL, LIMIT, STATUS), _depth_weight, depth)),
    ("/api/v3/trades", "trades.recent", Query((SYMBOL, LIMIT), _flat(25), trades)),
    (
        "/api/v3/historicalTrades",
        "trades.historical",
        Query((SYMBOL, LIMIT, Param("fromId", "number")), _flat(25), historical_trades),
    ),
    (
        "/api/v3/historicalBlockTrades",
        "blockTrades.historical",
        Query((SYMBOL, Param("fromId", "number", mandatory=True), LIMIT), _flat(25), block_trades),
    ),
    (
        "/api/v3/aggTrades",
        "trades.aggregate",
        Query(
            (SYMBOL, Param("fromId", "number"), Param("startTime", "number"), Param("endTime", "number"), LIMIT),
            _flat(4),
            aggregate_trades,
        ),
    ),
    ("/api/v3/klines", "klines", Query(_KLINES, _flat(2), klines)),
    ("/api/v3/uiKlines", "uiKlines", Query(_KLINES, _flat(2), klines)),
    ("/api/v3/avgPrice", "avgPrice", Query((SYMBOL,), _flat(2), average)),
    ("/api/v3/ticker/24hr", "ticker.24hr", Query(_TICKER, _day_weight, day)),
    (
        "/api/v3/ticker/tradingDay",
        "ticker.tradingDay",
        Query((*_TICKER, Param("timeZone", "zone")), _each(4, 200, 4), trading_day),
    ),
    ("/api/v3/ticker/price", "ticker.price", Query((ONE_SYMBOL, SYMBOLS, STATUS), _two_or_four, price)),
    ("/api/v3/ticker/bookTicker", "ticker.book", Query((ONE_SYMBOL, SYMBOLS, STATUS), _two_or_four, book_ticker)),
    (
        "/api/v3/ticker",
        "ticker",
        Query((*_TICKER, Param("windowSize", "window")), _each(4, 200, 4), rolling),
    ),
    ("/api/v3/referencePrice", "referencePrice", Query((SYMBOL,), _flat(2), reference_price)),
    (
        "/api/v3/referencePrice/calculation",
        "referencePrice.calculation",
        Query((SYMBOL, STATUS), _flat(2), reference_price),
    ),
)
BY_PATH = {path: query for path, _, query in QUERIES}
BY_METHOD = {method: query for _, method, query in QUERIES}
