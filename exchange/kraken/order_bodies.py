"""Orders and fills in the answers of REST.

Source: get-open-orders, get-closed-orders, get-orders-info, get-trade-history, add-order, read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..engine.accounts import Fill, Order
from ..engine.rules import ONE
from ..wire.numbers import text
from . import ids
from .client import seconds
from .names import Pair
from .orders import NAMES, NewOrder, client_id_of, fee_in_quote, reason, state

STATES = {"pending_new": "pending", "new": "open", "partially_filled": "open", "filled": "closed"}


def described(new: NewOrder) -> str:
    """Return the text that describes a new order."""
    return _words(new.pair, new)


def _words(pair: Pair, order: NewOrder | Order) -> str:
    amount = pair.size(order.size) if order.quote_size is None else text(order.quote_size)
    trigger = order.trigger if isinstance(order, NewOrder) else order.stop_price
    limit = "market" if order.price is None else f"limit {pair.price(order.price)}"
    if trigger is not None:
        kind = "stop loss" if order.kind.startswith("STOP") else "take profit"
        limit = f"{kind} {pair.price(trigger)}" + ("" if order.price is None else f" -> {limit}")
    return f"{order.side.name.lower()} {amount} {pair.altname} @ {limit}"


def flags(order: Order) -> str:
    found = ["fciq"] if order.side.name == "BUY" or order.fee_reserve is not None else ["fcib"]
    found += ["post"] if order.kind == "LIMIT_MAKER" else []
    found += ["viqc"] if order.quote_size is not None else []
    return ",".join(found)


def average(order: Order) -> int:
    """Return the average price of the fills, or 0."""
    return order.quote_filled * ONE // order.filled if order.filled else 0


def order(pair: Pair, placed: Order, fills: Sequence[Fill] | None, all_fills: Sequence[Fill]) -> dict[str, Any]:
    """One order, with `fills` if they were requested."""
    found = state(placed)
    prices = [pair.price(one) for one in (placed.stop_price, placed.price) if one is not None] + ["0", "0"]
    went = placed.conditional and placed.working_ns >= 0
    misc = [("stopped" if placed.kind.startswith("STOP") else "touched")] if went else []
    misc += ["partial"] if found == "canceled" and placed.filled else []
    body: dict[str, Any] = {
        "refid": None,
        "userref": placed.strategy_id,
        "cl_ord_id": client_id_of(placed),
        "status": STATES.get(found, "canceled"),
        "opentm": seconds(placed.created_ns),
        "starttm": 0,
        "expiretm": 0,
        "descr": {
            "pair": pair.altname,
            "type": placed.side.name.lower(),
            "ordertype": NAMES[placed.kind],
            "price": prices[0],
            "price2": prices[1],
            "leverage": "none",
            "order": _words(pair, placed),
            "close": "",
        },
        "vol": pair.size(placed.size),
        "vol_exec": pair.size(placed.filled),
        "cost": text(placed.quote_filled),
        "fee": text(fee_in_quote(all_fills, pair.market.rules.quote)),
        "price": text(average(placed)),
        "stopprice": text(placed.stop_price if went and placed.stop_price is not None else 0),
        "limitprice": text(placed.price if went and placed.price is not None else 0),
        "misc": ",".join(misc),
        "oflags": flags(placed),
    }
    if placed.conditional:
        body["trigger"] = "last"
    if found in ("filled", "canceled"):
        body["reason"] = None if found == "filled" else reason(placed)
        body["closetm"] = seconds(placed.updated_ns)
    if fills is not None:
        body["trades"] = [ids.trade_id(fill) for fill in fills]
    return body


def trade(pair: Pair, fill: Fill, kind: str) -> dict[str, Any]:
    """One fill; `kind` is the order's."""
    return {
        "ordertxid": ids.order_id(fill.order_id),
        "postxid": "TKH2SE-M7IF5-CFI7LT",
        "pair": pair.key,
        "time": seconds(fill.time_ns),
        "type": fill.side,
        "ordertype": kind,
        "price": text(fill.price),
        "cost": text(fill.quote),
        "fee": text(fee_in_quote([fill], pair.market.rules.quote)),
        "vol": pair.size(fill.size),
        "margin": text(0),
        "leverage": "0",
        "misc": "",
        "trade_id": fill.trade_id,
        "maker": fill.maker,
        "aclass": "forex",
    }


def consolidated(fills: Sequence[Fill]) -> list[Fill]:
    """Merge a taker order's fills of one instant, under the id of the first, at their average price."""
    merged: list[Fill] = []
    for fill in fills:
        last = merged[-1] if merged else None
        together = last is not None and not last.maker and not fill.maker and last.order_id == fill.order_id
        if last is None or not together or last.time_ns != fill.time_ns:
            merged.append(fill)
            continue
        size, quote = last.size + fill.size, last.quote + fill.quote
        merged[-1] = replace(last, size=size, quote=quote, fee=last.fee + fill.fee, price=quote * ONE // size)
    return merged
