"""Orders over the private websocket: one or a batch to place and cancel, one to amend.

Theory of operation. A request is executed as soon as it is read. Its answer has the code, the text and the rows of
REST's, whose limits it shares, and is written before the events of its orders. A request names its pair by
`instIdCode`, no longer by `instId`.

Source: order/book/trading-trade-ws-{place-order, place-multiple-orders, cancel-order, cancel-multiple-orders,
amend-order, amend-multiple-orders}.md, read 2026-11-27. Guesses, because the manual is silent: the answers before the
login, and to a request without an id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ..wire.frames import text_frame
from .client import Client
from .desk import Desk
from .envelope import Answer, Envelope
from .errors import ApiError
from .private import WRITES, perform
from .trading import Asked

PATHS = {
    "order": "trade/order",
    "batch-orders": "trade/batch-orders",
    "cancel-order": "trade/cancel-order",
    "batch-cancel-orders": "trade/cancel-batch-orders",
    "amend-order": "trade/amend-order",
    "batch-amend-orders": "trade/amend-batch-orders",
}
SINGLE = ("order", "cancel-order", "amend-order")


class Call(Envelope):
    """One request on a connection. Fault rules know it as `ws:OP`."""

    slow_executes_first = True

    def __init__(self, desk: Desk, client: Client, request: Mapping[str, Any]) -> None:
        self.client = client
        self._op, self._key, self._args = str(request["op"]), request.get("id"), request.get("args")
        self._exp_time, self._arrived_ns = request.get("expTime"), desk.now_ns()
        listed = [row for row in self._args if isinstance(row, dict)] if isinstance(self._args, list) else []
        account = None if client.owner is None else client.owner[0]
        super().__init__(desk, (f"ws:{self._op}",), PATHS[self._op], account, listed, self._carry_out)

    def _carry_out(self) -> Any:
        desk, owner = self.desk, self.client.owner
        if owner is None or owner[1].revoked:
            raise ApiError("60011", "Please log in")
        if not isinstance(self._key, str) or not self._key.isalnum() or len(self._key) > 32:
            raise ApiError("60012", "Invalid request")
        args = self._args
        if not isinstance(args, list) or not args or (self._op in SINGLE and len(args) > 1):
            raise ApiError("60013", "Invalid args")
        sent = args[0] if self._op in SINGLE else args
        asked = Asked(desk, owner[0], sent, self._exp_time, self._arrived_ns, desk.now_ns(), by_call=True)
        return perform(WRITES[PATHS[self._op]], owner[1], asked, trades=True)

    def send(self, answer: Answer) -> None:
        self.client.write(self._frame(answer))

    def send_half(self, answer: Answer) -> None:
        self.client.break_off(self._frame(answer))

    def cut(self) -> None:
        self.client.cut()

    def _frame(self, answer: Answer) -> bytes:
        body: dict[str, Any] = {"id": self._key} if isinstance(self._key, str) else {}
        body |= {"op": self._op, "data": answer.data, "code": answer.code, "msg": answer.text}
        arrived, now = (str(at_ns // 1_000) for at_ns in (self._arrived_ns, self.desk.now_ns()))
        return text_frame(orjson.dumps(body | {"inTime": arrived, "outTime": now}))
