"""Signing for OKX: HMAC-SHA256 in base64, with a passphrase.

REST signs timestamp, method, path with query, and body. The exchange refuses a request whose timestamp is more than 30
seconds from its own clock, and has no parameter for a shorter window. So the timestamp is set back: the request is then
refused exactly `validity_ms` from now, whatever it asks for. Placing and amending bring `expTime` beside that, which
the exchange looks at again when it carries a request out.

Source: overview/rest/authentication-{making-requests, signature}.md, overview/transaction/timeouts.md, read 2026-11-27.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn
from urllib.parse import quote

import orjson

from ...model.errors import Misconfigured, NotOffered
from ...model.http import HttpRequest
from ...model.time import MILLISECOND_NS, SECOND_NS
from ..order_codec import At, Draft, Kind, Signed, SignedRequest
from .spec import DEMO_HEADER

WINDOW_MS = 30_000  # making-requests.md, OK-ACCESS-TIMESTAMP
EXPIRING = frozenset({Kind.PLACE, Kind.AMEND, Kind.BATCH_PLACE})  # timeouts.md: the endpoints that know `expTime`
BOOLEANS = frozenset({"banAmend", "cxlOnFail"})
JSON = ("Content-Type", "application/json")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class OkxAuth:
    """One API key."""

    __slots__ = ("_api_key", "_passphrase", "_secret")

    def __init__(self, api_key: str, secret: bytes, passphrase: str) -> None:
        for what, value in (("API key", api_key), ("passphrase of the API key", passphrase)):
            if not value or not value.isascii() or not value.isprintable():
                raise Misconfigured(f"the {what}", "it is empty or has characters that none has")
        if not secret or b"-----BEGIN" in secret:
            raise Misconfigured("the hmac key", "its secret is empty, or is a private key of another kind")
        self._api_key, self._secret, self._passphrase = api_key, secret, passphrase

    @property
    def key_hint(self) -> str:
        return f"{self._api_key[:4]}..." if len(self._api_key) > 8 else "..."

    def __repr__(self) -> str:
        return f"OkxAuth({self.key_hint})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled: it stays in the process that signs")

    def signature(self, payload: str) -> str:
        """Sign `payload`; return base64."""
        return b64encode(hmac.digest(self._secret, payload.encode(), "sha256")).decode()

    def sign(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Sign for REST; a POST carries its parameters as JSON.

        Raises:
            Misconfigured: the exchange does not accept this validity window.
        """
        method, path = draft.rest
        now_ms, end_ns = _end(now_ns, validity_ms)
        params = [(name, value) for name, value in draft.params if name != DEMO_HEADER[0]]
        body = b""
        if method == "POST":
            body = orjson.dumps({name: _typed(name, value) for name, value in params})
        elif params:
            path += "?" + "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in params)
        headers = [JSON] if body else []
        if len(params) < len(draft.params):
            headers.append(DEMO_HEADER)
        if draft.signed:
            stamp = (EPOCH + timedelta(milliseconds=now_ms - WINDOW_MS + validity_ms)).isoformat("T", "milliseconds")
            stamp = stamp.replace("+00:00", "Z")
            headers += [
                ("OK-ACCESS-KEY", self._api_key),
                ("OK-ACCESS-SIGN", self.signature(f"{stamp}{method}{path}{body.decode()}")),
                ("OK-ACCESS-TIMESTAMP", stamp),
                ("OK-ACCESS-PASSPHRASE", self._passphrase),
            ]
        if draft.kind in EXPIRING:
            headers.append(("expTime", str(now_ms + validity_ms)))
        request: HttpRequest = SignedRequest(method, draft.host + path, tuple(headers), body, draft.cost)
        text = f"{method} {path} {body.decode()}".rstrip()
        digest = hashlib.sha256(f"{method} {request.url} {request.headers}\n".encode() + body).hexdigest()
        return Signed(draft, request_id, At(end_ns), text, digest, request=request)

    def login(self, now_ns: int) -> bytes:
        """Return the message that logs in on the private websocket (overview/websocket/login.md)."""
        stamp = str(now_ns // SECOND_NS)
        args = {
            "apiKey": self._api_key,
            "passphrase": self._passphrase,
            "timestamp": stamp,
            "sign": self.signature(f"{stamp}GET/users/self/verify"),
        }
        return orjson.dumps({"op": "login", "args": [args]})

    def sign_call(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        raise NotOffered("okx", f"{draft.rest[0]} {draft.rest[1]} over a websocket")


def _end(now_ns: int, validity_ms: int) -> tuple[int, int]:
    """Return the present millisecond, and the last ns at which the exchange still accepts the request."""
    if not 1 <= validity_ms <= WINDOW_MS:
        raise Misconfigured("the validity window", f"{validity_ms} ms is not between 1 and {WINDOW_MS}")
    now_ms = now_ns // MILLISECOND_NS
    return now_ms, (now_ms + validity_ms + 1) * MILLISECOND_NS - 1


def _typed(name: str, value: str) -> Any:
    return value == "true" if name in BOOLEANS else value


def read_key(kind: str, api_key: str, secret: str | bytes, fields: dict[str, Any]) -> OkxAuth:
    """Return the key that signs. OKX's keys are of the kind "hmac" and have a passphrase.

    Raises:
        Misconfigured: another kind, no passphrase or another field, or a secret that cannot be one.
    """
    if kind != "hmac":
        raise Misconfigured("the kind of key", f"{kind!r} is not hmac, the only kind that OKX has")
    for name in fields.keys() - {"passphrase"}:
        raise Misconfigured("the API key", f"OKX's keys have no {name}")
    passphrase = fields.get("passphrase")
    if not passphrase:
        raise Misconfigured("the API key", "has no passphrase: add the key again with `venuemesh keys add`")
    raw = secret.encode() if isinstance(secret, str) else secret
    return OkxAuth(api_key, raw.strip(), str(passphrase))
