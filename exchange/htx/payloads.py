"""Symbols, tickers, trades and candles as REST and the topics write them.

Source: public_rest_api.md (/v1/settings/common/market-symbols, /market/tickers, /market/history/kline,
/market/history/trade), public_websocket_api.md (trade.detail, kline.$period), read 2026-11-28. As recorded
(2021-04-17), numbers are written as doubles are, and the newest trade of a message comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from ...model.time import DAY_NS, SECOND_NS
from ..engine.candles import Bar
from ..engine.market import Trade
from ..engine.rules import Rules
from .client import milliseconds
from .pairs import Pair, double

INTERVALS = {  # the engine's names
    "1min": "1m", "5min": "5m", "15min": "15m", "30min": "30m", "60min": "1h", "4hour": "4h", "1day": "1d",
    "1week": "1w", "1mon": "1M",
}  # fmt: skip
ZONE_NS = 8 * 3600 * SECOND_NS  # days begin at midnight in Singapore
TAIL = "255757415994639"  # of the obsolete id of a trade, which no double holds


def symbol(pair: Pair) -> dict[str, Any]:
    rules = pair.market.rules
    by_market = rules.market_max or rules.max_size
    return {
        "symbol": pair.symbol,
        "state": "online" if rules.status == "TRADING" else "suspend",
        "bc": rules.base.lower(),
        "qc": rules.quote.lower(),
        "pp": rules.price_decimals,
        "ap": rules.size_decimals,
        "sp": "main",
        "vp": 8,
        "minoa": double(rules.min_size),
        "maxoa": double(rules.max_size),
        "minov": double(rules.min_notional),
        "lominoa": double(rules.min_size),
        "lomaxoa": double(rules.max_size),
        "lomaxba": double(rules.max_size),
        "lomaxsa": double(rules.max_size),
        "smminoa": double(_market_min(rules)),
        "blmlt": 1.1,
        "slmgt": 0.9,
        "smmaxoa": double(by_market),
        "bmmaxov": double(rules.max_notional),
        "msormlt": 0.1,
        "mbormlt": 0.1,
        "at": "enabled",
        "tags": "",
    }


OLD_NAMES = {  # of /v1/common/symbols, by those of /v1/settings/common/market-symbols
    "bc": "base-currency", "qc": "quote-currency", "pp": "price-precision", "ap": "amount-precision",
    "sp": "symbol-partition", "symbol": "symbol", "state": "state", "vp": "value-precision", "minoa": "min-order-amt",
    "maxoa": "max-order-amt", "minov": "min-order-value", "lominoa": "limit-order-min-order-amt",
    "lomaxoa": "limit-order-max-order-amt", "lomaxba": "limit-order-max-buy-amt", "lomaxsa": "limit-order-max-sell-amt",
    "smminoa": "sell-market-min-order-amt", "smmaxoa": "sell-market-max-order-amt",
    "bmmaxov": "buy-market-max-order-value", "at": "api-trading", "tags": "tags",
}  # fmt: skip


def old_symbol(pair: Pair) -> dict[str, Any]:
    """One row of /v1/common/symbols, the older list, which the manual names and no longer describes; ccxt requests it.

    Source: the answer that ccxt quotes where it reads it (ccxt 4.5.90, htx.py).
    """
    row = symbol(pair)
    return {old: row[name] for name, old in OLD_NAMES.items()}


def _market_min(rules: Rules) -> int:
    return rules.market_min or rules.min_size


def ticker(pair: Pair, now_ns: int) -> dict[str, Any]:
    """One row of /market/tickers. A guess: a side that is empty is 0."""
    (bid, ask), day = pair.market.tops, pair.market.bars.window(now_ns - DAY_NS, now_ns)
    return {
        "symbol": pair.symbol,
        "open": double(day.open),
        "high": double(day.high),
        "low": double(day.low),
        "close": double(pair.market.bars.last_price),
        "amount": double(day.volume),
        "vol": double(day.quote_raw),
        "count": day.count,
        "bid": double(bid[0] if bid else 0),
        "bidSize": double(bid[1] if bid else 0),
        "ask": double(ask[0] if ask else 0),
        "askSize": double(ask[1] if ask else 0),
    }


def trade_tick(made: Sequence[Trade], id_key: str = "tradeId") -> dict[str, Any]:
    """The trades of one message, or of one row of /market/history/trade, newest first."""
    last = made[-1]
    rows = [
        {
            "id": orjson.Fragment(f"{100_000_000_000 + one.id}{TAIL}"),
            "ts": milliseconds(one.time_ns),
            id_key: one.id,
            "amount": double(one.size),
            "price": double(one.price),
            "direction": "sell" if one.buyer_is_maker else "buy",
        }
        for one in reversed(made)
    ]
    return {"id": 100_000_000_000 + last.id, "ts": milliseconds(last.time_ns), "data": rows}


def candle(bar: Bar) -> dict[str, Any]:
    prices = {"open": bar.open, "close": bar.close, "low": bar.low, "high": bar.high}
    numbers = {**prices, "amount": bar.volume, "vol": bar.quote_raw}
    return {
        "id": bar.open_ns // SECOND_NS,
        **{name: double(value) for name, value in numbers.items()},
        "count": bar.count,
    }
