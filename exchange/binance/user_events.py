"""Writes user data events as JSON objects. Times are `Ns` until `in_unit` converts them to a connection's unit.

Source: user-data-stream.md, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from ...model.fixed import to_raw
from ..engine.accounts import Account, OrderList
from ..engine.market import ExecutionReport, Market
from ..engine.rules import ONE, SCALE
from ..wire.numbers import text
from .order_bodies import shown_time_in_force

ZERO = "0.00000000"
OPEN = ("NEW", "PARTIALLY_FILLED")
TRADE_GROUP = -1  # the engine has no trade groups


class Ns(int):
    """A time in nanoseconds since the Unix epoch, not yet in a connection's unit."""


def in_unit(event: Mapping[str, Any], unit: int) -> dict[str, Any]:
    """Return the event with its times in units of `unit` nanoseconds."""
    return {name: int(value) // unit if type(value) is Ns else value for name, value in event.items()}


def assets_of(market: Market, fee_asset: str | None) -> list[str]:
    """Return the assets whose balances an order event may have changed."""
    assets = [market.rules.base, market.rules.quote]
    return assets if not fee_asset or fee_asset in assets else [*assets, fee_asset]


def execution(report: ExecutionReport, now_ns: int) -> dict[str, Any]:
    """`executionReport`, with its conditional fields."""
    order, fill = report.order, report.fill
    event: dict[str, Any] = {
        "e": "executionReport",
        "E": Ns(now_ns),
        "s": order.symbol,
        "c": report.client_id or order.client_id,
        "S": order.side.name,
        "o": order.kind,
        "f": shown_time_in_force(order),
        "q": text(order.size),
        "p": text(order.price or 0),
        "P": text(order.stop_price or 0),
        "F": ZERO,
        "g": order.list_id,
        "C": report.original,
        "x": report.kind,
        "X": order.status,
        "r": "NONE",
        "i": order.id,
        "l": text(fill.size) if fill is not None else ZERO,
        "z": text(order.filled),
        "L": text(fill.price) if fill is not None else ZERO,
        "n": text(fill.fee) if fill is not None else "0",
        "N": fill.fee_asset or None if fill is not None else None,
        "T": Ns(report.time_ns),
        "t": fill.trade_id if fill is not None else -1,
        "I": report.id,
        "w": order.status in OPEN and order.working_ns > 0,
        "m": fill is not None and fill.maker,
        "M": False,
        "O": Ns(order.created_ns),
        "Z": text(order.quote_filled),
        "Y": text(fill.quote) if fill is not None else ZERO,
        "Q": text(order.quote_size or 0),
        "V": order.self_trade,
    }
    event.update(_conditional(report))
    return event


def _conditional(report: ExecutionReport) -> dict[str, Any]:
    order, match = report.order, report.match
    more: dict[str, Any] = {}
    if order.working_ns > 0:
        more["W"] = Ns(order.working_ns)
    if order.strategy_id is not None:
        more["j"] = order.strategy_id
    if order.strategy_type is not None:
        more["J"] = order.strategy_type
    if match is not None:
        taker = order.id == match.taker_order
        more |= {
            "v": match.id,
            "A": text(order.prevented),
            "B": text(report.prevented),
            "u": TRADE_GROUP,
            "U": match.maker_order if taker else match.taker_order,
            "Cs": match.symbol,
            "pl": text(report.prevented),
            "pL": text(match.price),
            "pY": text(match.price * report.prevented // ONE),
        }
    if order.expiry_reason:
        more["eR"] = order.expiry_reason
    return more


def list_status(group: OrderList, kind: str, now_ns: int, time_ns: int) -> dict[str, Any]:
    """`listStatus`."""
    return {
        "e": "listStatus",
        "E": Ns(now_ns),
        "s": group.symbol,
        "g": group.id,
        "c": group.contingency,
        "l": kind,
        "L": "ALL_DONE" if kind == "ALL_DONE" else "EXECUTING",
        "r": "NONE",
        "C": group.client_id,
        "T": Ns(time_ns),
        "O": [{"s": order.symbol, "i": order.id, "c": order.client_id} for order in group.orders],
    }


def position(
    account: Account, assets: Iterable[str], wrong: Mapping[str, Decimal], time_ns: int, now_ns: int
) -> dict[str, Any]:
    """`outboundAccountPosition` of some assets; `wrong`: amounts to add to free balances."""
    return {
        "e": "outboundAccountPosition",
        "E": Ns(now_ns),
        "u": Ns(time_ns),
        "B": [
            {
                "a": asset,
                "f": text(account.balance(asset).free + to_raw(wrong.get(asset, Decimal(0)), SCALE)),
                "l": text(account.balance(asset).locked),
            }
            for asset in assets
        ],
    }


def balance(asset: str, delta: int, time_ns: int, now_ns: int) -> dict[str, Any]:
    return {"e": "balanceUpdate", "E": Ns(now_ns), "a": asset, "d": text(delta), "T": Ns(time_ns)}


def external_lock(asset: str, delta: int, time_ns: int, now_ns: int) -> dict[str, Any]:
    return {"e": "externalLockUpdate", "E": Ns(now_ns), "a": asset, "d": text(delta), "T": Ns(time_ns)}


def terminated(now_ns: int) -> dict[str, Any]:
    return {"e": "eventStreamTerminated", "E": Ns(now_ns)}
