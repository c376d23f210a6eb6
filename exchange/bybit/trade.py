"""Orders over a websocket: `auth`, `ping`, and orders to create, amend and cancel, one or a batch.

Theory of operation. A request is executed as soon as it is read. Its answer has the REST answer as `data`, and as
`header` the limits, which REST and this websocket share; the answer only acknowledges, and the private topics state the
result.

Source: websocket/trade/guideline.mdx, read 2026-11-27. Guesses, because the manual is silent: the codes of a request
before `auth` and of a request that is not a JSON object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import orjson

from ..wire.executor import execute
from ..wire.frames import text_frame
from ..wire.sending import OnSocket
from .auth import TIME, WINDOW, check_window, log_in
from .client import Client, milliseconds
from .desk import Desk
from .envelope import Answer, Envelope, carried_out
from .errors import BAD_PARAMETER, NOT_PERMITTED, ApiError
from .private import WRITES

REPEATED_AUTH, REPEATED_ID, NO_SUCH_OP, TOO_MANY_OF_IP = 20001, 20006, 10404, 10403
LONGEST_ID = 36
OPS = {
    f"order.{what}{batch}": f"/v5/order/{what}{batch}"
    for what in ("create", "amend", "cancel")
    for batch in ("", "-batch")
}


class TradeEnvelope(OnSocket[Answer], Envelope):
    """One request on a connection. Fault rules know it as `ws:OP`."""

    client: Client

    def __init__(self, desk: Desk, client: Client, request: Mapping[str, Any]) -> None:
        self.client = client
        self.op, self.number = str(request.get("op")), request.get("reqId")
        args = request.get("args")
        self.args: list[Any] = args if isinstance(args, list) else []
        header = request.get("header")
        self.header: Mapping[str, Any] = header if isinstance(header, dict) else {}
        sent = self.args[0] if self.args and isinstance(self.args[0], dict) else {}
        account = None if client.owner is None else client.owner[0]
        super().__init__(
            desk, (f"ws:{self.op}",), OPS.get(self.op, ""), account, sent, lambda each: self._perform(sent)
        )

    def _perform(self, sent: Mapping[str, Any]) -> Any:
        desk, client, now_ns = self.desk, self.client, self.desk.now_ns()
        if self.op == "ping":
            return {}
        if self.op == "auth":
            if client.owner is not None:
                raise ApiError("Repeat auth", REPEATED_AUTH)
            client.owner = log_in(desk.floor, self.args, now_ns)
            return {}
        if self.op not in OPS:
            raise ApiError("op type is not found", NO_SUCH_OP)
        if client.owner is None or client.owner[1].revoked:
            raise ApiError("Request not authorized", NOT_PERMITTED)
        if not desk.meter.trade(client.ip, now_ns):
            raise ApiError("exceed IP rate limit", TOO_MANY_OF_IP)
        if self.number is not None:
            if not isinstance(self.number, str) or len(self.number) > LONGEST_ID:
                raise ApiError("Params Error", BAD_PARAMETER)
            if self.number in client.requests:
                raise ApiError("reqId is duplicated", REPEATED_ID)
            client.requests[self.number] = None
        stamp, window = (str(self.header.get(name) or "") for name in (TIME, WINDOW))
        check_window(stamp, window, now_ns)
        if len(self.args) != 1 or not sent:
            raise ApiError("Params Error", BAD_PARAMETER)
        path = OPS[self.op]
        return carried_out(self, WRITES[path], path, client.owner, sent)

    def frame(self, answer: Answer) -> bytes:
        body: dict[str, Any] = {} if self.number is None else {"reqId": self.number}
        body |= {"retCode": answer.code, "retMsg": answer.text, "op": self.op}
        now = str(milliseconds(self.desk.now_ns()))
        if self.op == "ping":
            body |= {"op": "pong", "data": [now]}
        elif self.op != "auth":
            trace = uuid5(NAMESPACE_OID, f"{self.client.id} {self.number} {now}").hex
            limits = {} if self.use is None else self.use.headers
            header = {**limits, "Traceid": trace, "Timenow": now}
            body |= {"data": answer.result, "retExtInfo": self.more(answer), "header": header}
        return text_frame(orjson.dumps({**body, "connId": self.client.id}))


def receive(desk: Desk, client: Client, text: bytes) -> None:
    """Execute one request and answer, or apply a fault to it."""
    try:
        request = orjson.loads(text)
    except orjson.JSONDecodeError:
        request = None
    execute(desk.floor.faults, TradeEnvelope(desk, client, request if isinstance(request, dict) else {}))
