"""Instruments, books, trades, tickers, candles and accounts as REST and the channels write them.

Numbers are text without trailing zeros, times are milliseconds as text.

Source: public/data/rest-api-get-instruments.md and order/book/trading-market-data-{get-order-book, get-tickers,
get-trades, get-candlesticks, ws-trades-channel}.md, trading/account/rest-api-get-{balance, account-configuration}.md,
trading/account/websocket-account-channel.md, read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from ...model.fixed import to_raw
from ...model.time import DAY_NS, MILLISECOND_NS
from ..engine.accounts import Account
from ..engine.book import BookSide
from ..engine.candles import Bar
from ..engine.market import Market, Trade
from ..engine.rules import ONE, SCALE, Rules
from ..wire.numbers import short

HOURS_8_NS = DAY_NS // 3
# The exchange's word -> the engine's interval and the time zone of its days
BARS = {bar: (bar.lower(), 0) for bar in ("1s", "1m", "3m", "5m", "15m", "30m", "1H", "2H", "4H")}
for _bar, _interval in {"6H": "6h", "12H": "12h", "1D": "1d", "3D": "3d", "1W": "1w", "1M": "1M"}.items():
    BARS[_bar], BARS[f"{_bar}utc"] = (_interval, HOURS_8_NS), (_interval, 0)
STATES = {"TRADING": "live", "BREAK": "preopen"}  # else suspend
OF_DERIVATIVES = (
    *("alias", "ctMult", "ctType", "ctVal", "ctValCcy", "expTime", "instFamily", "lever", "optType", "preMktSwTime"),
    *("settleCcy", "stk", "uly", "auctionEndTime", "contTdSwTime", "maxMktSz", "maxStopSz", "openType"),
)
Held = Mapping[int, tuple[int, int]]  # size and number of orders by price


def inst_id(rules: Rules) -> str:
    return f"{rules.base}-{rules.quote}"


def ms(time_ns: int) -> str:
    return str(time_ns // MILLISECOND_NS)


def min_size(rules: Rules) -> int:
    """Return the smallest size of an order. It covers the market's smallest value, because OKX has no such rule."""
    worth: int = 2 * rules.min_notional * ONE // rules.start_price
    return max(rules.min_size, -(-worth // rules.step) * rules.step)


def instrument(rules: Rules, code: int) -> dict[str, Any]:
    """One instrument; fields of derivatives are empty."""
    empty = dict.fromkeys(OF_DERIVATIVES, "")
    return {
        **empty,
        "baseCcy": rules.base,
        "category": "1",
        "futureSettlement": False,
        "groupId": "12",
        "instId": inst_id(rules),
        "instType": "SPOT",
        "listTime": "1548133413000",
        "lotSz": short(rules.step),
        "maxIcebergSz": short(rules.max_size),
        "maxLmtAmt": "20000000",
        "maxLmtSz": short(rules.max_size),
        "maxMktAmt": "1000000",
        "maxTriggerSz": short(rules.max_size),
        "maxTwapSz": short(rules.max_size),
        "minSz": short(min_size(rules)),
        "quoteCcy": rules.quote,
        "tradeQuoteCcyList": [rules.quote],
        "state": STATES.get(rules.status, "suspend"),
        "ruleType": "normal",
        "tickSz": short(rules.tick),
        "instIdCode": code,
        "instCategory": "1",
        "upcChg": [],
    }


def depth(side: BookSide, most: int) -> dict[int, tuple[int, int]]:
    """The best levels of a side."""
    return {price: (size, len(side.levels[price].orders)) for price, size in side.depth(most)}


def levels(held: Held) -> list[list[str]]:
    """[price, size, "0", number of orders]; a removed level has size 0."""
    return [[short(price), short(size), "0", str(orders)] for price, (size, orders) in held.items()]


def trade(market: Market, number: int, price: int, size: int, sells: bool, time_ns: int) -> dict[str, Any]:
    """One public trade; the side is the taker's."""
    return {
        "instId": inst_id(market.rules),
        "tradeId": str(number),
        "px": short(price),
        "sz": short(size),
        "side": "sell" if sells else "buy",
        "ts": ms(time_ns),
        "source": "0",
    }


def trades(market: Market, made: Iterable[Trade]) -> list[dict[str, Any]]:
    return [trade(market, each.id, each.price, each.size, each.buyer_is_maker, each.time_ns) for each in made]


def ticker(market: Market, now_ns: int) -> dict[str, Any]:
    """The last 24 hours; an empty side of the book is "" (a guess, because the manual is silent)."""
    day = market.bars.window(now_ns - DAY_NS, now_ns)
    bid, ask = market.tops
    return {
        "instType": "SPOT",
        "instId": inst_id(market.rules),
        "last": short(market.bars.last_price),
        "lastSz": short(market.bars.last_size),
        "askPx": short(ask[0]) if ask else "",
        "askSz": short(ask[1]) if ask else "",
        "bidPx": short(bid[0]) if bid else "",
        "bidSz": short(bid[1]) if bid else "",
        "open24h": short(day.open),
        "high24h": short(day.high),
        "low24h": short(day.low),
        "volCcy24h": short(day.quote_raw),
        "vol24h": short(day.volume),
        "sodUtc0": short(market.bars.window(now_ns - now_ns % DAY_NS, now_ns).open),
        "sodUtc8": short(market.bars.window(now_ns - (now_ns + HOURS_8_NS) % DAY_NS, now_ns).open),
        "ts": ms(now_ns),
    }


def candle(bar: Bar, is_complete: bool) -> list[str]:
    """[ts, o, h, l, c, vol, volCcy, volCcyQuote, confirm]; of spot both volCcy are in the quote asset."""
    prices = [short(price) for price in (bar.open, bar.high, bar.low, bar.close)]
    quote = short(bar.quote_raw)
    return [ms(bar.open_ns), *prices, short(bar.volume), quote, quote, str(int(is_complete))]


OF_MARGIN = (
    *("imr", "mgnRatio", "mmr", "notionalLever", "spotInUseAmt", "clSpotInUseAmt", "maxSpotInUse", "spotBal"),
    *("openAvgPx", "accAvgPx", "spotUpl", "spotUplRatio", "totalPnl", "totalPnlRatio", "availEq", "disEq", "eqUsd"),
)
ZERO = ("borrowFroz", "crossLiab", "fixedBal", "interest", "isoEq", "isoLiab", "liab", "maxLoan", "stgyEq", "upl")


def account(held: Account, now_ns: int, wanted: Iterable[str] | None = None) -> dict[str, Any]:
    """Balances of an account in spot mode: all that are not zero, or the requested currencies; amounts in USD are left
    out."""
    names = [ccy for ccy in held.balances if wanted is None or ccy in wanted]
    details = [detail(held, ccy) for ccy in names if held.balances[ccy].free or held.balances[ccy].locked]
    empty = dict.fromkeys(("adjEq", "availEq", "imr", "mgnRatio", "mmr", "notionalUsd", "ordFroz", "upl"), "")
    return empty | {"details": details, "isoEq": "0", "totalEq": "", "uTime": ms(held.updated_ns or now_ns)}


def detail(held: Account, ccy: str) -> dict[str, Any]:
    balance = held.balance(ccy)
    total = short(balance.free + balance.locked)
    return {
        **dict.fromkeys(OF_MARGIN, ""),
        **dict.fromkeys(ZERO, "0"),
        "ccy": ccy,
        "availBal": short(balance.free),
        "cashBal": total,
        "eq": total,
        "frozenBal": short(balance.locked),
        "ordFrozen": short(balance.locked),
        "uTime": ms(held.updated_ns),
    }


def config(held: Account) -> dict[str, Any]:
    """An account in spot mode."""
    return {
        "acctLv": "1",
        "acctStpMode": "cancel_maker",
        "autoLoan": False,
        "ctIsoMode": "automatic",
        "feeType": "0",
        "greeksType": "PA",
        "ip": "",
        "kycLv": "3",
        "label": held.name,
        "level": "Lv1",
        "levelTmp": "",
        "mainUid": uid(held),
        "mgnIsoMode": "automatic",
        "perm": "read_only,trade",
        "posMode": "net_mode",
        "roleType": "0",
        "type": "0",
        "uid": uid(held),
    }


def uid(held: Account) -> str:
    """The number of an account."""
    return str(44_705_892_343_619_584 + sum(held.name.encode()))


def misstated(details: list[dict[str, Any]], wrong: Mapping[str, Decimal]) -> list[dict[str, Any]]:
    """Return details with an amount added to a currency's free balance, for a fault."""
    rows = {row["ccy"]: row for row in details}
    for ccy, amount in wrong.items():
        row = rows.setdefault(ccy, detail(Account(""), ccy))
        for name in ("availBal", "cashBal", "eq"):
            row[name] = short(to_raw(row[name], SCALE) + to_raw(amount, SCALE))
    return list(rows.values())
