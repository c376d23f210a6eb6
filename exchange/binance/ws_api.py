"""The WebSocket API on its own base /ws-api/v3: market data, signed methods, the session, user data streams.

Theory of operation. Each frame is one request and is executed as soon as it is read, so requests of one connection run
in the order of arrival. Answers go out at once, except that a fault may delay one, and then later answers overtake it.
Every placement is counted for its account on arrival, with any outcome.

Source: web-socket-api.md (Request format, Response format, Rate limits, Session Authentication), read 2026-11-22.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from ...model.time import SECOND_NS
from ..engine.accounts import Account
from ..faults import Fault
from ..wire.executor import execute
from ..wire.frames import text_frame
from ..wire.sending import OnSocket
from . import errors, params, sessions
from .account import order_counts
from .auth import sorted_payload
from .client import Client
from .desk import Desk
from .errors import ApiError, bad_json, illegal
from .front import FrontEnvelope, Outcome, refused_by
from .methods import BY_NAME
from .queries import BY_METHOD, Asked
from .sessions import Call
from .signed import perform


@dataclass(slots=True)
class Request:
    """One request. `id` is echoed; `shows`: whether the answer has `rateLimits`."""

    id: Any = None
    method: str = "?"
    sent: dict[str, Any] = field(default_factory=dict)
    payload: bytes = b""  # the text that a signature covers
    shows: bool = True

    @property
    def endpoint(self) -> str:
        return f"ws-api:{self.method}"

    @property
    def is_known(self) -> bool:
        return self.method in BY_METHOD or self.method in BY_NAME or self.method in sessions.METHODS


class Envelope(OnSocket[Outcome], FrontEnvelope):
    """One request on a connection."""

    client: Client

    def __init__(self, desk: Desk, client: Client, request: Request, account: Account | None) -> None:
        super().__init__(desk, (request.endpoint,), account, request.sent)
        self.client = client
        self.request = request

    def run(self) -> Outcome:
        try:
            outcome = self._perform()
        except ApiError as error:
            outcome = self.failed(error)
            signed = BY_NAME.get(self.request.method)
            if self.account is not None and signed is not None and signed.orders:
                outcome.counts = self.desk.order_counts.of(self.account).counts(self.desk.now_ns())
        self._count(outcome.status)
        return outcome

    def refusal(self, fault: Fault) -> Outcome:
        self._count(fault.status)
        return self.failed(refused_by(fault))

    def failed(self, error: ApiError) -> Outcome:
        """The answer of an error."""
        body: dict[str, Any] = dict(error.body)
        if error.retry_after_s is not None and "data" not in body:
            now, unit = self.desk.now_ns(), self.client.form.unit
            body["data"] = {"serverTime": now // unit, "retryAfter": (now + error.retry_after_s * SECOND_NS) // unit}
        return Outcome(error.status, body)

    def send(self, answer: Outcome) -> None:
        super().send(answer)
        if answer.status == 418:
            self.client.close(1008, "IP banned", "banned")

    def _count(self, status: int) -> None:
        self.desk.floor.count(self.request.endpoint if self.request.is_known else "ws-api:?", status)

    def _perform(self) -> Outcome:
        desk, client, request = self.desk, self.client, self.request
        now = desk.now_ns()
        query = BY_METHOD.get(request.method)
        if query is not None:
            failed: ApiError | None = None
            values: dict[str, Any] = {}
            try:
                values = params.read(request.sent, query.params, rest=False)
            except ApiError as error:
                failed = error
            desk.meter.spend(client.ip, query.weight(values), now)
            if failed is not None:
                raise failed
            asked = Asked(desk.floor.engine, desk.limits, values, now, client.form.unit, rest=False)
            return Outcome(200, query.answer(asked))
        call = Call(desk, client, request.sent, request.payload, now)
        about_session = sessions.METHODS.get(request.method)
        if about_session is not None:
            desk.meter.spend(client.ip, sessions.WEIGHT, now)
            return Outcome(200, sessions.perform(about_session, call))
        signed = BY_NAME.get(request.method)
        if signed is None:
            desk.meter.spend(client.ip, 1, now)
            raise ApiError(-1020, "This operation is not supported.")
        desk.meter.spend(client.ip, signed.weight(request.sent), now)
        reply = perform(desk, signed, call.signed(), now, client.form.unit)
        return Outcome(200, reply.body, counts=reply.counts)

    def frame(self, answer: Outcome) -> bytes:
        name = "result" if answer.status == 200 else "error"
        whole: dict[str, Any] = {"id": self.request.id, "status": answer.status, name: answer.body}
        if self.request.shows:
            whole["rateLimits"] = self._rate_limits(answer)
        return text_frame(orjson.dumps(whole))

    def _rate_limits(self, answer: Outcome) -> list[dict[str, Any]]:
        limits = self.desk.limits
        shown = [] if answer.counts is None else order_counts(limits, answer.counts)
        used = self.desk.meter.used(self.client.ip, self.desk.now_ns())
        weight = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}
        return [*shown, weight | {"limit": limits.weight, "count": used}]


def receive(desk: Desk, client: Client, text: bytes) -> None:
    """Execute one request and answer, or apply a fault to it."""
    request = Request(shows=client.show_rate_limits)
    try:
        _parse(text, request, client)
    except ApiError as error:
        envelope = Envelope(desk, client, request, None)
        desk.floor.count("ws-api:?", error.status)
        envelope.send(envelope.failed(error))
        return
    if client.logon is not None and client.logon.key.revoked:
        _end_logon(desk, client)
        if _leans_on_logon(request):
            return
    execute(desk.floor.faults, Envelope(desk, client, request, _account(desk, client, request)))


def _account(desk: Desk, client: Client, request: Request) -> Account | None:
    """The account that the request claims."""
    if request.method in BY_METHOD:
        return None
    owner = desk.floor.owner(request.sent.get("apiKey"))
    if owner is not None:
        return owner[0]
    return None if client.logon is None else client.logon.account


def _leans_on_logon(request: Request) -> bool:
    needs = request.method in BY_NAME or request.method == "userDataStream.subscribe"
    return needs and "apiKey" not in request.sent


def _end_logon(desk: Desk, client: Client) -> None:
    """End the logon of a key that was revoked."""
    desk.user_data.log_out(client)
    client.logon = None
    gone = errors.bad_key()
    client.write(text_frame(orjson.dumps({"id": None, "status": gone.status, "error": gone.body})))


def _parse(text: bytes, request: Request, client: Client) -> None:
    """Fill `request` with everything readable.

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
