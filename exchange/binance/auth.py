"""Finds who signed a request, and whether it is in time. Pure; the exchange's time is an argument.

Source: rest-api.md and web-socket-api.md (Request security, Timing security), CHANGELOG.md 2025-12-17 (payloads are
percent-encoded before they are signed), errors.md; read 2026-11-22. The manual does not state which of several errors
comes first: here the key, then the presence of timestamp and signature, the signature, permissions, and time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from ..engine.accounts import Account
from ..engine.engine import Engine
from ..engine.keys import ApiKey
from ..wire import signatures
from ..wire.timing import Timing, timing
from . import errors
from .params import number

DEFAULT_WINDOW_US = 5_000_000
LARGEST_WINDOW_MS = 60_000
AHEAD_US = 1_000_000
_WINDOW = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,3}))?", re.ASCII)
_KEY = re.compile(r"[A-Za-z0-9_\-]{1,128}", re.ASCII)
NAMES = ("apiKey", "signature", "timestamp", "recvWindow")  # parameters that this module reads


@dataclass(frozen=True, slots=True)
class Signed:
    """The parts of a request that its signature concerns.

    `sent` holds all parameters as received; `payload` is the signed text, exactly as received; `key` names the API key
    (REST: the header; WebSocket API: `apiKey`). `session` is the connection's logon, for requests without key and
    signature.
    """

    sent: Mapping[str, Any]
    payload: bytes
    key: str | None
    rest: bool
    session: tuple[Account, ApiKey] | None = None


def authenticate(engine: Engine, signed: Signed, security: str, now_ns: int) -> tuple[Account, ApiKey]:
    """Return the account and key behind a request that needs `security`: TRADE, USER_DATA, USER_STREAM or MARKET_DATA.

    MARKET_DATA needs a key and no signature.

    Raises:
        ApiError: -1021, -1022, -1100, -1102, -2014, -2015.
    """
    by_session = signed.session is not None and signed.key is None and "signature" not in signed.sent
    if by_session and signed.session is not None:
        account, key = signed.session
    else:
        account, key = _owner(engine, signed)
    if security == "MARKET_DATA":
        if key.revoked:
            raise errors.bad_key()
        return account, key
    for name in ("timestamp",) if by_session else ("timestamp", "signature"):
        if signed.sent.get(name) in (None, ""):
            raise errors.missing(name)
    sent_us = _microseconds(signed.sent["timestamp"])
    window_us = _window(signed.sent.get("recvWindow"))
    if not by_session:
        signature = signed.sent["signature"]
        # A byte beyond ASCII was not percent-encoded, which REST refuses; JSON of the WebSocket API may contain it.
        if not isinstance(signature, str) or (signed.rest and not signed.payload.isascii()):
            raise errors.bad_signature()
        if not is_signed(key, signed.payload, signature):
            raise errors.bad_signature()
    if key.revoked or not (key.can_trade if security == "TRADE" else key.can_read):
        raise errors.bad_key()
    check_time(sent_us, window_us, now_ns)
    return account, key


def check_time(sent_us: int, window_us: int, now_ns: int) -> None:
    """Refuse a request that is not in time."""
    found = timing(sent_us, now_ns, window_us, AHEAD_US)
    if found is Timing.EARLY:
        raise errors.early()
    if found is Timing.LATE:
        raise errors.late()


def is_signed(key: ApiKey, payload: bytes, signature: str) -> bool:
    """Return whether `signature` is the key's signature of `payload`: hex in any case for HMAC, else base64.

    Source: faqs/api_key_types.md, rest-api.md (Request Security), read 2026-11-22.
    """
    return signatures.is_by(key.verifier, payload, signature)


def without_signature(encoded: str) -> str:
    """Return a query string or form body as it was signed: without the `signature` parameter, otherwise unchanged."""
    return "&".join(part for part in encoded.split("&") if part.partition("=")[0] != "signature")


def sorted_payload(sent: Mapping[str, Any]) -> bytes:
    """Return the payload that a WebSocket API request signs: its parameters without the signature, sorted, as UTF-8."""
    return "&".join(f"{name}={_plain(sent[name])}" for name in sorted(sent) if name != "signature").encode()


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _owner(engine: Engine, signed: Signed) -> tuple[Account, ApiKey]:
    if not signed.key:
        raise errors.bad_key_format() if signed.rest else errors.missing("apiKey")
    if _KEY.fullmatch(signed.key) is None:
        raise errors.bad_key_format()
    owner = engine.owner(signed.key)
    if owner is None:
        raise errors.bad_key()
    return owner


def _microseconds(value: Any) -> int:
    """Read a timestamp in milliseconds, or in microseconds if it has 16 digits."""
    stamp: int = number("timestamp", value)
    return stamp if stamp >= 10**15 else stamp * 1_000


def _window(value: Any) -> int:
    """Read `recvWindow`, milliseconds with up to three decimals; return microseconds."""
    if value is None:
        return DEFAULT_WINDOW_US
    match = None if isinstance(value, bool) else _WINDOW.fullmatch(str(value))
    if match is None:
        raise errors.illegal("recvWindow", errors.DECIMAL_RANGE)
    window = int(match[1]) * 1_000 + int((match[2] or "").ljust(3, "0"))
    if window > LARGEST_WINDOW_MS * 1_000:
        raise errors.too_large("recvWindow", LARGEST_WINDOW_MS)
    return window
