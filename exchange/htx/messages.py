"""Requests on the websockets: `sub`, `unsub` and `req` of market data; `auth`, `sub`, `unsub` and `pong` of accounts.

Theory of operation. A request is executed as soon as it is read. A subscription begins when its acknowledgement is
written, so that acknowledgement and updates come in this order under any fault. A list of topics is acknowledged topic
by topic, and refused as a whole.

Source: public_websocket_api.md (Subscribe to Topic, Pull Data, Rate Limit, Error Code), private_websocket_api.md
(Authentication, Error Code), read 2026-11-28. The forms of a refused request of market data and of a requested book are
those of the older manual.
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
from .errors import SYSTEM, TEXTS, ApiError
from .streams import MBP, REQUESTED, refusal

BAD = "bad-request"
OK = 200


@dataclass(slots=True)
class Reply:
    """An answer: its messages, and the subscriptions that begin or end when they are written."""

    messages: Sequence[dict[str, Any]]
    is_error: bool = False
    then: Callable[[], None] | None = None


@dataclass(slots=True)
class Request:
    """One decoded request: `op` is its verb, `topics` what it names."""

    op: str
    topics: list[Any] = field(default_factory=list)
    number: object = None
    params: dict[str, Any] = field(default_factory=dict)


class Envelope(OnSocket[Reply]):
    """One request on a connection. Fault rules know it as `ws:OP`."""

    client: Client
    protocol = NAME
    receipts: Sequence[Receipt] = ()

    def __init__(self, desk: Desk, client: Client, request: Request, host: str, path: str) -> None:
        self.desk, self.client, self.request = desk, client, request
        self.account: Account | None = None if client.owner is None else client.owner[0]
        self.names = (f"ws:{request.op}",)
        topic = request.topics[0] if request.topics else None
        parts = topic.replace("#", ".").split(".") if isinstance(topic, str) else []
        self.symbol = next(filter(None, map(desk.pairs.engine_symbol, parts)), None)
        self._at = host, path

    def run(self) -> Reply:
        try:
            reply = self._private() if self.client.private else self._public()
        except ApiError as error:
            reply = self._refused(error.code, error.text)
        self.desk.floor.count(self.names[0], 400 if reply.is_error else 200)
        return reply

    def good(self, answer: Reply) -> bool:
        return not answer.is_error

    placed = good

    def misstate(self, answer: Reply, wrong: Callable[[], dict[str, Decimal]]) -> Reply:
        """Return the answer unchanged: no answer on a websocket has balances."""
        return answer

    def refusal(self, fault: Fault) -> Reply:
        return self._refused(str(fault.code or ("500" if self.client.private else SYSTEM)), TEXTS[SYSTEM])

    def unknown(self, fault: Fault, answer: Reply) -> Reply:
        return self.refusal(fault)

    def send(self, answer: Reply) -> None:
        for message in answer.messages:
            self.client.say(message)
        if answer.then is not None:
            answer.then()

    def frame(self, answer: Reply) -> bytes:
        """Return the first message, for a connection that breaks off."""
        return text_frame(orjson.dumps(answer.messages[0]))

    def _now(self) -> int:
        return milliseconds(self.desk.now_ns())

    def _refused(self, code: str, text: str) -> Reply:
        if self.client.private:
            number = int(code) if code.isdigit() else 2001
            topic = self.request.topics[0] if self.request.topics else ""
            return Reply([{"action": self.request.op, "code": number, "ch": topic, "message": text}], True)
        named = {} if self.request.number is None else {"id": self.request.number}
        return Reply([{"status": "error", "ts": self._now(), **named, "err-code": code, "err-msg": text}], True)

    # Market data

    def _public(self) -> Reply:
        op, client, streams = self.request.op, self.client, self.desk.streams
        if op == "req":
            return self._pull()
        if op not in ("sub", "unsub"):
            raise ApiError(BAD, "not json string")
        names = self.request.topics
        for name in names:
            streams.check(name, client.feed)
            if op == "unsub" and name not in client.streams:
                raise refusal("unsub with not subbed topic", name)
        if op == "sub" and len(client.streams) + len(names) > client.limits.streams:
            raise ApiError(BAD, "429 too many request")
        named = {} if self.request.number is None else {"id": self.request.number}
        word = "subbed" if op == "sub" else "unsubbed"

        def then() -> None:
            for name in names:
                if op == "unsub":
                    streams.topics.unsubscribe(client, name)
                elif name not in client.streams:
                    streams.subscribe(client, name)

        return Reply([{**named, "status": "ok", word: name, "ts": self._now()} for name in names], then=then)

    def _pull(self) -> Reply:
        """Answer with a whole book of a topic of changes."""
        client, streams, now_ns = self.client, self.desk.streams, self.desk.floor.clock.monotonic_ns()
        name = self.request.topics[0] if self.request.topics else None
        _, topic = streams.check(name, client.feed)
        kind, _, levels = topic.partition(".")
        if kind != MBP or int(levels) not in REQUESTED:
            raise refusal("invalid topic", name)
        if client.pulled.used(now_ns):
            raise ApiError(BAD, "429 too many request")
        client.pulled.add(now_ns)
        body = {"id": self.request.number, "rep": name, "status": "ok", "ts": self._now()}
        return Reply([{**body, "data": streams.requested(str(name))}])

    # Accounts

    def _private(self) -> Reply:
        op, client, user_data = self.request.op, self.client, self.desk.user_data
        if client.asked.add(self.desk.floor.clock.monotonic_ns()) > self.desk.limits.asks:
            raise ApiError("4000", "too.many.request")
        topic = self.request.topics[0] if self.request.topics else None
        if op == "req" and topic == "auth":
            try:
                client.owner = log_in(self.desk.floor, *self._at, self.request.params, self.desk.now_ns())
            except ApiError as error:
                raise ApiError("2002", "auth.fail") from error
            return Reply([{"action": "req", "code": OK, "ch": "auth", "data": {}}])
        if op not in ("sub", "unsub"):
            raise ApiError("2001", "invalid.action")
        if client.owner is None or client.owner[1].revoked or not client.owner[1].can_read:
            raise ApiError("2002", "invalid.auth.state")
        found = user_data.check(topic)
        if found is None:
            raise ApiError("2001", "invalid.ch")
        name, kind, symbol = found

        def then() -> None:
            if op == "sub":
                user_data.subscribe(client, name, kind, symbol)
            else:
                user_data.unsubscribe(client, name)

        return Reply([{"action": op, "code": OK, "ch": name, "data": {}}], then=then)


def receive(desk: Desk, client: Client, text: bytes, host: str, path: str) -> None:
    """Execute one request and answer, or apply a fault to it."""
    try:
        read = orjson.loads(text)
    except orjson.JSONDecodeError:
        read = None
    if not isinstance(read, dict):
        read = {}
    if client.private:
        if read.get("action") == "pong":
            data = read.get("data")
            client.answered(data.get("ts") if isinstance(data, dict) else None)
            return
        params = read.get("params")
        request = Request(str(read.get("action")), [read.get("ch")], None, params if isinstance(params, dict) else {})
    else:
        if "pong" in read:
            client.answered(read["pong"])
            return
        op = next((name for name in ("sub", "unsub", "req") if name in read), "")
        named = read.get(op)
        request = Request(op, named if isinstance(named, list) else [named], read.get("id"))
    execute(desk.floor.faults, Envelope(desk, client, request, host, path))
