"""Orders and fills as REST and the channel `orders` write them. Numbers are text; a paid fee is negative.

Source: order/book/trading-trade-get-{order-details, transaction-details-last-3-days}.md, trading-trade-ws-order-channel
.md, read 2026-11-27. The average price of an unfilled order is "" in REST and "0" in the channel.
"""

from __future__ import annotations

from typing import Any

from ..engine.accounts import Fill, Order
from ..engine.market import Market
from ..engine.rules import ONE
from ..wire.numbers import short
from . import ids
from .orders import Details, cancel_source, client_id_of, state
from .payloads import inst_id, ms

EMPTY = (
    *("algoClOrdId", "algoId", "attachAlgoClOrdId", "ccy", "pxType", "pxUsd", "pxVol", "quickMgnType", "slOrdPx"),
    *("slTriggerPx", "slTriggerPxType", "source", "stpId", "tpOrdPx", "tpTriggerPx", "tpTriggerPxType", "lever"),
)
NO_FILL = {"fillPx": "", "fillSz": "0", "fillTime": "", "tradeId": ""}


def average(order: Order) -> int:
    """Return the average price of the fills, or 0."""
    return order.quote_filled * ONE // order.filled if order.filled else 0


def fee(amount: int) -> str:
    """Write a paid fee with the exchange's sign."""
    return short(-amount)


def last_fill(fill: Fill | None) -> dict[str, Any]:
    if fill is None:
        return NO_FILL
    return {
        "fillPx": short(fill.price),
        "fillSz": short(fill.size),
        "fillTime": ms(fill.time_ns),
        "tradeId": str(fill.trade_id),
    }


def order(market: Market, placed: Order, details: Details) -> dict[str, Any]:
    """One order as REST writes it."""
    rules, is_market = market.rules, details.kind == "market"
    bought = rules.base if placed.side.name == "BUY" else rules.quote
    fills = details.fills
    size = placed.quote_size if placed.quote_size is not None else placed.size
    return {
        **dict.fromkeys(EMPTY, ""),
        **last_fill(fills[-1] if fills else None),
        "accFillSz": short(placed.filled),
        "attachAlgoOrds": [],
        "avgPx": short(average(placed)) if placed.filled else "",
        "cTime": ms(placed.created_ns),
        "cancelSource": cancel_source(placed),
        "cancelSourceReason": "",
        "category": "normal",
        "clOrdId": client_id_of(placed),
        "fee": fee(sum(fill.fee for fill in fills if fill.fee_asset == bought)),
        "feeCcy": bought,
        "instId": inst_id(rules),
        "instType": "SPOT",
        "isTpLimit": "false",
        "linkedAlgoOrd": {"algoId": ""},
        "ordId": ids.order_id(placed.id),
        "ordType": details.kind,
        "pnl": "0",
        "posSide": "net",
        "px": "" if is_market or placed.price is None else short(placed.price),
        "rebate": "0",
        "rebateCcy": rules.quote if bought == rules.base else rules.base,
        "reduceOnly": "false",
        "side": placed.side.name.lower(),
        "state": state(placed),
        "stpMode": details.self_trade,
        "sz": short(size),
        "tag": details.tag,
        "tdMode": "cash",
        "tgtCcy": details.target,
        "tradeQuoteCcy": rules.quote,
        "uTime": ms(placed.updated_ns),
    }


def fill_row(market: Market, fill: Fill, bill: int) -> dict[str, Any]:
    """One fill as REST writes it. The record of a fill is made a millisecond after the trade."""
    rules = market.rules
    rate = rules.maker_fee if fill.maker else rules.taker_fee
    given = "" if fill.client_id.rstrip("-") == f"x-{fill.order_id}" else fill.client_id
    return {
        **dict.fromkeys(("fillPxVol", "fillFwdPx", "fillPxUsd", "fillMarkVol", "fillIdxPx", "fillMarkPx", "tag"), ""),
        "side": fill.side,
        "fillSz": short(fill.size),
        "fillPx": short(fill.price),
        "fee": fee(fill.fee) if fill.fee_asset else "",
        "fillPnl": "0",
        "ordId": ids.order_id(fill.order_id),
        "feeRate": fee(rate),
        "instType": "SPOT",
        "instId": inst_id(rules),
        "clOrdId": given,
        "posSide": "net",
        "billId": str(bill),
        "subType": "1" if fill.side == "buy" else "2",
        "fillTime": ms(fill.time_ns),
        "execType": "M" if fill.maker else "T",
        "tradeId": str(fill.trade_id),
        "feeCcy": fill.fee_asset,
        "ts": ms(fill.time_ns + 1_000_000),
        "tradeQuoteCcy": rules.quote,
    }


def pushed(market: Market, placed: Order, details: Details, fill: Fill | None, more: dict[str, Any]) -> dict[str, Any]:
    """One order as the channel writes it; `fill` and its fee are those of this message."""
    body = order(market, placed, details) | last_fill(fill)
    if not placed.filled:
        body["avgPx"] = "0"
    body |= {
        "amendResult": "",
        "amendSource": "",
        "code": "0",
        "execType": "" if fill is None else "M" if fill.maker else "T",
        "fillFee": "0" if fill is None else fee(fill.fee) if fill.fee_asset else "",
        "fillFeeCcy": "" if fill is None else fill.fee_asset,
        "fillNotionalUsd": "",
        "fillPnl": "0",
        "lastPx": short(market.bars.last_price),
        "msg": "",
        "notionalUsd": "",
        "reqId": "",
    }
    return body | more
