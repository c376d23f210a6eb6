"""Kraken's private websocket, version 2: the channels `executions` and `balances`, on one connection.

A message about an order has the ids and the changed fields; the symbol, side and terms came in an earlier message. So a
reader keeps the open orders of its connection, beginning with the snapshot. Balances are totals, without what orders
lock: the mesh requests the locked amounts (`Offer.asks_balances`), and reads here only deposits and withdrawals.

Source: websocket-v2/executions, balances and add_order of docs.kraken.com, read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson

from ...model.order import Fee, OrderStatus
from ..reading import UNREADABLE, flag, integer, number, reading, rfc3339, rows, signed_number, text
from ..reports import BalanceChange, FillReport, Missed, OrderReport, StreamOpened, StreamReport
from ..uuid_ids import unpacked
from . import reports
from .refusals import code_of

CHANNELS = ("executions", "balances")
STATUS = {
    "pending_new": OrderStatus.OPEN,
    "new": OrderStatus.OPEN,
    "partially_filled": OrderStatus.PARTIALLY_FILLED,
    "filled": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "expired": OrderStatus.EXPIRED,
}
EVENTS = frozenset(
    {
        *("pending_new", "new", "trade", "filled", "iceberg_refill", "canceled", "expired"),
        *("amended", "restated", "status"),
    }
)
MAKER = {"m": True, "t": False}
KEPT = 20_000  # most orders of one connection


def subscriptions(token: str) -> list[bytes]:
    return [
        subscription(1, "executions", token, snap_orders=True, snap_trades=False),
        subscription(2, "balances", token),
    ]


def subscription(number: int, channel: str, token: str, **options: bool) -> bytes:
    params = {"channel": channel, "token": token, **options}
    return orjson.dumps({"method": "subscribe", "params": params, "req_id": number})


def opened(message: Any, request_id: str) -> StreamOpened:
    """Read the answer to a subscription."""
    if flag(message["success"]):
        return StreamOpened(request_id)
    reason = text(message["error"])
    return StreamOpened(request_id, code_of(reason), reason)


class PrivateReader:
    """Reads one connection; `request_id` is the mesh's name of the attempt."""

    def __init__(self, request_id: str = "") -> None:
        self._request_id = request_id
        self._waiting = set(CHANNELS)
        self._sequences: dict[str, int] = {}
        self._orders: dict[str, OrderReport] = {}

    def read(self, frame: bytes | memoryview, recv_ns: int) -> Sequence[StreamReport | StreamOpened | Missed]:
        with reading("a frame of the private websocket", frame, exact=True) as message:
            if "channel" in message:
                channel = text(message["channel"])
                if channel not in CHANNELS:
                    return ()  # heartbeat, status, and channels added later
                found: list[StreamReport | StreamOpened | Missed] = list(self._gap(channel, message))
                read = self._execution if channel == "executions" else self._ledger_entry
                if text(message["type"]) not in ("snapshot", "update"):
                    raise ValueError(f"{message['type']!r} is neither a snapshot nor an update")
                for row in rows(message["data"]):
                    try:
                        found += read(row, message["type"])
                    except UNREADABLE as error:
                        found.append(Missed(f"a row of {channel} on {_name(row)} cannot be read: {error!r}"))
                return found
            if message.get("method") == "subscribe":
                return self._answer(message)
            if "method" in message:
                return ()
            return (StreamOpened(self._request_id, "error", text(message["error"])),)

    def _answer(self, message: dict[str, Any]) -> Sequence[StreamOpened]:
        found = opened(message, self._request_id)
        if found.code is None:
            self._waiting.discard(text(message["result"]["channel"]))
        return () if found.code is None and self._waiting else (found,)

    def _gap(self, channel: str, message: dict[str, Any]) -> Sequence[Missed]:
        """Messages of one subscription are numbered without gaps."""
        sequence, last = integer(message["sequence"]), self._sequences.get(channel)
        self._sequences[channel] = sequence
        if last is None or sequence == last + 1:
            return ()
        return (Missed(f"{channel} went from message {last} to {sequence}"),)

    def _execution(self, row: dict[str, Any], kind: str) -> Sequence[StreamReport | Missed]:
        event, txid = text(row["exec_type"]), text(row["order_id"])
        if event not in EVENTS:
            raise ValueError(f"exec_type {event!r} is not known")
        report = self._order(row, txid)
        if report is None:
            return (Missed(f"order {txid}: this connection has not sent its terms"),)
        assert report.status is not None
        if report.status.is_terminal:
            self._orders.pop(txid, None)
        else:
            self._orders[txid] = replace(report, fills=(), code=None, reason=None)
            if len(self._orders) > KEPT:
                self._orders.pop(next(iter(self._orders)))
        # A pending order is not in the book yet; another message follows when it is
        return () if event == "pending_new" and kind == "update" else (report,)

    def _order(self, row: dict[str, Any], txid: str) -> OrderReport | None:
        known = self._orders.get(txid)
        if known is None and "symbol" not in row:
            return None
        symbol = text(row["symbol"]) if "symbol" in row else known.symbol if known is not None else ""
        client_id = unpacked(text(row["cl_ord_id"])) if "cl_ord_id" in row else ""
        found = known or OrderReport(symbol, client_id, txid, None, 0)
        status, reason = STATUS[text(row["order_status"])], row.get("reason")
        order_type = found.order_type
        if "order_type" in row:
            is_post_only = "post_only" in row and flag(row["post_only"])
            order_type = order_type or reports.order_type(text(row["order_type"]), is_post_only)
        triggers = row.get("triggers", {})
        static = triggers.get("price_type", "static") == "static"  # the trigger of other types moves with the price
        return replace(
            found,
            status=status,
            ts_event_ns=rfc3339(row["timestamp"]),
            side=reports.SIDE[row["side"]] if "side" in row else found.side,
            order_type=order_type,
            time_in_force=reports.FORCES.get(row["time_in_force"]) if "time_in_force" in row else found.time_in_force,
            amount=None if "cash_order_qty" in row or found.quote_amount else _number(row, "order_qty", found.amount),
            price=_number(row, "limit_price", found.price),
            stop_price=_number(triggers, "price", found.stop_price) if static else found.stop_price,
            quote_amount=_number(row, "cash_order_qty", found.quote_amount),
            filled=_number(row, "cum_qty", found.filled),
            quote_filled=_number(row, "cum_cost", found.quote_filled) if "cum_qty" in row else found.quote_filled,
            fills=(self._fill(row, symbol, txid),) if row["exec_type"] == "trade" else (),
            code=None if reason is None else status.value.lower(),
            reason=None if reason is None else text(reason),
        )

    @staticmethod
    def _fill(row: dict[str, Any], symbol: str, txid: str) -> FillReport:
        """Read a fill. Its fees are in the quote currency ("currently"); no fees mean a fee of zero."""
        fees = [Fee(text(fee["asset"]), Decimal(number(fee["qty"]))) for fee in rows(row["fees"])]
        first, *more = fees or [Fee(symbol.partition("/")[2], Decimal(0))]
        return FillReport(
            trade_id=text(row["exec_id"]),
            price=Decimal(number(row["last_price"])),
            amount=Decimal(number(row["last_qty"])),
            quote_amount=Decimal(number(row["cost"])),
            fee=first.amount,
            fee_asset=first.asset,
            is_maker=MAKER[row["liquidity_ind"]],
            ts_event_ns=rfc3339(row["timestamp"]),
            exchange_order_id=txid,
            side=reports.SIDE[row["side"]],
            symbol=symbol,
            more_fees=tuple(more),
        )

    @staticmethod
    def _ledger_entry(row: dict[str, Any], kind: str) -> Sequence[StreamReport]:
        """Read a change that no order explains. The snapshot has totals, and `executions` reports trades."""
        if kind == "snapshot" or text(row["type"]) == "trade":
            return ()
        return (BalanceChange(text(row["asset"]), signed_number(row["amount"]), rfc3339(row["timestamp"])),)


def _name(row: Any) -> Any:
    return row.get("order_id") or row.get("asset") if isinstance(row, dict) else None


def _number(row: dict[str, Any], name: str, otherwise: Decimal | None) -> Decimal | None:
    return Decimal(number(row[name])) if name in row else otherwise
