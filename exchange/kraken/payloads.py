"""Pairs, assets, trades, tickers and candles as public REST endpoints and public channels write them.

Source: instrument, trade, ticker, ohlc (websocket v2); get-asset-info, get-tradable-asset-pairs,
get-ticker-information, get-ohlc-data (REST), read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from ...model.time import DAY_NS, MINUTE_NS
from ..engine.candles import Bar
from ..engine.market import Trade
from ..engine.rules import ONE, SCALE, Rules
from ..wire.numbers import short, text
from .client import rfc3339
from .names import COST_DECIMALS, Pair, Pairs, altname, asset_id, number

CHANNELS = ("book", "level3", "trade", "ticker", "ohlc")
# Minutes and the engine's name; the manual has 21600 (15 days) too.
INTERVALS = {1: "1m", 5: "5m", 15: "15m", 30: "30m", 60: "1h", 240: "4h", 1440: "1d", 10080: "1w"}
STATUSES = {"TRADING": "online", "CANCEL_ONLY": "cancel_only"}  # else maintenance


def status(rules: Rules) -> str:
    return STATUSES.get(rules.status, "maintenance")


def system_status(pairs: Pairs) -> str:
    """Return the exchange's status: the status of the pairs if all have the same, else online."""
    found = {status(pair.market.rules) for pair in pairs.by_symbol.values()}
    return found.pop() if len(found) == 1 else "online"


def price(pair: Pair, raw: int) -> orjson.Fragment:
    return orjson.Fragment(pair.price(raw).encode())


def size(pair: Pair, raw: int) -> orjson.Fragment:
    return orjson.Fragment(pair.size(raw).encode())


def least(rules: Rules) -> str:
    return short(rules.min_size)


def assets_of(pairs: Iterable[Pair]) -> list[str]:
    """Return the assets of pairs, each once."""
    return list(dict.fromkeys(asset for pair in pairs for asset in (pair.market.rules.base, pair.market.rules.quote)))


def instruments(pairs: list[Pair], state: str | None = None) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return assets and pairs as the channel `instrument` has them; `state` replaces the status of their rules."""
    assets = [
        {"id": asset, "status": "enabled", "precision": SCALE, "precision_display": 5, "borrowable": False}
        for asset in assets_of(pairs)
    ]
    listed = []
    for pair in pairs:
        rules = pair.market.rules
        tick = price(pair, rules.tick)
        listed.append(
            {
                "symbol": pair.name,
                "base": rules.base,
                "quote": rules.quote,
                "status": state or status(rules),
                "qty_precision": pair.size_decimals,
                "qty_increment": size(pair, rules.step),
                "price_precision": pair.price_decimals,
                "cost_precision": COST_DECIMALS,
                "marginable": False,
                "has_index": False,
                "cost_min": orjson.Fragment(short(rules.min_notional).encode()),
                "tick_size": tick,
                "price_increment": tick,
                "qty_min": orjson.Fragment(least(rules).encode()),
            }
        )
    return assets, listed


def trade(pair: Pair, made: Trade) -> dict[str, Any]:
    """One trade of the channel `trade`; the side is the taker's."""
    return {
        "symbol": pair.name,
        "side": "sell" if made.buyer_is_maker else "buy",
        "price": price(pair, made.price),
        "qty": size(pair, made.size),
        "ord_type": "market" if made.by_market_order else "limit",
        "trade_id": made.id,
        "timestamp": rfc3339(made.time_ns),
    }


def ticker(pair: Pair, now_ns: int) -> dict[str, Any]:
    """The channel `ticker`."""
    market = pair.market
    day = market.bars.window(now_ns - DAY_NS, now_ns)
    bid, ask = market.tops
    change = market.bars.last_price - day.open
    return {
        "symbol": pair.name,
        "bid": price(pair, bid[0] if bid else 0),
        "bid_qty": size(pair, bid[1] if bid else 0),
        "ask": price(pair, ask[0] if ask else 0),
        "ask_qty": size(pair, ask[1] if ask else 0),
        "last": price(pair, market.bars.last_price),
        "volume": size(pair, day.volume),
        "vwap": price(pair, day.average),
        "low": price(pair, day.low),
        "high": price(pair, day.high),
        "change": price(pair, change),
        "change_pct": number(100 * change * 10**2 // day.open * 10 ** (SCALE - 2), 2),
        "timestamp": rfc3339(now_ns),
    }


def candle(pair: Pair, bar: Bar, minutes: int) -> dict[str, Any]:
    """One candle of the channel `ohlc`."""
    return {
        "symbol": pair.name,
        "open": price(pair, bar.open),
        "high": price(pair, bar.high),
        "low": price(pair, bar.low),
        "close": price(pair, bar.close),
        "trades": bar.count,
        "volume": size(pair, bar.volume),
        "vwap": price(pair, bar.average),
        "interval_begin": rfc3339(bar.open_ns),
        "interval": minutes,
        "timestamp": rfc3339(bar.open_ns + minutes * MINUTE_NS),
    }


def asset(name: str) -> dict[str, Any]:
    """One asset of REST."""
    return {
        "aclass": "currency",
        "altname": altname(name),
        "decimals": SCALE,
        "display_decimals": 5,
        "status": "enabled",
    }


def asset_pair(pair: Pair) -> dict[str, Any]:
    """One pair of REST's AssetPairs."""
    rules = pair.market.rules
    return {
        "altname": pair.altname,
        "wsname": pair.wsname,
        "aclass_base": "currency",
        "base": asset_id(rules.base),
        "aclass_quote": "currency",
        "quote": asset_id(rules.quote),
        "lot": "unit",
        "cost_decimals": COST_DECIMALS,
        "pair_decimals": pair.price_decimals,
        "lot_decimals": pair.size_decimals,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, rules.taker_fee * 100 / ONE]],
        "fees_maker": [[0, rules.maker_fee * 100 / ONE]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": least(rules),
        "costmin": short(rules.min_notional),
        "tick_size": short(rules.tick),
        "status": status(rules),
    }


def ticker_info(pair: Pair, now_ns: int) -> dict[str, Any]:
    """One pair of REST's Ticker; the first figure of a pair of them is since midnight UTC."""
    market = pair.market
    day = market.bars.window(now_ns - DAY_NS, now_ns)
    today = market.bars.window(now_ns - now_ns % DAY_NS, now_ns)
    bid, ask = market.tops
    both = (today, day)
    return {
        "a": _top(pair, ask),
        "b": _top(pair, bid),
        "c": [pair.price(market.bars.last_price), pair.size(market.bars.last_size)],
        "v": [pair.size(bar.volume) for bar in both],
        "p": [pair.price(bar.average) for bar in both],
        "t": [bar.count for bar in both],
        "l": [pair.price(bar.low) for bar in both],
        "h": [pair.price(bar.high) for bar in both],
        "o": pair.price(today.open),
    }


def _top(pair: Pair, top: tuple[int, int] | None) -> list[str]:
    level, volume = top or (0, 0)
    return [pair.price(level), str(volume // ONE), text(volume)]
