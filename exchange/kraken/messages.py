"""Requests on the websocket, their answers, and the envelope for the executor of faults.

Theory of operation. A request is executed as soon as it is read. A request with several pairs or orders gets an answer
for each. A subscription begins when its acknowledgement is written, so that acknowledgement, snapshot and updates come
in this order under any fault.

Source: spot-ws-intro (guide), ping, and the request of every channel (websocket v2), read 2026-11-27. The texts of
refused subscriptions are those of error-handling.md of krakenfx/kraken-api-sdk and of ccxt 4.5.90.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from ..wire.executor import execute
from ..wire.frames import text_frame
from . import trading
from .client import Client, rfc3339
from .desk import Desk
from .errors import ApiError
from .front import Front, Reply

ELSEWHERE = {
    False: "Private data and trading are unavailable on this endpoint. Try ws-auth.kraken.com",
    True: "Public market data subscriptions are unavailable on this endpoint. Try ws.kraken.com",
}


@dataclass(slots=True)
class Request:
    """One decoded request."""

    method: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    number: object = None
    arrived_ns: int = 0

    def __post_init__(self) -> None:
        channel = self.params.get("channel")
        self.names = (f"ws:{self.method}", f"ws:{self.method}:{channel}") if channel else (f"ws:{self.method}",)

    names: tuple[str, ...] = field(init=False)


class Envelope(Front):
    """One request on a connection. Fault rules know it as `ws:METHOD`, a subscription as `ws:METHOD:CHANNEL` too."""

    slow_executes_first = True

    def __init__(self, desk: Desk, client: Client, request: Request) -> None:
        params = request.params
        account = desk.tokens.account(params.get("token"))
        super().__init__(desk, request.names, account, params.get("symbol"), *_places(request.method, params))
        self.client = client
        self.request = request

    def send(self, answer: list[Reply]) -> None:
        for reply in answer:
            self.client.write(self._frame(reply))
            if reply.then is not None:
                reply.then()

    def send_half(self, answer: list[Reply]) -> None:
        self.client.break_off(self._frame(answer[0]))

    def cut(self) -> None:
        self.client.cut("fault")

    def _frame(self, reply: Reply) -> bytes:
        body: dict[str, Any] = {"method": "pong" if self.request.method == "ping" else self.request.method}
        if reply.error is not None:
            body["error"] = reply.error
        elif reply.result is not None:
            body["result"] = reply.result
        if self.request.number is not None:
            body["req_id"] = self.request.number
        if reply.symbol is not None:
            body["symbol"] = reply.symbol
        if self.request.method != "ping":
            body["success"] = reply.error is None and not reply.refused
        body["time_in"] = rfc3339(self.request.arrived_ns)
        body["time_out"] = rfc3339(self.desk.now_ns())
        return text_frame(orjson.dumps(body))

    def perform(self) -> list[Reply]:
        method = self.request.method
        if method == "ping":
            return [Reply()]
        about_channel = method in ("subscribe", "unsubscribe")
        if method in trading.METHODS or (about_channel and self.request.params.get("channel") in trading.CHANNELS):
            if not self.client.private:
                raise ApiError(ELSEWHERE[False])
            return trading.perform(self.desk, self.client, method, self.request.params, self.request.arrived_ns)
        if about_channel:
            self._admit_channel()
            return self._public(method == "subscribe")
        raise ApiError("Event(s) not found")

    def _admit_channel(self) -> None:
        """Check the endpoint of a channel of market data and, for `level3`, the token.

        Raises:
            ApiError: the channel is at another endpoint, or the token is not valid.
        """
        is_level3 = self.request.params.get("channel") == "level3"
        if is_level3 != self.client.level3 or self.client.private:
            raise ApiError(ELSEWHERE[not is_level3])
        if is_level3:
            _, key = self.desk.tokens.owner(self.request.params.get("token"), self.desk.now_ns())
            if not key.can_read:
                raise ApiError("EGeneral:Permission denied")

    def _public(self, begins: bool) -> list[Reply]:
        """Begin or end channels of market data, with an answer for each pair."""
        client, params, streams = self.client, self.request.params, self.desk.streams
        token = params.get("token") if client.level3 else None
        snapshot = params.get("snapshot", params.get("channel") != "trade")
        replies = []
        names = params.get("symbol")
        for symbol in names if isinstance(names, list) and len(names) > 1 else [None]:
            asked = params if symbol is None else {**params, "symbol": [symbol]}
            try:
                ((name, result),) = streams.read(asked)
            except ApiError as error:
                if symbol is None and isinstance(names, list) and names:
                    symbol = names[0]
                replies.append(Reply(error=error.text, symbol=symbol))
                continue
            if begins == (name in client.streams):
                text = "Already subscribed" if begins else "Subscription Not Found"
                replies.append(Reply(error=text, symbol=result.get("symbol")))
            elif begins:
                result["snapshot"] = snapshot
                if client.level3 and streams.has_level3(client, result["symbol"]):
                    replies.append(Reply(error="Already subscribed", symbol=result["symbol"]))  # at another depth
                    continue
                replies.append(Reply(result, then=lambda name=name: streams.subscribe(client, name, snapshot, token)))  # type: ignore[misc]
            else:
                streams.topics.unsubscribe(client, name)
                replies.append(Reply(result))
        return replies


def _places(method: str, params: Mapping[str, Any]) -> list[object]:
    """Return the client ids of the orders that a request would place."""
    if params.get("validate") is True:
        return []
    if method == "batch_add" and isinstance(params.get("orders"), list):
        return [row.get("cl_ord_id") for row in params["orders"] if isinstance(row, dict)]
    return [params.get("cl_ord_id")] if method == "add_order" else []


def receive(desk: Desk, client: Client, text: bytes) -> None:
    """Execute one request and answer, or apply a fault to it."""
    request = _parse(text, desk.now_ns())
    if request is None:
        client.say({"error": "Malformed request", "success": False})
        return
    execute(desk.floor.faults, Envelope(desk, client, request))


def _parse(text: bytes, now_ns: int) -> Request | None:
    try:
        asked = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
        return None
    params, number = asked.get("params", {}), asked.get("req_id")
    if not isinstance(params, dict) or not isinstance(number, int | None) or isinstance(number, bool):
        return None
    return Request(asked["method"], params, number, now_ns)
