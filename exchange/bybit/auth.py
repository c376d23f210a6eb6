"""Finds who signed a private request.

Theory of operation. A request is checked when it is executed: a request that a fault delays beyond its window is
refused. The manual does not state whether the exchange checks the time on arrival or at execution.

Source: guide.mdx (Select Your API Key Type, HTTP Headers for Authenticated Endpoints), websocket/wss-authentication.mdx
(Authentication), error.mdx, read 2026-11-27. The manual states no bounds of the window: here any whole number is
allowed. The manual does not show refusals on a websocket: here they have the texts of REST. It does not state whether
RSA keys work on a websocket: here they do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...model.time import MILLISECOND_NS
from ..engine.accounts import Account
from ..engine.keys import ApiKey
from ..floor import Floor
from ..wire import signatures
from ..wire.numbers import BadNumber, read_whole
from .errors import BAD_KEY, BAD_SIGNATURE, BAD_TIME, ApiError

WINDOW_MS, AHEAD_MS = 5_000, 1_000
KEY, TIME, SIGNATURE, WINDOW = "X-BAPI-API-KEY", "X-BAPI-TIMESTAMP", "X-BAPI-SIGN", "X-BAPI-RECV-WINDOW"


def authenticate(floor: Floor, headers: Mapping[str, str], payload: bytes, now_ns: int) -> tuple[Account, ApiKey]:
    """Return the account and key of a request; `payload` is its query or body, exactly as received.

    Raises:
        ApiError: a header is missing or wrong, the request is outside its window, or the signature is wrong.
    """
    if not all(headers.get(name) for name in (KEY, TIME, SIGNATURE)):
        raise ApiError("Invalid request: authentication parameters are missing.", BAD_KEY, 401)
    owner = floor.owner(headers[KEY])
    if owner is None or owner[1].revoked:
        raise ApiError("API key is invalid.", BAD_KEY)
    stamp, window = headers[TIME], headers.get(WINDOW, "")
    signed = f"{stamp}{headers[KEY]}{window}".encode() + payload
    if not signatures.is_by(owner[1].verifier, signed, headers[SIGNATURE]):
        raise ApiError("Error sign, please check your signature generation algorithm.", BAD_SIGNATURE)
    check_window(stamp, window, now_ns)
    return owner


def check_window(stamp: str, window: str, now_ns: int) -> None:
    """Raises ApiError: a request of this time is outside its window ("" means the usual window)."""
    now_ms = now_ns // MILLISECOND_NS
    try:
        sent_ms, window_ms = read_whole(stamp), read_whole(window) if window else WINDOW_MS
    except BadNumber:
        raise ApiError("The request time exceeds the time window range.", BAD_TIME) from None
    if not now_ms - window_ms <= sent_ms < now_ms + AHEAD_MS:
        raise ApiError("The request time exceeds the time window range.", BAD_TIME)


def log_in(floor: Floor, args: Sequence[Any], now_ns: int) -> tuple[Account, ApiKey]:
    """Return the account and key of a websocket's `auth`: key, expiry in ms, and a signature of the expiry.

    Raises:
        ApiError: the arguments are malformed, the expiry has passed, or the signature is wrong.
    """
    if len(args) != 3 or not isinstance(args[0], str) or not isinstance(args[2], str):
        raise ApiError("Params Error")
    key, expires = args[0], str(args[1])
    owner = floor.owner(key)
    if owner is None or owner[1].revoked:
        raise ApiError("API key is invalid.", BAD_KEY)
    if not signatures.is_by(owner[1].verifier, f"GET/realtime{expires}".encode(), args[2]):
        raise ApiError("Error sign, please check your signature generation algorithm.", BAD_SIGNATURE)
    try:
        expires_ms = read_whole(expires)
    except BadNumber:
        raise ApiError("Params Error") from None
    if expires_ms <= now_ns // MILLISECOND_NS:
        raise ApiError("The request time exceeds the time window range.", BAD_TIME)
    return owner
