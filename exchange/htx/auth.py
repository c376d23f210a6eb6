"""Finds who signed a private request, or opened a private websocket.

Theory of operation. A request is checked when it is executed: a request that a fault delays beyond its window is
refused. The window is five minutes around the timestamp, which has whole seconds.

Source: authentication.md, private_websocket_api.md (Authentication, Generating Signature), read 2026-11-28. The manual
lists one code for all flaws of a signature: the texts here are guesses, and so is the check on execution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from ...model.time import SECOND_NS
from ..engine.accounts import Account
from ..engine.keys import ApiKey
from ..floor import Floor
from ..wire import signatures
from .errors import BAD_SIGNATURE, ApiError

WINDOW_S = 300
KEY, METHOD, VERSION, TIME, SIGNATURE = "AccessKeyId", "SignatureMethod", "SignatureVersion", "Timestamp", "Signature"
METHODS = {"HMAC": "HmacSHA256", "ED25519": "Ed25519"}


def _wrong(why: str) -> ApiError:
    return ApiError(BAD_SIGNATURE, f"Signature not valid: {why}")


def authenticate(
    floor: Floor, method: str, host: str, path: str, query: Sequence[tuple[str, str]], now_ns: int
) -> tuple[Account, ApiKey]:
    """Return the account and key of a request with this query, decoded.

    Raises:
        ApiError: a parameter is missing or wrong, the request is outside its window, or the signature is wrong.
    """
    sent = dict(query)
    owner = _owner(floor, sent, (KEY, METHOD, VERSION, TIME, SIGNATURE), "2")
    signed = [pair for pair in query if pair[0] != SIGNATURE]
    _check(owner[1], f"{method}\n{host.lower()}\n{path}\n{_encoded(signed)}", sent[SIGNATURE], sent[TIME], now_ns)
    return owner


def log_in(floor: Floor, host: str, path: str, params: Mapping[str, Any], now_ns: int) -> tuple[Account, ApiKey]:
    """Return the account and key of a message `auth`. Raises as `authenticate`."""
    names = ("accessKey", "signatureMethod", "signatureVersion", "timestamp")
    sent = {name: str(params.get(name) or "") for name in (*names, "signature")}
    owner = _owner(floor, sent, (*names, "signature"), "2.1")
    signed = [(name, sent[name]) for name in names]
    _check(owner[1], f"GET\n{host.lower()}\n{path}\n{_encoded(signed)}", sent["signature"], sent["timestamp"], now_ns)
    return owner


def _owner(floor: Floor, sent: Mapping[str, str], names: Sequence[str], version: str) -> tuple[Account, ApiKey]:
    for name in names:
        if not sent.get(name):
            raise _wrong(f"Missing parameter [{name}]")
    key, method, stated = (sent[name] for name in names[:3])
    owner = floor.owner(key)
    if owner is None or owner[1].revoked:
        raise _wrong("Incorrect Access key")
    if method != METHODS.get(owner[1].kind) or stated != version:
        raise _wrong("Incorrect signature method or version")
    return owner


def _check(key: ApiKey, text: str, signature: str, stamp: str, now_ns: int) -> None:
    digest = signatures.from_base64(signature)
    if digest is None:
        raise _wrong("Verification failure")
    if isinstance(key.verifier, bytes):
        right = signatures.is_hmac(key.verifier, text.encode(), digest)
    else:
        right = signatures.is_signed(key.verifier, text.encode(), digest)
    if not right:
        raise _wrong("Verification failure")
    try:
        sent_s = int(datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise _wrong("Incorrect timestamp format") from None
    if abs(now_ns // SECOND_NS - sent_s) > WINDOW_S:
        raise _wrong("Invalid submission time")


def _encoded(pairs: Sequence[tuple[str, str]]) -> str:
    """Encode parameters in the order of ASCII, as the manual signs them."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(pairs))
