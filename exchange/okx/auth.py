"""Finds who signed a REST request or a login.

Theory of operation. A request is authenticated on arrival, so a request that a fault delays is executed at any later
time, unless it has an `expTime`. The manual does not state the order of the checks; here it is presence, key,
passphrase, time, signature.

Source: overview/rest/authentication-{making-requests, signature}.md, overview/websocket/login.md, error/code.md,
error/code/websocket.md, read 2026-11-27.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ...model.time import MILLISECOND_NS, SECOND_NS
from ..engine.accounts import Account
from ..engine.keys import ApiKey
from ..floor import Floor
from ..wire import signatures
from ..wire.numbers import BadNumber, read_whole
from .errors import ApiError

WINDOW_NS = 30 * SECOND_NS  # in both directions
LOGIN_PATH = "/users/self/verify"
_ISO = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{3})Z", re.ASCII)
_HEADERS = {  # in the order of the checks
    "OK-ACCESS-KEY": "50103",
    "OK-ACCESS-PASSPHRASE": "50104",
    "OK-ACCESS-SIGN": "50106",
    "OK-ACCESS-TIMESTAMP": "50107",
}


def is_signed(key: ApiKey, payload: bytes, signature: str) -> bool:
    digest = signatures.from_base64(signature)
    return isinstance(key.verifier, bytes) and digest is not None and signatures.is_hmac(key.verifier, payload, digest)


def authenticate(
    floor: Floor, method: str, path: str, headers: Mapping[str, str], body: bytes, now_ns: int
) -> tuple[Account, ApiKey]:
    """Return the account and key of a private request; `path` includes the query, exactly as received.

    Raises:
        ApiError: a header is missing or wrong, the request is too old or too early, or the signature is wrong.
    """
    for name, code in _HEADERS.items():
        if not headers.get(name):
            raise ApiError(code, f'Request header "{name}" cannot be empty.', 401)
    owner = floor.owner(headers["OK-ACCESS-KEY"])
    if owner is None or owner[1].revoked:
        raise ApiError("50111", "Invalid OK-ACCESS-KEY.", 401)
    if not hmac.compare_digest(owner[1].passphrase.encode(), headers["OK-ACCESS-PASSPHRASE"].encode()):
        raise ApiError("50105", 'Request header "OK-ACCESS-PASSPHRASE" incorrect.', 401)
    stamp = headers["OK-ACCESS-TIMESTAMP"]
    if abs(now_ns - _read_time(stamp)) > WINDOW_NS:
        raise ApiError("50102", "Timestamp request expired.", 401)
    if not is_signed(owner[1], f"{stamp}{method}{path}".encode() + body, headers["OK-ACCESS-SIGN"]):
        raise ApiError("50113", "Invalid signature.", 401)
    return owner


def _read_time(stamp: str) -> int:
    match = _ISO.fullmatch(stamp)
    try:
        if match is None:
            raise ValueError
        whole = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
    except ValueError:
        raise ApiError("50112", "Invalid OK-ACCESS-TIMESTAMP.", 401) from None
    return int(whole.timestamp()) * SECOND_NS + int(match[2]) * MILLISECOND_NS


def log_in(floor: Floor, args: Any, now_ns: int) -> tuple[Account, ApiKey]:
    """Return the account and key of a login; one key per connection.

    Raises:
        ApiError: with a code of the websocket.
    """
    if not isinstance(args, list) or len(args) != 1 or not isinstance(args[0], dict):
        raise ApiError("60013", "Invalid args")
    sent = {name: str(args[0].get(name) or "") for name in ("apiKey", "passphrase", "timestamp", "sign")}
    for name, value in sent.items():
        if not value:
            raise ApiError("60027", f"Parameter {name} can not be empty.")
    owner = floor.owner(sent["apiKey"])
    if owner is None or owner[1].revoked:
        raise ApiError("60005", "Invalid apiKey")
    if not hmac.compare_digest(owner[1].passphrase.encode(), sent["passphrase"].encode()):
        raise ApiError("60024", "Wrong passphrase")
    try:
        stamp_ns = read_whole(sent["timestamp"].partition(".")[0]) * SECOND_NS  # the manual's example has a fraction
    except BadNumber:
        raise ApiError("60004", "Invalid timestamp") from None
    if abs(now_ns - stamp_ns) > WINDOW_NS:
        raise ApiError("60006", "Timestamp request expired")
    if not is_signed(owner[1], f"{sent['timestamp']}GET{LOGIN_PATH}".encode(), sent["sign"]):
        raise ApiError("60007", "Invalid sign")
    return owner
