"""The front end of REST: what happens to a request between its arrival and its answer, faults included.

An execution is one synchronous call. A request that is held (`late`) is executed when its time has come even if whoever
sent it has given up and gone, as a request stuck before an exchange's matching engine would be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from ...model.fixed import to_raw
from ..engine.accounts import Account
from ..engine.rules import SCALE
from ..faults import Fault
from ..receipts import settle
from ..venue import Venue
from .errors import STATUS_BODIES, ApiError
from .payloads import text

# Source: errors.md (10xx), read 2026-11-22.
UNKNOWN = {
    -1000: "An unknown error occurred while processing the request.",
    -1001: "Internal error; unable to process your request. Please try again.",
    -1006: "An unexpected response was received from the message bus. Execution status unknown.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    -1008: "Server is currently overloaded with other requests. Please try again in a few minutes.",
}

_running: set[asyncio.Task[web.Response]] = set()  # the loop keeps no task alive by itself


def unknown_outcome(fault: Fault) -> ApiError:
    """What `accept_then_status` answers."""
    return ApiError(fault.code, UNKNOWN[fault.code], fault.status)


def misstate(venue: Venue, account: Account, names: tuple[str, ...], body: Any) -> bool:
    """Spoil the free balances of an account's answer as faults say; return whether any was."""
    if not venue.faults.rules or not isinstance(body, dict) or not isinstance(body.get("balances"), list):
        return False
    wrong = venue.faults.misstated(account.name, names)
    for line in body["balances"]:
        if line["asset"] in wrong:
            line["free"] = text(to_raw(line["free"], SCALE) + to_raw(wrong.pop(line["asset"]), SCALE))
    for asset, amount in wrong.items():
        body["balances"].append({"asset": asset, "free": text(to_raw(amount, SCALE)), "locked": text(0)})
    return True


def placed(status: int, body: Any) -> bool:
    """Whether an answer means that a placement was accepted: a cancel-replace may place and still answer 409."""
    data = body.get("data") if isinstance(body, dict) else None
    return status == 200 or (isinstance(data, dict) and data.get("newOrderResult") == "SUCCESS")


async def through(
    venue: Venue,
    request: web.Request,
    account: Account | None,
    sent: Mapping[str, Any],
    execute: Callable[[], web.Response],
) -> web.StreamResponse:
    """Answer one request with `execute`, or do what faults make of it. Placements of `account` are counted.

    Faults know the request by its path and by its verb and path together.
    """
    verbal = f"{request.method} {request.path}"
    names, symbol = (request.path, verbal), sent.get("symbol")
    symbol = symbol if isinstance(symbol, str) else None
    receipts = [] if account is None else venue.receipts_of(account).received(verbal, sent)
    owner = None if account is None else account.name
    fault = venue.faults.before(names, symbol, owner)
    kind = None if fault is None else fault.kind

    def run() -> web.Response:
        response = execute()
        if receipts:
            settle(receipts, placed(response.status, _decoded(response)))
        if account is not None and response.status == 200 and venue.faults.rules:
            body = _decoded(response)
            if misstate(venue, account, names, body):
                response.body = orjson.dumps(body)
        return response

    if fault is None:
        response = run()
    elif kind == "hang":
        await asyncio.get_running_loop().create_future()
        raise AssertionError("never")
    elif kind == "disconnect":
        return _broken(request, b"")
    elif kind in ("late", "slow"):
        response = await asyncio.shield(_held(venue, fault.ms, run))
    else:
        venue.count(request.path, fault.status)
        return refusal(fault)
    after = venue.faults.after(names, symbol, owner) if response.status == 200 else None
    if after is None:
        return response
    if after.kind == "accept_then_hang":
        await asyncio.get_running_loop().create_future()
    elif after.kind == "accept_then_wait":
        await _pause(venue, after.ms)
    elif after.kind == "accept_then_cut":
        return _broken(request, _body(response))
    elif after.kind == "accept_then_status":
        unknown = unknown_outcome(after)
        return web.json_response(unknown.body, status=unknown.status)
    return response


def _decoded(response: web.Response) -> Any:
    return orjson.loads(_body(response)) if response.content_type == "application/json" else None


def _body(response: web.Response) -> bytes:
    return response.body if isinstance(response.body, bytes) else b""


async def _pause(venue: Venue, ms: float) -> None:
    """Wait by the timer of the faults."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end() -> None:
        if not over.done():
            over.set_result(None)

    venue.faults.later(ms / 1000, end)
    await over


def _held(venue: Venue, ms: float, run: Callable[[], web.Response]) -> asyncio.Task[web.Response]:
    """The response of `run`, called after so many milliseconds whoever waits."""

    async def execute() -> web.Response:
        await _pause(venue, ms)
        return run()

    task = asyncio.create_task(execute())
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


def refusal(fault: Fault) -> web.Response:
    """The answer of a `status` fault; nothing was done."""
    code, msg = STATUS_BODIES.get(fault.status, STATUS_BODIES[500])
    if fault.status == 403:
        return web.Response(status=403, text=msg, content_type="text/html")
    headers = {"Retry-After": str(max(1, int(fault.ms / 1000)))} if fault.status in (418, 429) else None
    return web.json_response({"code": code, "msg": msg}, status=fault.status, headers=headers)


def _broken(request: web.Request, body: bytes) -> web.Response:
    """End the connection, after half of `body` if there is one."""
    transport = request.transport
    if transport is not None:
        if body:
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            transport.write(head.encode() + body[: len(body) // 2])
            transport.close()
        else:
            transport.abort()
    return web.Response(status=500)
