"""Signing for Bybit: HMAC-SHA256 in hex over time, key, window, and the query or the body.

The exchange refuses a request that is older than its window by the exchange's clock, whatever it asks for.

Source: guide.mdx (HTTP Headers for Authenticated Endpoints, Create A Request), read 2026-11-27. RSA keys are not
offered.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import NoReturn
from urllib.parse import quote

import orjson

from ...model.errors import Misconfigured, NotOffered
from ...model.http import HttpRequest
from ...model.time import MILLISECOND_NS
from ..order_codec import At, Draft, Signed, SignedRequest
from .spec import OFFER

LONGEST_MS = int(OFFER.max_validity_s * 1000)
AS_IT_CAME = "%"  # order/open-order.mdx, nextPageCursor: its example is written with % already


class BybitAuth:
    """One API key."""

    __slots__ = ("_api_key", "_secret")

    def __init__(self, api_key: str, secret: bytes) -> None:
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise Misconfigured("the API key", "it is empty or holds characters that no key has")
        if not secret or b"-----BEGIN" in secret:
            raise Misconfigured("the hmac key", "its secret is empty, or is a private key of another kind")
        self._api_key, self._secret = api_key, secret

    @property
    def key_hint(self) -> str:
        return f"{self._api_key[:4]}..." if len(self._api_key) > 8 else "..."

    def __repr__(self) -> str:
        return f"BybitAuth({self.key_hint})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled: it stays in the process that signs")

    def signature(self, payload: str) -> str:
        """Sign `payload`; return hex."""
        return hmac.new(self._secret, payload.encode(), hashlib.sha256).hexdigest()

    def sign(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Sign for REST; a POST carries its parameters as JSON.

        Raises:
            Misconfigured: a validity window that the connector does not ask for.
        """
        if not 1 <= validity_ms <= LONGEST_MS:
            raise Misconfigured("the validity window", f"{validity_ms} ms is not between 1 and {LONGEST_MS}")
        method, path = draft.rest
        is_post, query = method == "POST", ""
        body = orjson.dumps(dict(draft.params)) if is_post else b""
        if not is_post:
            query = "&".join(f"{quote(name, safe='')}={quote(text, safe=AS_IT_CAME)}" for name, text in draft.params)
        headers = [("Content-Type", "application/json")] if is_post else []
        now_ms = now_ns // MILLISECOND_NS
        if draft.signed:
            payload = f"{now_ms}{self._api_key}{validity_ms}{body.decode() if is_post else query}"
            headers += [
                ("X-BAPI-API-KEY", self._api_key),
                ("X-BAPI-TIMESTAMP", str(now_ms)),
                ("X-BAPI-RECV-WINDOW", str(validity_ms)),
                ("X-BAPI-SIGN", self.signature(payload)),
            ]
        path += f"?{query}" if query else ""
        request: HttpRequest = SignedRequest(method, draft.host + path, tuple(headers), body, draft.cost)
        text = f"{method} {path} {body.decode()}".rstrip()
        digest = hashlib.sha256(f"{method} {request.url} {request.headers}\n".encode() + body).hexdigest()
        end = At((now_ms + validity_ms + 1) * MILLISECOND_NS - 1)
        return Signed(draft, request_id, end, text, digest, request=request)

    def auth(self, now_ns: int, validity_ms: int) -> bytes:
        """Return the message that authenticates a websocket (websocket/wss-authentication.mdx)."""
        expires = now_ns // MILLISECOND_NS + validity_ms
        return orjson.dumps({"op": "auth", "args": [self._api_key, expires, self.signature(f"GET/realtime{expires}")]})

    def sign_call(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        raise NotOffered("bybit", f"{draft.rest[0]} {draft.rest[1]} over a websocket")


def read_key(kind: str, api_key: str, secret: str | bytes) -> BybitAuth:
    """Return the key that signs.

    Raises:
        Misconfigured: another kind than "hmac", or a secret that cannot be one.
    """
    if kind != "hmac":
        raise Misconfigured("the kind of key", f"{kind!r} is not hmac, the only kind that this connector signs with")
    raw = secret.encode() if isinstance(secret, str) else secret
    return BybitAuth(api_key, raw.strip())
