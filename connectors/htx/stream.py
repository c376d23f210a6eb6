"""HTX's private websocket v2: orders, fills with their fees, and balances, on one connection.

`orders#*` has every event of an order, in order, without fees; `trade.clearing#*#0` has the fee of each fill, later and
in any order; `accounts.update#2` has balances, first of every currency. Events of other accounts (margin) are left out.

Source: private_websocket_api.md of rosssaunders/coincise, docs/htx/spot (2025-11), read 2026-11-28.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from ..reading import integer, mapping, reading, text
from ..reports import Missed, StreamOpened, StreamReport, StreamSay
from ..trading import each_report
from . import reports
from .refusals import OK

ORDERS, CLEARING, BALANCES = "orders#*", "trade.clearing#*#0", "accounts.update#2"
TOPICS = (BALANCES, CLEARING, ORDERS)
EVENTS = frozenset({"creation", "trade", "cancellation"})  # others are about conditional orders before they trigger
Found = StreamReport | StreamOpened | StreamSay | Missed


class PrivateReader:
    """Reads one connection; `request_id` is the mesh's name of the attempt, `account` the id of the spot account."""

    def __init__(self, request_id: str = "", account: str = "") -> None:
        self._request_id = request_id
        self._account = account
        self._waits = set(TOPICS)

    def read(self, frame: bytes | memoryview, recv_ns: int) -> Sequence[Found]:
        with reading("a frame of the private websocket", frame) as message:
            action = text(message["action"]) if "action" in message else "push"  # trade.clearing, Data Update
            if action == "ping":
                return (StreamSay(orjson.dumps({"action": "pong", "data": {"ts": integer(message["data"]["ts"])}})),)
            if action == "push":
                return self._pushed(text(message["ch"]), message["data"])
            return self._answer(action, text(message.get("ch") or ""), message)

    def _pushed(self, channel: str, data: Any) -> Sequence[StreamReport | Missed]:
        topic = channel.partition("#")[0]
        read: Callable[[Any], StreamReport]
        if topic == "orders":
            if (
                isinstance(data, dict)
                and data.get("eventType") not in EVENTS
                and isinstance(data.get("eventType"), str)
            ):
                return ()
            read = reports.pushed_order
        elif topic == "trade.clearing":
            if isinstance(data, dict) and data.get("eventType") == "cancellation":
                return ()
            read = reports.clearing
        elif topic == "accounts.update":
            if not mapping(data):  # the confirmation of the subscription, in some versions
                return ()
            read = reports.balance
        else:
            return ()
        if not self._is_ours(data):
            return ()
        return each_report([data], read, topic, lambda row: row.get("orderId") or row.get("currency"))

    def _is_ours(self, data: Any) -> bool:
        """Return whether an event is of the spot account; one without a readable account may be."""
        found = data.get("accountId") if isinstance(data, dict) else None
        return type(found) is not int or not self._account or str(found) == self._account

    def _answer(self, action: str, channel: str, message: dict[str, Any]) -> Sequence[Found]:
        code = integer(message["code"])
        if code != OK:
            reason = f"{action} {channel}: {text(message.get('message') or '')}"
            return (StreamOpened(self._request_id, str(code), reason),)
        if action == "req" and channel == "auth":
            return [StreamSay(orjson.dumps({"action": "sub", "ch": topic})) for topic in TOPICS]
        if action == "sub" and channel in self._waits:
            self._waits.discard(channel)
            return () if self._waits else (StreamOpened(self._request_id),)
        return ()
