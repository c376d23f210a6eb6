"""Public REST endpoints of spot.

Other categories list nothing: the engine's market is spot.

Source: market/time.mdx, market/instrument.mdx, market/orderbook.mdx, market/tickers.mdx, market/recent-trade.mdx,
market/kline.mdx, read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...model.time import MILLISECOND_NS, SECOND_NS
from ..engine.candles import floor
from ..wire.numbers import BadNumber, read_whole
from . import payloads
from .client import milliseconds
from .desk import Desk
from .errors import ApiError
from .pairs import CATEGORIES, SPOT
from .streams import BOOK, levels

Sent = Mapping[str, str]


def whole(sent: Sent, name: str, default: int, least: int = 0, most: int = 2**63 - 1) -> int:
    """Read a whole number between two bounds."""
    if name not in sent:
        return default
    try:
        value = read_whole(sent[name])
    except BadNumber:
        raise ApiError(f"Request parameter error: {name}") from None
    if not least <= value <= most:
        raise ApiError(f"Request parameter error: {name}")
    return value


def category(sent: Sent) -> str:
    found = sent.get("category")
    if found not in CATEGORIES:
        raise ApiError("Illegal category")
    return found


def time(desk: Desk, sent: Sent) -> Any:
    now = desk.now_ns()
    return {"timeSecond": str(now // SECOND_NS), "timeNano": str(now)}


def instruments(desk: Desk, sent: Sent) -> Any:
    """Spot lists pairs that trade, on one page."""
    kind, symbol = category(sent), sent.get("symbol")
    pairs = [desk.pairs.find(symbol)] if symbol is not None and kind == SPOT else desk.pairs.by_symbol.values()
    listed = [payloads.instrument(pair) for pair in pairs if kind == SPOT and pair.market.rules.status == "TRADING"]
    return {"category": kind, "list": listed, **({} if kind == SPOT else {"nextPageCursor": ""})}


def tickers(desk: Desk, sent: Sent) -> Any:
    kind, now = category(sent), desk.now_ns()
    names = [sent["symbol"]] if "symbol" in sent else list(desk.pairs.by_symbol)
    rows = [payloads.ticker(desk.pairs.find(name), now) for name in names] if kind == SPOT else []
    return {"category": kind, "list": rows}


def order_book(desk: Desk, sent: Sent) -> Any:
    """`u` is that of the topic of 1000 levels."""
    pair = desk.pairs.find(sent.get("symbol") if category(sent) == SPOT else None)
    limit, market, now = whole(sent, "limit", 1, 1, 1000), pair.market, milliseconds(desk.now_ns())
    return {
        "s": pair.symbol,
        "a": levels(pair, dict(market.asks.depth(limit))),
        "b": levels(pair, dict(market.bids.depth(limit))),
        "ts": now,
        "u": desk.streams.update_of(f"{BOOK}.1000.{pair.symbol}"),
        "seq": market.update_id,
        "cts": now,
    }


def recent_trades(desk: Desk, sent: Sent) -> Any:
    """The newest comes first."""
    pair = desk.pairs.find(sent.get("symbol") if category(sent) == SPOT else None)
    newest = list(pair.market.trades)[-whole(sent, "limit", 60, 1, 60) :]
    return {"category": SPOT, "list": [payloads.recent_trade(pair, made) for made in reversed(newest)]}


def candles(desk: Desk, sent: Sent) -> Any:
    """The newest comes first."""
    pair, now = desk.pairs.find(sent.get("symbol") if sent.get("category") == SPOT else None), desk.now_ns()
    interval = payloads.INTERVALS.get(sent.get("interval", ""))
    if interval is None:
        raise ApiError("Invalid period!")
    end = whole(sent, "end", milliseconds(now), 0, 2**43) * MILLISECOND_NS
    start = whole(sent, "start", 0, 0, 2**43) * MILLISECOND_NS if "start" in sent else None
    last = floor(min(now, end), interval)
    bars = pair.market.bars.klines(interval, start, last, whole(sent, "limit", 200, 1, 1000))
    return {"category": SPOT, "symbol": pair.symbol, "list": [payloads.candle(pair, bar) for bar in reversed(bars)]}


QUERIES: dict[str, Callable[[Desk, Sent], Any]] = {
    "/v5/market/time": time,
    "/v5/market/instruments-info": instruments,
    "/v5/market/orderbook": order_book,
    "/v5/market/tickers": tickers,
    "/v5/market/recent-trade": recent_trades,
    "/v5/market/kline": candles,
}
