"""Signing for Binance: HMAC-SHA256, RSA (PKCS#1 v1.5, SHA-256) and Ed25519.

REST signs the query string and the body exactly as they are sent, percent-encoded before signing (required since
2026-01-15). The websocket API signs its parameters (with `apiKey`) sorted by name, as plain UTF-8.

The exchange refuses a request once its clock, read in milliseconds, is more than recvWindow past `timestamp`. It checks
again just before the request goes to the matching engine. So the last possible instant is the end of the millisecond
`timestamp` + recvWindow.

Source: rest-api.md and web-socket-api.md, Request Security and Timing security; CHANGELOG.md, 2025-12-17 (percent-
encoding); faqs/api_key_types.md; all read 2026-11-22.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn
from urllib.parse import quote

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ...model.errors import Misconfigured, NotOffered
from ...model.http import HttpRequest
from ...model.time import MILLISECOND_NS
from ..order_codec import At, Draft, Signed, SignedRequest

MAX_WINDOW_MS = 60_000  # rest-api.md, Timing security
FORM = ("Content-Type", "application/x-www-form-urlencoded")
KEY_HEADER = "X-MBX-APIKEY"
# Parameters that are JSON numbers and booleans in the websocket API; all others are text. Source: web-socket-api.md
INTEGERS = frozenset({"orderId", "cancelOrderId", "orderListId", "fromId", "limit", "startTime", "endTime"})
INTEGERS |= {"timestamp", "recvWindow"}
BOOLEANS = frozenset({"omitZeroBalances", "computeCommissionRates", "returnRateLimits"})

Params = Sequence[tuple[str, str]]


class BinanceAuth:
    """One API key. `signature(payload)` is the signature as text, not percent-encoded."""

    __slots__ = ("_api_key", "_sign", "kind")

    def __init__(self, kind: str, api_key: str, sign: Callable[[bytes], str]) -> None:
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise Misconfigured("the API key", "it is empty or contains characters that no key has")
        self.kind = kind
        self._api_key = api_key
        self._sign = sign

    @property
    def key_hint(self) -> str:
        return f"{self._api_key[:4]}..." if len(self._api_key) > 8 else "..."

    def __repr__(self) -> str:
        return f"BinanceAuth({self.kind}, {self.key_hint})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled: it stays in the process that signs")

    def signature(self, payload: str) -> str:
        """Sign `payload` as UTF-8."""
        return self._sign(payload.encode())

    def sign(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Sign for REST; POST and PUT carry their parameters in the body.

        Raises:
            Misconfigured: the exchange does not accept this validity window.
        """
        method, path = draft.rest
        url = draft.host + path
        params, end_ns = self._timed(draft, now_ns, validity_ms)
        payload = encoded(params)
        text = f"{method} {path}?{payload}" if payload else f"{method} {path}"
        headers: tuple[tuple[str, str], ...] = ()
        sent = payload
        if draft.signed:
            sent = f"{payload}&signature={quote(self.signature(payload), safe='')}"
            headers = ((KEY_HEADER, self._api_key),)
        request: HttpRequest
        if method in ("POST", "PUT"):
            request = SignedRequest(method, url, (*headers, FORM), sent.encode(), draft.cost)
        else:
            request = SignedRequest(method, f"{url}?{sent}" if sent else url, headers, b"", draft.cost)
        digest = hashlib.sha256(f"{method} {request.url}\n".encode() + request.body).hexdigest()
        return Signed(draft, request_id, At(end_ns), text, digest, request=request)

    def sign_call(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Sign as a frame of the websocket API.

        Raises:
            NotOffered: the websocket API has no such method.
            Misconfigured: the exchange does not accept this validity window.
        """
        if draft.call is None:
            raise NotOffered("binance", f"{draft.rest[0]} {draft.rest[1]} over a websocket")
        params, end_ns = self._timed(draft, now_ns, validity_ms)
        text = _frame(request_id, draft.call, params).decode()
        if draft.signed:
            params = sorted([*params, ("apiKey", self._api_key)])
            payload = "&".join(f"{name}={value}" for name, value in params)
            params = [*params, ("signature", self.signature(payload))]
        frame = _frame(request_id, draft.call, params)
        return Signed(draft, request_id, At(end_ns), text, hashlib.sha256(frame).hexdigest(), call=frame)

    def _timed(self, draft: Draft, now_ns: int, validity_ms: int) -> tuple[Params, int]:
        """Return all parameters but the signature, and the last ns at which the exchange still accepts them."""
        if not 1 <= validity_ms <= MAX_WINDOW_MS:
            raise Misconfigured("the validity window", f"{validity_ms} ms is not between 1 and {MAX_WINDOW_MS}")
        timestamp = now_ns // MILLISECOND_NS
        end_ns = (timestamp + validity_ms + 1) * MILLISECOND_NS - 1
        if not draft.signed:
            return draft.params, end_ns
        return (("timestamp", str(timestamp)), *draft.params, ("recvWindow", str(validity_ms))), end_ns


def encoded(params: Iterable[tuple[str, str]]) -> str:
    """Parameters as a query string, percent-encoded (RFC 3986, UTF-8); a space is %20."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in params)


def _frame(request_id: str, method: str, params: Iterable[tuple[str, str]]) -> bytes:
    return orjson.dumps({"id": request_id, "method": method, "params": {k: _typed(k, v) for k, v in params}})


def _typed(name: str, value: str) -> str | int | bool:
    if name in INTEGERS and value.isascii() and value.isdecimal():
        return int(value)
    return value == "true" if name in BOOLEANS else value


def read_key(kind: str, api_key: str, secret: str | bytes, passphrase: str | bytes | None = None) -> BinanceAuth:
    """Return the key that signs. `kind` is "hmac", "rsa" or "ed25519".

    Raises:
        Misconfigured: an unknown kind, or a secret that is not of that kind.
    """
    raw = secret.encode() if isinstance(secret, str) else secret
    if kind == "hmac":
        return BinanceAuth(kind, api_key, _hmac(raw))
    if kind not in ("rsa", "ed25519"):
        raise Misconfigured("the kind of key", f"{kind!r} is not one of hmac, rsa, ed25519")
    word = passphrase.encode() if isinstance(passphrase, str) else passphrase
    try:
        key = load_pem_private_key(raw, word)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None  # the text of the error may quote the key
    if kind == "rsa" and isinstance(key, RSAPrivateKey):
        return BinanceAuth(kind, api_key, _rsa(key))
    if kind == "ed25519" and isinstance(key, Ed25519PrivateKey):
        return BinanceAuth(kind, api_key, lambda payload: b64encode(key.sign(payload)).decode())
    raise Misconfigured(
        f"the {kind} key", f"the secret is not a private key of the kind {kind} in PEM form, or its passphrase is wrong"
    )


def _hmac(secret: bytes) -> Callable[[bytes], str]:
    secret = secret.strip()  # a file with a secret usually ends with a line break
    if not secret or b"-----BEGIN" in secret:
        raise Misconfigured("the hmac key", "its secret is empty, or is a private key of another kind")
    return lambda payload: hmac.digest(secret, payload, "sha256").hex()


def _rsa(key: RSAPrivateKey) -> Callable[[bytes], str]:
    padding, algorithm = PKCS1v15(), SHA256()
    return lambda payload: b64encode(key.sign(payload, padding, algorithm)).decode()
