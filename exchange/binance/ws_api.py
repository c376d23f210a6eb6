"""The WebSocket API on its own base /ws-api/v3: market data, signed methods, the session, user data streams.

Theory of operation. Each frame is one request and is carried out as soon as it is read, so requests of one connection
run in the order they came; answers go out at once but where a fault delays one, and then later answers overtake it. A
request passes at most one fault before it is carried out and one after (see `faults`). Every placement is counted for
its account as it comes in, whatever becomes of it.

Source: web-socket-api.md (Request format, Response format, Rate limits, Session Authentication), read 2026-11-22.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from ...model.time import SECOND_NS
from ..engine.accounts import Account
from ..faults import Fault
from ..receipts import Receipt, settle
from ..venue import Venue
from ..websocket_frames import text_frame
from . import errors, params, sessions
from .auth import sorted_payload
from .client import Client
from .errors import STATUS_BODIES, ApiError, bad_json, illegal
from .front import misstate, placed, unknown_outcome
from .methods import BY_NAME
from .queries import BY_METHOD, Asked
from .sessions import Call
from .signed import perform


@dataclass(slots=True)
class Request:
    """One request as it was read. `id` is echoed; `shows` says whether the answer has `rateLimits`."""

    id: Any = None
    method: str = "?"
    sent: dict[str, Any] = field(default_factory=dict)
    payload: bytes = b""  # what a signature would be of
    shows: bool = True

    @property
    def endpoint(self) -> str:
        return f"ws-api:{self.method}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request: `counts` is the account's unfilled order count where the method places orders."""

    status: int
    body: dict[str, Any]
    counts: tuple[int, int] | None = None


def answer(venue: Venue, client: Client, text: bytes) -> bytes | None:
    """Carry out one request; return the answer to send now, or None where it comes later or never."""
    request = Request(shows=client.show_rate_limits)
    try:
        _parse(text, request, client)
    except ApiError as error:
        return _finish(venue, client, request, _failed(venue, client, error), None)
    sent = request.sent
    revoked = client.logon is not None and client.logon.key.revoked
    if revoked:
        _revoke(venue, client)
        if _leans_on_logon(request):
            return None
    account = _account(venue, client, request)
    receipts = [] if account is None else venue.receipts_of(account).received(request.endpoint, sent)
    symbol = sent.get("symbol")
    symbol = symbol if isinstance(symbol, str) else None
    fault = venue.faults.before((request.endpoint,), symbol, None if account is None else account.name)
    kind = None if fault is None else fault.kind
    if fault is None:
        return _run(venue, client, request, account, symbol, receipts)
    if kind == "disconnect":
        client.cut("fault")
    elif kind == "status":
        refusal = ApiError(*STATUS_BODIES.get(fault.status, STATUS_BODIES[500]), fault.status)
        return _finish(venue, client, request, _failed(venue, client, refusal), None)
    elif kind == "late":

        def run() -> None:
            reply = _run(venue, client, request, account, symbol, receipts)
            if reply is not None:
                client.write(text_frame(reply))

        venue.faults.later(fault.ms / 1000, run)
    elif kind == "slow":
        reply = _run(venue, client, request, account, symbol, receipts)
        if reply is not None:
            _later(venue, client, fault, reply)
    return None


def _run(
    venue: Venue,
    client: Client,
    request: Request,
    account: Account | None,
    symbol: str | None,
    receipts: list[Receipt],
) -> bytes | None:
    """Carry out a request; return the answer to send now."""
    try:
        outcome = _perform(venue, client, request)
    except ApiError as error:
        outcome = _failed(venue, client, error)
        signed = BY_NAME.get(request.method)
        if account is not None and signed is not None and signed.orders:
            outcome = replace(outcome, counts=account.unfilled.counts(venue.clock.now_ns()))
    settle(receipts, placed(outcome.status, outcome.body.get("error")))
    name = None if account is None else account.name
    fault = venue.faults.after((request.endpoint,), symbol, name) if outcome.status == 200 else None
    if account is not None and outcome.status == 200:
        misstate(venue, account, (request.endpoint,), outcome.body["result"])
    return _finish(venue, client, request, outcome, fault)


def _perform(venue: Venue, client: Client, request: Request) -> Outcome:
    now = venue.clock.now_ns()
    method, sent = request.method, request.sent
    query = BY_METHOD.get(method)
    if query is not None:
        failed: ApiError | None = None
        values: dict[str, Any] = {}
        try:
            values = params.read(sent, query.params, rest=False)
        except ApiError as error:
            failed = error
        venue.meter.spend(client.ip, query.weight(values), now)
        if failed is not None:
            raise failed
        asked = Asked(venue.engine, venue.limits, values, now, client.form.unit, rest=False)
        return Outcome(200, {"result": query.answer(asked)})
    call = Call(venue, client, sent, request.payload, now)
    about_session = sessions.METHODS.get(method)
    if about_session is not None:
        venue.meter.spend(client.ip, sessions.WEIGHT, now)
        return Outcome(200, {"result": sessions.perform(about_session, call)})
    signed = BY_NAME.get(method)
    if signed is None:
        venue.meter.spend(client.ip, 1, now)
        raise ApiError(-1020, "This operation is not supported.")
    venue.meter.spend(client.ip, signed.weight(sent), now)
    reply = perform(venue.engine, venue.limits, signed, call.signed(), now, client.form.unit)
    return Outcome(200, {"result": reply.body}, reply.counts)


def _failed(venue: Venue, client: Client, error: ApiError) -> Outcome:
    told: dict[str, Any] = dict(error.body)
    if error.retry_after_s is not None and "data" not in told:
        now, unit = venue.clock.now_ns(), client.form.unit
        when = {"serverTime": now // unit, "retryAfter": (now + error.retry_after_s * SECOND_NS) // unit}
        told["data"] = (told.get("data") or {}) | when
    return Outcome(error.status, {"error": told})


def _finish(venue: Venue, client: Client, request: Request, outcome: Outcome, fault: Fault | None) -> bytes | None:
    """Write the answer, and do with it what a fault says; return what to send now."""
    if fault is not None and fault.kind == "accept_then_status":
        unknown = unknown_outcome(fault)
        outcome = Outcome(unknown.status, {"error": unknown.body}, outcome.counts)
    known = request.method in BY_METHOD or request.method in BY_NAME or request.method in sessions.METHODS
    venue.count(request.endpoint if known else "ws-api:?", outcome.status)
    whole: dict[str, Any] = {"id": request.id, "status": outcome.status, **outcome.body}
    if request.shows:
        whole["rateLimits"] = _rate_limits(venue, client, outcome)
    reply = orjson.dumps(whole)
    kind = None if fault is None else fault.kind
    if kind == "accept_then_hang":
        return None
    if kind == "accept_then_cut":
        client.break_off(text_frame(reply))
        return None
    if fault is not None and kind == "accept_then_wait":
        _later(venue, client, fault, reply)
        return None
    if outcome.status == 418:
        client.write(text_frame(reply))
        client.close(1008, "IP banned", "banned")
        return None
    return reply


def _later(venue: Venue, client: Client, fault: Fault, reply: bytes) -> None:
    venue.faults.later(fault.ms / 1000, lambda: client.write(text_frame(reply)))


def _rate_limits(venue: Venue, client: Client, outcome: Outcome) -> list[dict[str, Any]]:
    limits = venue.limits
    shown = []
    if outcome.counts is not None:
        for interval, number, limit, count in (
            ("SECOND", 10, limits.orders_10s, outcome.counts[0]),
            ("DAY", 1, limits.orders_1d, outcome.counts[1]),
        ):
            shown.append(_limit("ORDERS", interval, number, limit, count))
    used = venue.meter.used(client.ip, venue.clock.now_ns())
    return [*shown, _limit("REQUEST_WEIGHT", "MINUTE", 1, limits.weight, used)]


def _limit(kind: str, interval: str, number: int, limit: int, count: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit, "count": count}


def _account(venue: Venue, client: Client, request: Request) -> Account | None:
    """Whose request it claims to be."""
    if request.method in BY_METHOD:
        return None
    owner = venue.owner(request.sent.get("apiKey"))
    if owner is not None:
        return owner[0]
    return None if client.logon is None else client.logon.account


def _leans_on_logon(request: Request) -> bool:
    needs = request.method in BY_NAME or request.method == "userDataStream.subscribe"
    return needs and "apiKey" not in request.sent


def _revoke(venue: Venue, client: Client) -> None:
    """End the logon of a key that is valid no more."""
    venue.user_data.log_out(client)
    client.logon = None
    gone = errors.bad_key()
    client.write(text_frame(orjson.dumps({"id": None, "status": gone.status, "error": gone.body})))


def _parse(text: bytes, request: Request, client: Client) -> None:
    """Fill `request`, as far as it can be read.

    Raises:
        ApiError: what is wrong.
    """
    try:
        asked = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise bad_json() from None
    if not isinstance(asked, dict):
        raise bad_json()
    number, given = asked.get("id"), asked.get("params")
    if not isinstance(number, int | str | None) or isinstance(number, bool):
        raise illegal("id", "^[a-zA-Z0-9-_]{1,36}$")
    request.id = number
    request.method = str(asked.get("method", "")).removeprefix("v3/")
    if not isinstance(given, dict | None):
        raise bad_json()
    sent = dict(given or {})
    shown = sent.pop("returnRateLimits", client.show_rate_limits)
    if not isinstance(shown, bool):
        raise illegal("returnRateLimits", "^(true|false)$")
    request.sent, request.shows = sent, shown
    if "signature" in sent:
        request.payload = sorted_payload(given or {})
