"""Public REST endpoints.

Source: public/data/rest-api-get-{instruments, system-time}.md and order/book/trading-market-data-get-{order-book,
ticker, tickers, trades, candlesticks, candlesticks-history}.md, read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...model.time import MILLISECOND_NS
from ..engine.candles import MINUTES_KEPT, end, floor
from ..wire.numbers import BadNumber, read_whole
from . import payloads
from .desk import Desk
from .errors import invalid, missing

Sent = Mapping[str, str]
DEPTH, TRADES, CANDLES = 400, 500, 300
PRESENT = 1_440  # number of bars that can be requested


def whole(sent: Sent, name: str, default: int, most: int = 2**63 - 1) -> int:
    """Read a whole number; the exchange replaces a number above `most` by `most`."""
    if not sent.get(name):
        return default
    try:
        return min(read_whole(sent[name]), most)
    except BadNumber:
        raise invalid(name) from None


def spot(sent: Sent) -> None:
    """Refuse other types of instruments than spot, which this exchange does not have."""
    if not sent.get("instType"):
        raise missing("instType")
    if sent["instType"] != "SPOT":
        raise invalid("instType")


def instruments(desk: Desk, sent: Sent) -> Any:
    spot(sent)
    markets = [desk.market(sent["instId"])] if sent.get("instId") else desk.streams.markets.values()
    return [desk.streams.instrument(market) for market in markets]


def time(desk: Desk, sent: Sent) -> Any:
    return [{"ts": payloads.ms(desk.now_ns())}]


def books(desk: Desk, sent: Sent) -> Any:
    market = desk.market(sent.get("instId"))
    size = whole(sent, "sz", 1, DEPTH)
    bids, asks = (payloads.levels(payloads.depth(side, size)) for side in (market.bids, market.asks))
    return [{"asks": asks, "bids": bids, "ts": payloads.ms(desk.now_ns()), "seqId": desk.streams.number(market)}]


def ticker(desk: Desk, sent: Sent) -> Any:
    return [payloads.ticker(desk.market(sent.get("instId")), desk.now_ns())]


def tickers(desk: Desk, sent: Sent) -> Any:
    spot(sent)
    now = desk.now_ns()
    return [payloads.ticker(market, now) for market in desk.streams.markets.values()]


def trades(desk: Desk, sent: Sent) -> Any:
    """The latest trades, newest first."""
    market = desk.market(sent.get("instId"))
    limit = whole(sent, "limit", 100, TRADES)
    return payloads.trades(market, reversed(list(market.trades)[-limit:] if limit else []))


def candles(desk: Desk, sent: Sent) -> Any:
    """Bars, newest first: the latest of those before `after` and after `before`."""
    return _candles(desk, sent, PRESENT, complete_only=False)


def history_candles(desk: Desk, sent: Sent) -> Any:
    """Return bars as `candles`, from all kept bars. The manual does not state whether the current bar is included: here
    it is not, so that no client relies on it."""
    return _candles(desk, sent, MINUTES_KEPT, complete_only=True)


def _candles(desk: Desk, sent: Sent, kept: int, complete_only: bool) -> Any:
    market, now = desk.market(sent.get("instId")), desk.now_ns()
    if (bar := sent.get("bar") or "1m") not in payloads.BARS or (bar == "1s" and not complete_only):
        raise invalid("bar")  # only the history has seconds
    interval, offset_ns = payloads.BARS[bar]
    after = whole(sent, "after", 2**63 - 1)
    before = whole(sent, "before", -1)
    present = floor(now, interval, offset_ns)
    found = [
        each
        for each in market.bars.klines(interval, None, present, kept, offset_ns)
        if before < each.open_ns // MILLISECOND_NS < after
        and not (complete_only and end(each.open_ns, interval, offset_ns) > now)
    ]
    limit = whole(sent, "limit", 100, CANDLES)
    return [
        payloads.candle(each, end(each.open_ns, interval, offset_ns) <= now)
        for each in reversed(found[-limit:] if limit else [])
    ]


QUERIES: dict[str, Callable[[Desk, Sent], Any]] = {
    "public/instruments": instruments,
    "public/time": time,
    "market/books": books,
    "market/ticker": ticker,
    "market/tickers": tickers,
    "market/trades": trades,
    "market/candles": candles,
    "market/history-candles": history_candles,
}
