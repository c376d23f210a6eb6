"""Requests on the websockets: logins and channels, and the envelope for the executor of faults; `calls` has orders.

Theory of operation. A request is executed as soon as it is read. Each channel in it gets its own answer. A channel
begins when its acknowledgement is written, so that acknowledgement, whole book and changes come in this order under any
fault.

Source: overview/websocket/{connect, login, subscribe}.md, error/code/websocket.md, read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from ..engine.accounts import Account
from ..faults import Fault
from ..wire.executor import execute
from ..wire.frames import text_frame
from ..wire.receipts import Receipt
from .auth import log_in
from .calls import PATHS, Call
from .client import NAME, Client
from .desk import Desk
from .errors import NO_SUCH_CHANNEL, UNKNOWN, ApiError
from .user_data import CHANNELS

OPS = ("subscribe", "unsubscribe")
NO_LOGIN = "The current operation is not supported by this URL. Please use the correct WebSocket URL for the operation."


@dataclass(slots=True)
class Reply:
    """One answer, and the topic or private channel that begins when the answer is written."""

    message: dict[str, Any]
    begins: str | None = None
    channel: dict[str, Any] | None = None

    @property
    def is_good(self) -> bool:
        return bool(self.message["event"] != "error")


def error(code: str, text: str) -> Reply:
    return Reply({"event": "error", "code": code, "msg": text})


class Envelope:
    """One request on a connection. Fault rules know it as `ws:OP`, a subscription as `ws:OP:CHANNEL` too."""

    protocol = NAME
    slow_executes_first = True
    account: Account | None = None
    receipts: Sequence[Receipt] = ()

    def __init__(self, desk: Desk, client: Client, request: Mapping[str, Any]) -> None:
        self.desk = desk
        self.client = client
        self.op = str(request.get("op"))
        self.args = request.get("args") if isinstance(request.get("args"), list) else None
        self.key = request.get("id") if isinstance(request.get("id"), str) else None
        named = [arg for arg in self.args or () if isinstance(arg, dict)]
        self.account = None if client.owner is None else client.owner[0]
        self.names = (f"ws:{self.op}", *dict.fromkeys(f"ws:{self.op}:{arg.get('channel')}" for arg in named))
        self.symbol = (
            desk.symbol(named[0].get("instId")) if len({str(arg.get("instId")) for arg in named}) == 1 else None
        )

    def run(self) -> list[Reply]:
        replies = self._perform()
        for reply in replies:
            if self.key is not None:
                reply.message = {"id": self.key, **reply.message}
        self.desk.floor.count(self.names[0], 200 if self.good(replies) else 400)
        return replies

    def _perform(self) -> list[Reply]:
        desk, client = self.desk, self.client
        if self.op == "login":
            return [self._log_in()]
        if self.op not in OPS:
            return [error("60019", f"Invalid op: {self.op}")]
        if not client.admits_subscription(desk.floor.clock.monotonic_ns()):
            return [error("60014", "Requests too frequent")]
        if not self.args:
            return [error("60013", "Invalid args")]
        return [self._answer(arg) for arg in self.args]

    def _log_in(self) -> Reply:
        if not self.client.private:
            return error("60028", NO_LOGIN)
        if not self.client.admits_subscription(self.desk.floor.clock.monotonic_ns()):
            return error("60014", "Requests too frequent")
        if self.client.owner is not None:
            return error("60031", "The WebSocket endpoint does not allow multiple or repeated logins.")
        try:
            self.client.owner = log_in(self.desk.floor, self.args, self.desk.now_ns())
        except ApiError as refused:
            return error(refused.code, refused.text)
        return Reply({"event": "login", "code": "0", "msg": ""})

    def _private(self, arg: Any) -> Reply:
        """Begin or end a private channel."""
        if self.client.owner is None or self.client.owner[1].revoked:
            return error("60011", "Please log in")
        if not self.client.owner[1].can_read:
            return error("60009", "Login failure")
        if not isinstance(arg, dict) or arg.get("channel") not in CHANNELS:
            return error("60018", NO_SUCH_CHANNEL.format(arg))
        if arg["channel"] == "orders" and arg.get("instType") not in ("SPOT", "ANY"):
            return error("60018", NO_SUCH_CHANNEL.format(arg))
        if self.op == "unsubscribe":
            self.desk.user_data.unsubscribe(self.client, arg["channel"])
        return Reply({"event": self.op, "arg": arg}, channel=arg if self.op == "subscribe" else None)

    def _answer(self, arg: Any) -> Reply:
        if self.client.private:
            return self._private(arg)
        name = self.desk.streams.find(arg, self.client.business)
        if name is None:
            channel = ",".join(f"{key}:{value}" for key, value in arg.items()) if isinstance(arg, dict) else str(arg)
            return error("60018", NO_SUCH_CHANNEL.format(channel))
        if self.op == "unsubscribe":
            self.desk.streams.topics.unsubscribe(self.client, name)
        return Reply({"event": self.op, "arg": arg}, name if self.op == "subscribe" else None)

    def good(self, replies: list[Reply]) -> bool:
        return all(reply.is_good for reply in replies)

    placed = good

    def misstate(self, replies: list[Reply], wrong: Callable[[], dict[str, Decimal]]) -> list[Reply]:
        return replies

    def refusal(self, fault: Fault) -> list[Reply]:
        self.desk.floor.count(self.names[0], fault.status)
        code, text = ("60014", "Requests too frequent") if fault.status == 429 else ("64007", "Operation failed")
        return [error(str(fault.code or code), text)]

    def unknown(self, fault: Fault, replies: list[Reply]) -> list[Reply]:
        return [error(str(fault.code or UNKNOWN[0]), "API endpoint request timeout.")]

    def send(self, replies: list[Reply]) -> None:
        for reply in replies:
            self.client.say(reply.message)
            if self.client.number not in self.desk.floor.connections.open:
                continue
            if reply.begins is not None:
                self.desk.streams.subscribe(self.client, reply.begins)
            elif reply.channel is not None:
                self.desk.user_data.subscribe(self.client, reply.channel)

    def send_half(self, replies: list[Reply]) -> None:
        self.client.break_off(text_frame(orjson.dumps(replies[0].message)))

    def cut(self) -> None:
        self.client.cut()


def receive(desk: Desk, client: Client, text: bytes) -> None:
    """Execute the request of a message."""
    if text == b"ping":
        client.write(text_frame(b"pong"))
        return
    try:
        request = orjson.loads(text)
    except orjson.JSONDecodeError:
        request = None
    if isinstance(request, dict) and client.private and str(request.get("op")) in PATHS:
        execute(desk.floor.faults, Call(desk, client, request))
    elif isinstance(request, dict):
        execute(desk.floor.faults, Envelope(desk, client, request))
    else:
        client.say(error("60012", f"Invalid request: {text.decode('utf-8', 'replace')[:1000]}").message)
