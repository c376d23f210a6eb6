"""Public REST endpoints of spot. An answer is the whole body.

Source: public_rest_api.md (/v1/common/timestamp, /v1/settings/common/market-symbols, /v2/market-status, /market/depth,
/market/tickers, /market/history/trade, /market/history/kline), read 2026-11-28.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..engine.candles import floor
from ..wire.numbers import BadNumber, read_whole
from . import payloads
from .client import milliseconds
from .desk import Desk
from .errors import bad
from .streams import LEVELS, whole_book

Sent = Mapping[str, Any]
DEPTHS = (5, 10, 20)


def whole(sent: Sent, name: str, default: int, least: int, most: int) -> int:
    """Read a whole number between two bounds."""
    if sent.get(name) in (None, ""):
        return default
    try:
        value = read_whole(sent[name])
    except BadNumber:
        raise bad(name) from None
    if not least <= value <= most:
        raise bad(name)
    return value


def timestamp(desk: Desk, sent: Sent) -> Any:
    return {"status": "ok", "data": milliseconds(desk.now_ns())}


def market_symbols(desk: Desk, sent: Sent) -> Any:
    wanted = str(sent["symbols"]).split(",") if sent.get("symbols") else list(desk.pairs.by_symbol)
    rows = [payloads.symbol(desk.pairs.find(name)) for name in wanted]
    return {"status": "ok", "data": rows, "ts": str(milliseconds(desk.now_ns())), "full": 1}


def old_symbols(desk: Desk, sent: Sent) -> Any:
    return {"status": "ok", "data": [payloads.old_symbol(pair) for pair in desk.pairs.by_symbol.values()]}


def market_status(desk: Desk, sent: Sent) -> Any:
    return {"code": 200, "message": "success", "data": {"marketStatus": 1}}


def _market(desk: Desk, channel: str, **content: Any) -> Any:
    return {"ch": channel, "status": "ok", "ts": milliseconds(desk.now_ns()), **content}


def depth(desk: Desk, sent: Sent) -> Any:
    pair = desk.pairs.find(sent.get("symbol"))
    if sent.get("type") != "step0":
        raise bad("type")
    levels = whole(sent, "depth", LEVELS, 1, LEVELS)
    if levels not in (*DEPTHS, LEVELS):
        raise bad("depth")
    return _market(desk, f"market.{pair.symbol}.depth.step0", tick=whole_book(pair.market, levels, desk.now_ns()))


def tickers(desk: Desk, sent: Sent) -> Any:
    now = desk.now_ns()
    rows = [payloads.ticker(pair, now) for pair in desk.pairs.by_symbol.values()]
    return {"status": "ok", "ts": milliseconds(now), "data": rows}


def trades(desk: Desk, sent: Sent) -> Any:
    """The newest comes first."""
    pair = desk.pairs.find(sent.get("symbol"))
    newest = list(pair.market.trades)[-whole(sent, "size", 1, 1, 2000) :]
    rows = [payloads.trade_tick([made], "trade-id") for made in reversed(newest)]
    return _market(desk, f"market.{pair.symbol}.trade.detail", data=rows)


def candles(desk: Desk, sent: Sent) -> Any:
    """The newest comes first; a request states no time."""
    pair, period = desk.pairs.find(sent.get("symbol")), str(sent.get("period"))
    interval = payloads.INTERVALS.get(period)
    if interval is None:
        raise bad("period")
    size = whole(sent, "size", 150, 1, 2000)
    last = floor(desk.now_ns(), interval, payloads.ZONE_NS)
    bars = pair.market.bars.klines(interval, None, last, size, payloads.ZONE_NS)
    rows = [payloads.candle(bar) for bar in reversed(bars)]
    return _market(desk, f"market.{pair.symbol}.kline.{period}", data=rows)


QUERIES: dict[str, Callable[[Desk, Sent], Any]] = {
    "/v1/common/timestamp": timestamp,
    "/v1/settings/common/market-symbols": market_symbols,
    "/v1/common/symbols": old_symbols,
    "/v2/market-status": market_status,
    "/market/depth": depth,
    "/market/tickers": tickers,
    "/market/history/trade": trades,
    "/market/history/kline": candles,
}
