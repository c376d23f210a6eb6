"""Methods of the WebSocket API about the connection itself: logon, and what user data it hears.

Source: web-socket-api.md (Session Authentication, Authentication requests, User Data Stream requests), read 2026-11-22.
The manual does not say how a logon with a key other than Ed25519 is refused, nor `userDataStream.subscribe` without a
logon; here they are -2015 and -1002, with status 401.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..venue import Venue
from . import errors
from .auth import NAMES, Signed, authenticate, sorted_payload
from .client import Client, Logon
from .errors import ApiError
from .params import Param, read

WEIGHT = 2  # of each of these methods
SUBSCRIPTION = Param("subscriptionId", "number")


@dataclass(frozen=True, slots=True)
class Method:
    """One of these methods: `signed` ones take the parameters of a signature and none else."""

    answer: Callable[[Venue, Client, Mapping[str, Any], int], Any]
    signed: bool = False
    params: tuple[Param, ...] = ()


def signed_by(client: Client, sent: Mapping[str, Any]) -> Signed:
    """A request of the WebSocket API as its signature sees it."""
    logon = client.logon
    return replace(_explicit(sent), session=None if logon is None else (logon.account, logon.key))


def _explicit(sent: Mapping[str, Any]) -> Signed:
    """The same for a request that may not lean on a logon."""
    key = sent.get("apiKey")
    return Signed(sent, sorted_payload(sent), key if isinstance(key, str) else None, rest=False)


def perform(venue: Venue, client: Client, method: Method, sent: Mapping[str, Any], now_ns: int) -> Any:
    """Check the parameters, answer.

    Raises:
        ApiError: what is wrong.
    """
    if method.signed:
        strangers = [name for name in sent if name not in NAMES]
        if strangers:
            raise errors.too_many(len(sent) - len(strangers), len(sent))
        return method.answer(venue, client, sent, now_ns)
    return method.answer(venue, client, read(sent, method.params, rest=False), now_ns)


def _status(venue: Venue, client: Client, sent: Mapping[str, Any], now_ns: int) -> Any:
    unit, logon = client.form.unit, client.logon
    return {
        "apiKey": None if logon is None else logon.key.name,
        "authorizedSince": None if logon is None else logon.since_ns // unit,
        "connectedSince": client.connected_ns // unit,
        "returnRateLimits": client.show_rate_limits,
        "serverTime": now_ns // unit,
        "userDataStream": bool(venue.user_data.of(client)),
    }


def _logon(venue: Venue, client: Client, sent: Mapping[str, Any], now_ns: int) -> Any:
    claimed = venue.owner(sent.get("apiKey"))
    security = "TRADE" if claimed is not None and not claimed[1].can_read else "USER_DATA"
    account, key = authenticate(venue.engine, _explicit(sent), security, now_ns)
    if key.kind != "ED25519":
        raise ApiError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    if client.logon is not None and client.logon.account is not account:
        venue.user_data.log_out(client)
    client.logon = Logon(account, key, now_ns)
    return _status(venue, client, sent, now_ns)


def _logout(venue: Venue, client: Client, sent: Mapping[str, Any], now_ns: int) -> Any:
    venue.user_data.log_out(client)
    client.logon = None
    return _status(venue, client, sent, now_ns)


def _subscribe(venue: Venue, client: Client, sent: Mapping[str, Any], now_ns: int) -> Any:
    logon = client.logon
    if logon is None or not logon.key.can_read:
        raise ApiError(-1002, "You are not authorized to execute this request.", 401)
    return {"subscriptionId": venue.user_data.subscribe(client, logon.account, logon.key.name, by_session=True)}


def _subscribe_signed(venue: Venue, client: Client, sent: Mapping[str, Any], now_ns: int) -> Any:
    account, key = authenticate(venue.engine, _explicit(sent), "USER_STREAM", now_ns)
    return {"subscriptionId": venue.user_data.subscribe(client, account, key.name, by_session=False)}


def _unsubscribe(venue: Venue, client: Client, sent: Mapping[str, Any], now_ns: int) -> Any:
    venue.user_data.unsubscribe(client, sent.get("subscriptionId"))
    return {}


def _subscriptions(venue: Venue, client: Client, sent: Mapping[str, Any], now_ns: int) -> Any:
    return [{"subscriptionId": number} for number in venue.user_data.of(client)]


METHODS: dict[str, Method] = {
    "session.logon": Method(_logon, signed=True),
    "session.status": Method(_status),
    "session.logout": Method(_logout),
    "session.subscriptions": Method(_subscriptions),
    "userDataStream.subscribe": Method(_subscribe),
    "userDataStream.subscribe.signature": Method(_subscribe_signed, signed=True),
    "userDataStream.unsubscribe": Method(_unsubscribe, params=(SUBSCRIPTION,)),
}
