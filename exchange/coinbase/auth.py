"""Finds who signed a REST request or a subscription.

Theory of operation. A request is authenticated on arrival, so a request that a fault delays is executed at any later
time. The manual does not state the order of the checks: here it is presence, key, passphrase, time, signature. The
signed path includes the query, as public clients sign it; the manual calls it the path only.

Source: rest, REST API Authentication (Selecting a Timestamp, Signing a Message); ws, websocket-best-practices.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Any

from ...model.time import SECOND_NS
from ..engine.accounts import Account
from ..engine.keys import ApiKey
from ..floor import Floor
from ..wire import signatures
from .errors import ApiError

WINDOW_NS = 30 * SECOND_NS  # in both directions
VERIFY_PATH = "/users/self/verify"  # signed in place of a path by a subscription
HEADERS = ("CB-ACCESS-KEY", "CB-ACCESS-SIGN", "CB-ACCESS-TIMESTAMP", "CB-ACCESS-PASSPHRASE")
FIELDS = ("key", "signature", "timestamp", "passphrase")
_SECONDS = re.compile(r"(\d{1,11})(?:\.(\d{1,9}))?", re.ASCII)


def is_signed(key: ApiKey, payload: bytes, signature: str) -> bool:
    digest = signatures.from_base64(signature)
    secret = signatures.from_base64(key.verifier.decode("latin-1")) if isinstance(key.verifier, bytes) else None
    return secret is not None and digest is not None and signatures.is_hmac(secret, payload, digest)


def authenticate(
    floor: Floor, method: str, path: str, headers: Mapping[str, str], body: bytes, now_ns: int
) -> tuple[Account, ApiKey]:
    """Return the account and key of a private request; `path` includes the query, exactly as received.

    Raises:
        ApiError: a header is missing or wrong, the request is too old or too early, or the signature is wrong.
    """
    for name in HEADERS:
        if not headers.get(name):
            raise ApiError(f"{name} header is required", 401)
    return _owner(floor, [headers[name] for name in HEADERS], f"{method}{path}".encode() + body, now_ns)


def of_subscription(floor: Floor, message: Mapping[str, Any], now_ns: int) -> tuple[Account, ApiKey] | None:
    """Return the account and key that signed a subscription; None: it is not signed.

    Raises:
        ApiError: as `authenticate`.
    """
    sent = [message.get(name) for name in FIELDS]
    if type(sent[2]) is int:
        sent[2] = str(sent[2])  # ccxt sends whole seconds as a number, which is signed as this text
    if not any(sent):
        return None
    for name, value in zip(FIELDS, sent, strict=True):
        if not isinstance(value, str) or not value:
            raise ApiError(f"{name} is required", 401)
    return _owner(floor, [str(value) for value in sent], f"GET{VERIFY_PATH}".encode(), now_ns)


def _owner(floor: Floor, sent: list[str], payload: bytes, now_ns: int) -> tuple[Account, ApiKey]:
    key, signature, stamp, passphrase = sent
    owner = floor.owner(key)
    if owner is None or owner[1].revoked:
        raise ApiError("Invalid API Key", 401)
    if not hmac.compare_digest(owner[1].passphrase.encode(), passphrase.encode()):
        raise ApiError("Invalid Passphrase", 401)
    found = _SECONDS.fullmatch(stamp)
    if found is None:
        raise ApiError("invalid timestamp", 400)
    stamp_ns = int(found[1]) * SECOND_NS + int((found[2] or "").ljust(9, "0"))
    if abs(now_ns - stamp_ns) > WINDOW_NS:
        raise ApiError("request timestamp expired", 400)
    if not is_signed(owner[1], stamp.encode() + payload, signature):
        raise ApiError("invalid signature", 401)
    return owner
