"""Public REST endpoints.

Source: get-server-time, get-system-status, get-asset-info, get-tradable-asset-pairs, get-ticker-information,
get-order-book, get-recent-trades, get-ohlc-data, read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ...model.time import MINUTE_NS, SECOND_NS
from ..engine.candles import floor
from ..wire.numbers import BadNumber, read_decimal, read_whole
from . import payloads
from .client import rfc3339_s, seconds
from .desk import Desk
from .errors import ApiError, invalid
from .names import Pair, altname, asset_id

Sent = Mapping[str, Any]
CANDLES = 720
TRADES = 1000
DEPTH = 500


def whole(sent: Sent, name: str, default: int, least: int = 0, most: int = 2**63 - 1) -> int:
    """Read a whole number between two bounds."""
    if name not in sent:
        return default
    try:
        value = read_whole(sent[name])
    except BadNumber:
        raise invalid(name) from None
    if not least <= value <= most:
        raise invalid(name)
    return value


def time(desk: Desk, sent: Sent) -> Any:
    now = desk.now_ns() // SECOND_NS
    written = datetime.fromtimestamp(now, UTC).strftime("%a, %d %b %y %H:%M:%S +0000")
    return {"unixtime": now, "rfc1123": written}


def system_status(desk: Desk, sent: Sent) -> Any:
    return {"status": payloads.system_status(desk.pairs), "timestamp": rfc3339_s(desk.now_ns())}


def assets(desk: Desk, sent: Sent) -> Any:
    listed = payloads.assets_of(desk.pairs.by_symbol.values())
    if "asset" not in sent:
        return {asset_id(asset): payloads.asset(asset) for asset in listed}
    by_name = {name: asset for asset in listed for name in (asset, asset_id(asset), altname(asset))}
    found = {}
    for name in str(sent["asset"]).split(","):
        if name.strip() not in by_name:
            raise ApiError("EQuery:Unknown asset")
        asset = by_name[name.strip()]
        found[asset_id(asset)] = payloads.asset(asset)
    return found


def pairs_of(desk: Desk, sent: Sent) -> list[Pair]:
    """Return the pairs that a request names, or all."""
    if "pair" not in sent:
        return list(desk.pairs.by_symbol.values())
    return [desk.pairs.rest(name.strip()) for name in str(sent["pair"]).split(",")]


def asset_pairs(desk: Desk, sent: Sent) -> Any:
    return {pair.key: payloads.asset_pair(pair) for pair in pairs_of(desk, sent)}


def ticker(desk: Desk, sent: Sent) -> Any:
    now = desk.now_ns()
    return {pair.key: payloads.ticker_info(pair, now) for pair in pairs_of(desk, sent)}


def depth(desk: Desk, sent: Sent) -> Any:
    pair = desk.pairs.rest(sent.get("pair"))
    count = whole(sent, "count", 100, 1, DEPTH)
    now = desk.now_ns() // SECOND_NS

    def side(levels: list[tuple[int, int]]) -> list[list[Any]]:
        return [[pair.price(price), pair.size(size), now] for price, size in levels]

    return {pair.key: {"asks": side(pair.market.asks.depth(count)), "bids": side(pair.market.bids.depth(count))}}


def trades(desk: Desk, sent: Sent) -> Any:
    """`since` is a time in seconds, or the `last` of an earlier answer in nanoseconds."""
    pair = desk.pairs.rest(sent.get("pair"))
    count = whole(sent, "count", TRADES, 1, TRADES)
    try:
        since = read_decimal(sent.get("since", 0)) * 10
    except BadNumber:
        since = whole(sent, "since", 0)  # nanoseconds are too large for an amount
    made = list(pair.market.trades)
    chosen = [trade for trade in made if trade.time_ns > since][:count] if "since" in sent else made[-count:]
    rows = [
        [
            pair.price(trade.price),
            pair.size(trade.size),
            seconds(trade.time_ns),
            "s" if trade.buyer_is_maker else "b",
            "m" if trade.by_market_order else "l",
            "",
            trade.id,
        ]
        for trade in chosen
    ]
    return {pair.key: rows, "last": str(chosen[-1].time_ns if chosen else since)}


def ohlc(desk: Desk, sent: Sent) -> Any:
    pair, now = desk.pairs.rest(sent.get("pair")), desk.now_ns()
    minutes = whole(sent, "interval", 1)
    if minutes not in payloads.INTERVALS:
        raise invalid("interval")
    interval = payloads.INTERVALS[minutes]
    present = floor(now, interval)
    since = whole(sent, "since", 0) * SECOND_NS
    bars = pair.market.bars.klines(interval, None, present, CANDLES)
    rows = [
        [
            bar.open_ns // SECOND_NS,
            *(pair.price(value) for value in (bar.open, bar.high, bar.low, bar.close, bar.average)),
            pair.size(bar.volume),
            bar.count,
        ]
        for bar in bars
        if bar.open_ns > since or bar.open_ns == present
    ]
    return {pair.key: rows, "last": (present - minutes * MINUTE_NS) // SECOND_NS}


QUERIES: dict[str, Callable[[Desk, Sent], Any]] = {
    "Time": time,
    "SystemStatus": system_status,
    "Assets": assets,
    "AssetPairs": asset_pairs,
    "Ticker": ticker,
    "Depth": depth,
    "Trades": trades,
    "OHLC": ohlc,
}
