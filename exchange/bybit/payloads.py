"""Instruments, tickers, trades and candles as REST and the topics write them.

Source: market/instrument.mdx, market/tickers.mdx, market/recent-trade.mdx, market/kline.mdx,
websocket/public/{ticker, trade, kline}.mdx, read 2026-11-27.
"""

from __future__ import annotations

from typing import Any

from ...model.time import DAY_NS
from ..engine.candles import Bar, end
from ..engine.market import Trade
from ..engine.rules import ONE, SCALE
from ..wire.numbers import short, to_decimals
from .client import milliseconds
from .pairs import Pair

INTERVALS = {  # enum.mdx, interval, and the engine's names
    "1": "1m",
    "3": "3m",
    "5": "5m",
    "15": "15m",
    "30": "30m",
    "60": "1h",
    "120": "2h",
    "240": "4h",
    "360": "6h",
    "720": "12h",
    "D": "1d",
    "W": "1w",
    "M": "1M",
}
NAMES = {ours: theirs for theirs, ours in INTERVALS.items()}


def instrument(pair: Pair) -> dict[str, Any]:
    rules = pair.market.rules
    largest, by_market = short(rules.max_size), short(rules.market_max or rules.max_size)
    return {
        "symbol": rules.symbol,
        "symbolId": 1,
        "baseCoin": rules.base,
        "quoteCoin": rules.quote,
        "innovation": "0",
        "symbolType": "",
        "xstockMultiplier": "1",
        "status": "Trading",
        "marginTrading": "none",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": short(rules.step),
            "quotePrecision": short(1),
            "minOrderQty": short(rules.min_size),
            "maxOrderQty": largest,
            "minOrderAmt": short(rules.min_notional),
            "maxOrderAmt": short(rules.max_notional),
            "maxLimitOrderQty": largest,
            "maxMarketOrderQty": by_market,
            "postOnlyMaxLimitOrderSize": largest,
        },
        "priceFilter": {"tickSize": short(rules.tick)},
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
    }


def _day(pair: Pair, now_ns: int) -> dict[str, Any]:
    """The 24-hour statistics for REST and the topic."""
    market = pair.market
    day = market.bars.window(now_ns - DAY_NS, now_ns)
    change = (market.bars.last_price - day.open) * ONE // day.open
    return {
        "lastPrice": pair.price(market.bars.last_price),
        "highPrice24h": pair.price(day.high),
        "lowPrice24h": pair.price(day.low),
        "prevPrice24h": pair.price(day.open),
        "volume24h": short(day.volume),
        "turnover24h": short(day.quote_raw),
        "price24hPcnt": to_decimals(change - change % 10 ** (SCALE - 4), 4),
    }


def ticker(pair: Pair, now_ns: int) -> dict[str, Any]:
    """One row of REST. A side that is empty is empty text."""
    bid, ask = pair.market.tops
    return {
        "symbol": pair.symbol,
        "bid1Price": pair.price(bid[0]) if bid else "",
        "bid1Size": pair.size(bid[1]) if bid else "",
        "ask1Price": pair.price(ask[0]) if ask else "",
        "ask1Size": pair.size(ask[1]) if ask else "",
        **_day(pair, now_ns),
        "usdIndexPrice": "",
    }


def ticker_event(pair: Pair, now_ns: int) -> dict[str, Any]:
    """The data of the topic `tickers`."""
    return {"symbol": pair.symbol, **_day(pair, now_ns), "usdIndexPrice": ""}


def trade(pair: Pair, made: Trade) -> dict[str, Any]:
    """One row of the topic `publicTrade`."""
    return {
        "i": pair.trade_id(made.id),
        "T": milliseconds(made.time_ns),
        "p": pair.price(made.price),
        "v": pair.size(made.size),
        "S": "Sell" if made.buyer_is_maker else "Buy",
        "s": pair.symbol,
        "BT": False,
        "RPI": False,
        "seq": made.id,
    }


def recent_trade(pair: Pair, made: Trade) -> dict[str, Any]:
    """One row of REST."""
    return {
        "execId": pair.trade_id(made.id),
        "symbol": pair.symbol,
        "price": pair.price(made.price),
        "size": pair.size(made.size),
        "side": "Sell" if made.buyer_is_maker else "Buy",
        "time": str(milliseconds(made.time_ns)),
        "isBlockTrade": False,
        "isRPITrade": False,
        "seq": str(made.id),
    }


def candle(pair: Pair, bar: Bar) -> list[str]:
    prices = [pair.price(value) for value in (bar.open, bar.high, bar.low, bar.close)]
    return [str(milliseconds(bar.open_ns)), *prices, short(bar.volume), short(bar.quote_raw)]


def candle_event(pair: Pair, bar: Bar, interval: str, has_ended: bool, now_ns: int) -> dict[str, Any]:
    """One candle of a topic. The engine keeps no time of a bar's last trade, so `timestamp` is the time of sending."""
    start, *prices, volume, turnover = candle(pair, bar)
    return {
        "start": int(start),
        "end": milliseconds(end(bar.open_ns, interval)) - 1,
        "interval": NAMES[interval],
        **dict(zip(("open", "high", "low", "close"), prices, strict=True)),
        "volume": volume,
        "turnover": turnover,
        "confirm": has_ended,
        "timestamp": milliseconds(now_ns),
    }
