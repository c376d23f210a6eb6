"""Requests on the websockets: `auth`, `subscribe`, `unsubscribe`, `ping`; and the envelope for the executor of faults.

Theory of operation. A request is executed as soon as it is read, completely or not at all. A subscription begins when
its acknowledgement is written, so that acknowledgement, snapshots and updates come in this order under any fault.

Source: websocket/wss-authentication.mdx, websocket/private/{order, execution}.mdx, read 2026-11-27. The manual shows no
refusal: the texts here are guesses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from ..engine.accounts import Account
from ..faults import Fault
from ..wire.executor import execute
from ..wire.frames import text_frame
from ..wire.receipts import Receipt
from ..wire.sending import OnSocket
from .auth import log_in
from .client import NAME, Client, milliseconds
from .desk import Desk
from .errors import SERVER_ERROR, TEXTS, ApiError
from .user_data import BY_CATEGORY, TOPICS

ARGS = 10  # most arguments of one request on spot


@dataclass(slots=True)
class Request:
    """One decoded request."""

    op: str
    args: list[Any] = field(default_factory=list)
    number: object = None


@dataclass(slots=True)
class Reply:
    """An answer, and the subscriptions that begin or end when it is written."""

    text: str
    error: bool = False
    then: Callable[[], None] | None = None


class Envelope(OnSocket[Reply]):
    """One request on a connection. Fault rules know it as `ws:OP`."""

    client: Client
    protocol = NAME
    receipts: Sequence[Receipt] = ()

    def __init__(self, desk: Desk, client: Client, request: Request) -> None:
        self.desk = desk
        self.client = client
        self.request = request
        self.account: Account | None = None if client.owner is None else client.owner[0]
        self.names = (f"ws:{request.op}",)
        topic = request.args[0] if request.args else None
        symbol = topic.rpartition(".")[2] if isinstance(topic, str) else None
        self.symbol = symbol if symbol in desk.pairs.by_symbol else None

    def run(self) -> Reply:
        try:
            reply = self._perform()
        except ApiError as error:
            reply = Reply(error.text, error=True)
        self.desk.floor.count(self.names[0], 400 if reply.error else 200)
        return reply

    def good(self, answer: Reply) -> bool:
        return not answer.error

    placed = good

    def misstate(self, answer: Reply, wrong: Callable[[], dict[str, Decimal]]) -> Reply:
        """Return the answer unchanged: no answer on this websocket has balances."""
        return answer

    def refusal(self, fault: Fault) -> Reply:
        return Reply(str(fault.code or TEXTS[SERVER_ERROR]), error=True)

    def unknown(self, fault: Fault, answer: Reply) -> Reply:
        return self.refusal(fault)

    def send(self, answer: Reply) -> None:
        super().send(answer)
        if answer.then is not None:
            answer.then()

    def frame(self, answer: Reply) -> bytes:
        op, number = self.request.op, {} if self.request.number is None else {"req_id": self.request.number}
        body: dict[str, Any] = {"success": not answer.error, "ret_msg": answer.text, "conn_id": self.client.id}
        if self.client.private and op == "ping" and not answer.error:
            stamp = str(milliseconds(self.desk.now_ns()))
            body = {**number, "op": "pong", "args": [stamp], "conn_id": self.client.id}
        else:
            body |= {**number, "op": op}
        return text_frame(orjson.dumps(body))

    def _perform(self) -> Reply:
        op = self.request.op
        if op == "ping":
            return Reply("pong")
        if op == "auth" and self.client.private:
            if self.client.owner is not None:
                raise ApiError("Repeat auth")
            self.client.owner = log_in(self.desk.floor, self.request.args, self.desk.now_ns())
            return Reply("")
        if op not in ("subscribe", "unsubscribe"):
            raise ApiError("error:Invalid op")
        if not self.request.args:
            raise ApiError("error:args is empty")
        return self._private() if self.client.private else self._public()

    def _public(self) -> Reply:
        op, args, client, streams = self.request.op, self.request.args, self.client, self.desk.streams
        if len(args) > ARGS:
            raise ApiError(f"args size >{ARGS}")
        names = [streams.check(name) for name in args]
        if op == "unsubscribe":
            for name in names:
                streams.topics.unsubscribe(client, name)
            return Reply("unsubscribe")
        for name in names:
            if name in client.streams:
                raise ApiError(f"error:already subscribed,topic:{name}")

        def begin() -> None:
            for name in dict.fromkeys(names):
                streams.subscribe(client, name)

        return Reply("subscribe", then=begin)

    def _private(self) -> Reply:
        args, client, user_data = self.request.args, self.client, self.desk.user_data
        if client.owner is None or client.owner[1].revoked or not client.owner[1].can_read:
            raise ApiError("Request not authorized")
        for topic in args:
            if topic not in TOPICS:
                raise ApiError(f"error:handler not found,topic:{topic}")
        for topic in BY_CATEGORY:
            if topic in args and any(one.startswith(f"{topic}.") for one in args):
                raise ApiError(f"error:{topic} both for all categories and for one")
        if self.request.op == "unsubscribe":
            for topic in args:
                user_data.unsubscribe(client, topic)
            self.desk.dead_man.forget(client.owner[0])
            return Reply("")

        def begin() -> None:
            for topic in args:
                user_data.subscribe(client, topic)

        return Reply("", then=begin)


def receive(desk: Desk, client: Client, text: bytes) -> None:
    """Execute one request and answer, or apply a fault to it."""
    request = _parse(text)
    if request is None:
        refused = {"success": False, "ret_msg": "error:Invalid request", "conn_id": client.id, "op": ""}
        client.write(text_frame(orjson.dumps(refused)))
        return
    execute(desk.floor.faults, Envelope(desk, client, request))


def _parse(text: bytes) -> Request | None:
    try:
        asked = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(asked, dict) or not isinstance(asked.get("op"), str):
        return None
    args, number = asked.get("args", []), asked.get("req_id")
    if not isinstance(args, list) or isinstance(number, bool) or not isinstance(number, str | int | None):
        return None  # the manual has text as req_id; a widely used client sends integers
    return Request(asked["op"], args, number)
