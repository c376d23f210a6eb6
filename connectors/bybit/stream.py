"""Bybit's private websocket: the topics `order`, `execution` and `wallet`, on one connection.

`order` has the complete order without its fills; `execution` has the fills without the order's state. Either may come
first. A topic begins without a snapshot.

Source: websocket/wss-authentication.mdx, websocket/private/{order, execution, wallet}.mdx, read 2026-11-27. The manual
shows no refusal: every answer that is not a success counts as a refusal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from ..reading import flag, milliseconds, reading, rows, text
from ..reports import Missed, StreamOpened, StreamReport, StreamSay
from ..trading import each_report
from . import reports
from .spec import CATEGORY

TOPICS = ("order", "execution", "wallet")
DCP_TOPIC = "dcp.spot"  # websocket/private/dcp.mdx: it makes the exchange watch this connection
REFUSED = "refused"  # in place of a code: refusals on this websocket have no code


class PrivateReader:
    """Reads one connection; `request_id` is the mesh's name of the attempt."""

    def __init__(self, request_id: str = "", dcp: bool = False) -> None:
        self._request_id = request_id
        self._topics = (*TOPICS, DCP_TOPIC) if dcp else TOPICS

    def read(self, frame: bytes | memoryview) -> Sequence[StreamReport | StreamOpened | StreamSay | Missed]:
        with reading("a frame of the private websocket", frame) as message:
            if "topic" not in message:
                return self._answer(text(message["op"]), message)
            topic, data = text(message["topic"]), rows(message["data"])
            if topic == "wallet":
                at_ns = milliseconds(message["creationTime"])  # "Data created timestamp"
                ours = [row for row in data if _is(row, "accountType", "UNIFIED")]
                return each_report(ours, lambda row: reports.balances(row, at_ns, whole=False), topic, lambda row: None)
            if topic not in TOPICS:
                return ()
            ours = [row for row in data if _is(row, "category", CATEGORY)]
            if topic == "order":
                return each_report(ours, reports.order, topic, _order_id)
            trades = [row for row in ours if reports.is_trade(row)]
            return each_report(trades, reports.execution, topic, _order_id)

    def _answer(self, op: str, message: dict[str, Any]) -> Sequence[StreamOpened | StreamSay]:
        if op in ("ping", "pong"):
            return ()
        if not flag(message["success"]):
            return (StreamOpened(self._request_id, REFUSED, f"{op}: {text(message['ret_msg'])}"),)
        if op == "auth":
            return (StreamSay(orjson.dumps({"op": "subscribe", "args": self._topics})),)
        return (StreamOpened(self._request_id),) if op == "subscribe" else ()


def _is(row: Any, name: str, word: str) -> bool:
    """Return whether a row has this word under a name; a row without a readable word may have it."""
    found = row.get(name) if isinstance(row, dict) else None
    return found == word or not isinstance(found, str)


def _order_id(row: Any) -> Any:
    return row["orderId"]
