"""Writes the bodies that REST, the WebSocket API and the streams send, from the engine's numbers.

Source: rest-api.md, web-socket-streams.md, web-socket-api.md, read 2026-11-22. Times come in as nanoseconds and go out
as milliseconds or microseconds: `unit` is the length of such a unit in nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...model.time import DAY_NS, MINUTE_NS
from ..engine.candles import Bar, end
from ..engine.market import Aggregate, Market, Trade
from ..engine.rules import ONE, Rules
from ..wire.numbers import short, text
from .limits import Limits

MICRO = 1_000

ORDER_TYPES = [
    "LIMIT",
    "LIMIT_MAKER",
    "MARKET",
    "STOP_LOSS",
    "STOP_LOSS_LIMIT",
    "TAKE_PROFIT",
    "TAKE_PROFIT_LIMIT",
]


def pairs(levels: Iterable[tuple[int, int]]) -> str:
    """Levels as JSON: [["price","size"],...]."""
    return "[" + ",".join([f'["{text(price)}","{text(size)}"]' for price, size in levels]) + "]"


def depth(market: Market, limit: int) -> bytes:
    """The body of depth answers and of partial book streams."""
    bids, asks = pairs(market.bids.depth(limit)), pairs(market.asks.depth(limit))
    return f'{{"lastUpdateId":{market.update_id},"bids":{bids},"asks":{asks}}}'.encode()


def depth_update(
    symbol: str, first: int, last: int, bids: dict[int, int], asks: dict[int, int], now_ns: int, unit: int
) -> str:
    """One diff: bids from the highest, asks from the lowest price."""
    return (
        f'{{"e":"depthUpdate","E":{now_ns // unit},"s":"{symbol}","U":{first},"u":{last},'
        f'"b":{pairs(sorted(bids.items(), reverse=True))},"a":{pairs(sorted(asks.items()))}}}'
    )


def trade_event(symbol: str, trade: Trade, now_ns: int, unit: int) -> str:
    maker = "true" if trade.buyer_is_maker else "false"
    return (
        f'{{"e":"trade","E":{now_ns // unit},"s":"{symbol}","t":{trade.id},"p":"{text(trade.price)}",'
        f'"q":"{text(trade.size)}","T":{trade.time_ns // unit},"m":{maker},"M":true}}'
    )


def aggregate_event(symbol: str, aggregate: Aggregate, now_ns: int, unit: int) -> str:
    maker = "true" if aggregate.buyer_is_maker else "false"
    return (
        f'{{"e":"aggTrade","E":{now_ns // unit},"s":"{symbol}","a":{aggregate.id},"p":"{text(aggregate.price)}",'
        f'"q":"{text(aggregate.size)}","f":{aggregate.first},"l":{aggregate.last},"T":{aggregate.time_ns // unit},'
        f'"m":{maker},"M":true}}'
    )


def book_ticker_event(market: Market) -> str:
    bid, ask = market.bids.top or (0, 0), market.asks.top or (0, 0)
    return (
        f'{{"u":{market.update_id},"s":"{market.symbol}","b":"{text(bid[0])}","B":"{text(bid[1])}",'
        f'"a":"{text(ask[0])}","A":"{text(ask[1])}"}}'
    )


def trade(trade: Trade, unit: int) -> dict[str, Any]:
    return {
        "id": trade.id,
        "price": text(trade.price),
        "qty": text(trade.size),
        "quoteQty": text(trade.price * trade.size // ONE),
        "time": trade.time_ns // unit,
        "isBuyerMaker": trade.buyer_is_maker,
        "isBestMatch": True,
    }


def aggregate(found: Aggregate, unit: int) -> dict[str, Any]:
    return {
        "a": found.id,
        "p": text(found.price),
        "q": text(found.size),
        "f": found.first,
        "l": found.last,
        "T": found.time_ns // unit,
        "m": found.buyer_is_maker,
        "M": True,
    }


def kline(bar: Bar, interval: str, offset_ns: int, unit: int) -> list[Any]:
    return [
        bar.open_ns // unit,
        text(bar.open),
        text(bar.high),
        text(bar.low),
        text(bar.close),
        text(bar.volume),
        end(bar.open_ns, interval, offset_ns) // unit - 1,
        text(bar.quote_raw),
        bar.count,
        text(bar.taker_volume),
        text(bar.taker_quote // ONE),
        "0",
    ]


def kline_event(
    symbol: str, bar: Bar, interval: str, closed: bool, offset_ns: int, now_ns: int, unit: int
) -> dict[str, Any]:
    return {
        "e": "kline",
        "E": now_ns // unit,
        "s": symbol,
        "k": {
            "t": bar.open_ns // unit,
            "T": end(bar.open_ns, interval, offset_ns) // unit - 1,
            "s": symbol,
            "i": interval,
            "f": bar.first_id,
            "L": bar.last_id,
            "o": text(bar.open),
            "c": text(bar.close),
            "h": text(bar.high),
            "l": text(bar.low),
            "v": text(bar.volume),
            "n": bar.count,
            "x": closed,
            "q": text(bar.quote_raw),
            "V": text(bar.taker_volume),
            "Q": text(bar.taker_quote // ONE),
            "B": "0",
        },
    }


def percent(change: int, before: int) -> str:
    return f"{change * 100 / before if before else 0:.3f}"


def day_ticker(market: Market, now_ns: int, unit: int, mini: bool) -> dict[str, Any]:
    """The time 24 hours before now."""
    bar = market.bars.window(now_ns - DAY_NS, now_ns)
    full = rolling(market, bar, now_ns - DAY_NS, now_ns, unit, mini)
    if mini:
        return full
    bid, ask = market.bids.top or (0, 0), market.asks.top or (0, 0)
    head = {key: full.pop(key) for key in ("symbol", "priceChange", "priceChangePercent", "weightedAvgPrice")}
    last = full.pop("lastPrice")
    return head | {
        "prevClosePrice": text(bar.open),
        "lastPrice": last,
        "lastQty": text(market.bars.last_size),
        "bidPrice": text(bid[0]),
        "bidQty": text(bid[1]),
        "askPrice": text(ask[0]),
        "askQty": text(ask[1]),
        **full,
    }


def rolling(market: Market, bar: Bar, open_ns: int, close_ns: int, unit: int, mini: bool) -> dict[str, Any]:
    """The statistics of a window, with fields in the manual's order."""
    change = bar.close - bar.open
    body: dict[str, Any] = {"symbol": market.symbol}
    if not mini:
        body["priceChange"] = text(change)
        body["priceChangePercent"] = percent(change, bar.open)
        body["weightedAvgPrice"] = text(bar.average)
    return body | {
        "openPrice": text(bar.open),
        "highPrice": text(bar.high),
        "lowPrice": text(bar.low),
        "lastPrice": text(bar.close),
        "volume": text(bar.volume),
        "quoteVolume": text(bar.quote_raw),
        "openTime": open_ns // unit,
        "closeTime": close_ns // unit,
        "firstId": bar.first_id,
        "lastId": bar.last_id,
        "count": bar.count,
    }


def ticker_event(market: Market, now_ns: int, unit: int) -> dict[str, Any]:
    bar = market.bars.window(now_ns - DAY_NS, now_ns)
    bid, ask = market.bids.top or (0, 0), market.asks.top or (0, 0)
    return {
        "e": "24hrTicker",
        "E": now_ns // unit,
        "s": market.symbol,
        "p": text(bar.close - bar.open),
        "P": percent(bar.close - bar.open, bar.open),
        "w": text(bar.average),
        "x": text(bar.open),
        "c": text(bar.close),
        "Q": text(market.bars.last_size),
        "b": text(bid[0]),
        "B": text(bid[1]),
        "a": text(ask[0]),
        "A": text(ask[1]),
        "o": text(bar.open),
        "h": text(bar.high),
        "l": text(bar.low),
        "v": text(bar.volume),
        "q": text(bar.quote_raw),
        "O": (now_ns - DAY_NS) // unit,
        "C": now_ns // unit,
        "F": bar.first_id,
        "L": bar.last_id,
        "n": bar.count,
    }


def window_event(market: Market, window: str, width_ns: int, now_ns: int, unit: int) -> dict[str, Any]:
    bar = market.bars.window(now_ns - width_ns, now_ns)
    return {
        "e": f"{window}Ticker",
        "E": now_ns // unit,
        "s": market.symbol,
        "p": text(bar.close - bar.open),
        "P": percent(bar.close - bar.open, bar.open),
        "o": text(bar.open),
        "h": text(bar.high),
        "l": text(bar.low),
        "c": text(bar.close),
        "w": text(bar.average),
        "v": text(bar.volume),
        "q": text(bar.quote_raw),
        "O": bar.open_ns // unit,
        "C": now_ns // unit,
        "F": bar.first_id,
        "L": bar.last_id,
        "n": bar.count,
    }


def mini_ticker_event(market: Market, now_ns: int, unit: int) -> dict[str, Any]:
    bar = market.bars.window(now_ns - DAY_NS, now_ns)
    return {
        "e": "24hrMiniTicker",
        "E": now_ns // unit,
        "s": market.symbol,
        "c": text(bar.close),
        "o": text(bar.open),
        "h": text(bar.high),
        "l": text(bar.low),
        "v": text(bar.volume),
        "q": text(bar.quote_raw),
    }


def average_price(market: Market, now_ns: int) -> tuple[int, int]:
    """Average price of five minutes, and the time of the last trade in ns."""
    return market.bars.window(now_ns - 5 * MINUTE_NS, now_ns).average, market.bars.last_time_ns


def average_event(market: Market, now_ns: int, unit: int) -> dict[str, Any]:
    price, last_ns = average_price(market, now_ns)
    return {
        "e": "avgPrice",
        "E": now_ns // unit,
        "s": market.symbol,
        "i": "5m",
        "w": text(price),
        "T": last_ns // unit,
    }


def symbol_info(rules: Rules, show_permission_sets: bool) -> dict[str, Any]:
    """One entry of exchangeInfo, with the filters that the engine enforces."""
    return {
        "symbol": rules.symbol,
        "status": rules.status,
        "baseAsset": rules.base,
        "baseAssetPrecision": 8,
        "quoteAsset": rules.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ORDER_TYPES,
        "icebergAllowed": False,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": filters(rules),
        "permissions": [],
        "permissionSets": [list(rules.permissions)] if show_permission_sets else [],
        "defaultSelfTradePreventionMode": rules.self_trade,
        "allowedSelfTradePreventionModes": list(rules.self_trades),
    }


def filters(rules: Rules) -> list[dict[str, Any]]:
    """The filters of a symbol for exchangeInfo: exactly the enforced ones."""
    listed: list[dict[str, Any]] = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": text(rules.min_price),
            "maxPrice": text(rules.max_price),
            "tickSize": text(rules.tick),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": text(rules.min_size),
            "maxQty": text(rules.max_size),
            "stepSize": text(rules.step),
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": text(rules.market_min),
            "maxQty": text(rules.market_max or rules.max_size),
            "stepSize": text(rules.market_step),
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": short(rules.bid_up),
            "bidMultiplierDown": short(rules.bid_down),
            "askMultiplierUp": short(rules.ask_up),
            "askMultiplierDown": short(rules.ask_down),
            "avgPriceMins": rules.average_mins,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": text(rules.min_notional),
            "applyMinToMarket": rules.min_applies_to_market,
            "maxNotional": text(rules.max_notional),
            "applyMaxToMarket": rules.max_applies_to_market,
            "avgPriceMins": rules.average_mins,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": rules.max_orders},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": rules.max_algo_orders},
        {"filterType": "MAX_NUM_ORDER_LISTS", "maxNumOrderLists": rules.max_lists},
        {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": rules.max_amends},
    ]
    if rules.max_position:
        listed.append({"filterType": "MAX_POSITION", "maxPosition": text(rules.max_position)})
    return listed


def rate_limits(limits_of: Limits, rest: bool) -> list[dict[str, Any]]:
    """List the rate limits: REST has raw requests, the WebSocket API connections."""
    limits: list[dict[str, Any]] = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": limits_of.weight},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": limits_of.orders_10s},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": limits_of.orders_1d},
    ]
    kind, most = ("RAW_REQUESTS", limits_of.raw_requests) if rest else ("CONNECTIONS", limits_of.connections)
    return [*limits, {"rateLimitType": kind, "interval": "MINUTE", "intervalNum": 5, "limit": most}]
