"""Methods of the WebSocket API about the connection itself: logon and subscriptions to user data.

Source: web-socket-api.md (Session Authentication, Authentication requests, User Data Stream requests), read 2026-11-22.
The manual names no error for a logon with a key other than Ed25519, nor for `userDataStream.subscribe` without a logon;
here they are -2015 and -1002, with status 401.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from . import errors
from .auth import NAMES, Signed, authenticate
from .client import Client, Logon
from .desk import Desk
from .errors import ApiError
from .params import Param, read

WEIGHT = 2  # of each of these methods
SUBSCRIPTION = Param("subscriptionId", "number")


@dataclass(frozen=True, slots=True)
class Call:
    """A request on a connection: `sent` holds its parameters, `payload` is the signed text."""

    desk: Desk
    client: Client
    sent: Mapping[str, Any]
    payload: bytes
    now_ns: int

    def signed(self) -> Signed:
        """The parts of the request that its signature concerns; a logon may replace the signature."""
        logon = self.client.logon
        return replace(self.explicit(), session=None if logon is None else (logon.account, logon.key))

    def explicit(self) -> Signed:
        """The same, if a logon may not replace the signature."""
        key = self.sent.get("apiKey")
        return Signed(self.sent, self.payload, key if isinstance(key, str) else None, rest=False)


@dataclass(frozen=True, slots=True)
class Method:
    """One of these methods. A `signed` method takes the parameters of a signature and no others."""

    answer: Callable[[Call], Any]
    signed: bool = False
    params: tuple[Param, ...] = ()


def perform(method: Method, call: Call) -> Any:
    """Check the parameters and answer.

    Raises:
        ApiError: what is wrong.
    """
    if not method.signed:
        return method.answer(replace(call, sent=read(call.sent, method.params, rest=False)))
    known = sum(name in NAMES for name in call.sent)
    if known < len(call.sent):
        raise errors.too_many(known, len(call.sent))
    return method.answer(call)


def _status(call: Call) -> Any:
    client = call.client
    unit, logon = client.form.unit, client.logon
    return {
        "apiKey": None if logon is None else logon.key.name,
        "authorizedSince": None if logon is None else logon.since_ns // unit,
        "connectedSince": client.connected_ns // unit,
        "returnRateLimits": client.show_rate_limits,
        "serverTime": call.now_ns // unit,
        "userDataStream": bool(call.desk.user_data.ids_on(client)),
    }


def _logon(call: Call) -> Any:
    desk, client = call.desk, call.client
    claimed = desk.floor.owner(call.sent.get("apiKey"))
    security = "TRADE" if claimed is not None and not claimed[1].can_read else "USER_DATA"
    account, key = authenticate(desk.floor.engine, call.explicit(), security, call.now_ns)
    if key.kind != "ED25519":
        raise errors.bad_key()
    if client.logon is not None and client.logon.account is not account:
        desk.user_data.log_out(client)
    client.logon = Logon(account, key, call.now_ns)
    return _status(call)


def _logout(call: Call) -> Any:
    call.desk.user_data.log_out(call.client)
    call.client.logon = None
    return _status(call)


def _subscribe(call: Call) -> Any:
    logon = call.client.logon
    if logon is None or not logon.key.can_read:
        raise ApiError(-1002, "You are not authorized to execute this request.", 401)
    number = call.desk.user_data.subscribe(call.client, logon.account, logon.key.name, by_session=True)
    return {"subscriptionId": number}


def _subscribe_signed(call: Call) -> Any:
    account, key = authenticate(call.desk.floor.engine, call.explicit(), "USER_STREAM", call.now_ns)
    return {"subscriptionId": call.desk.user_data.subscribe(call.client, account, key.name, by_session=False)}


def _unsubscribe(call: Call) -> Any:
    call.desk.user_data.unsubscribe(call.client, call.sent.get("subscriptionId"))
    return {}


def _subscriptions(call: Call) -> Any:
    return [{"subscriptionId": number} for number in call.desk.user_data.ids_on(call.client)]


METHODS: dict[str, Method] = {
    "session.logon": Method(_logon, signed=True),
    "session.status": Method(_status),
    "session.logout": Method(_logout),
    "session.subscriptions": Method(_subscriptions),
    "userDataStream.subscribe": Method(_subscribe),
    "userDataStream.subscribe.signature": Method(_subscribe_signed, signed=True),
    "userDataStream.unsubscribe": Method(_unsubscribe, params=(SUBSCRIPTION,)),
}
