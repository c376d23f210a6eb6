"""Signing for Bybit: HMAC-SHA256 in hex, or RSA-SHA256 in base64, over time, key, window, and query or body.

The exchange refuses every request that is older, by the exchange's clock, than its window.

Source: guide.mdx (Select Your API Key Type, HTTP Headers for Authenticated Endpoints, Create A Request), read
2026-11-27. The page names RSA_SHA256 without a padding; the exchange's libraries use PKCS #1 v1.5. The page does not
state whether a websocket takes RSA, too: this was tried on the local exchange only.
"""

from __future__ import annotations

import hashlib

import orjson

from ...model.time import MILLISECOND_NS
from ..order_codec import At, Draft, Signed
from ..signing import JSON, Headers, SigningKey, encoded, signed_request, whole_window, with_query
from .spec import OFFER, WRITTEN

LONGEST_MS = int(OFFER.max_validity_s * 1000)
AS_IT_CAME = "%"  # order/open-order.mdx, nextPageCursor: its example is written with % already


class BybitAuth(SigningKey):
    """One API key of Bybit."""

    __slots__ = ()
    exchange = "bybit"
    kinds = ("hmac", "rsa")

    def sign(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Sign for REST; a POST carries its parameters as JSON.

        Raises:
            Misconfigured: the connector does not allow this validity window.
        """
        now_ms, end_ns = whole_window(now_ns, validity_ms, LONGEST_MS)
        method, path = draft.rest
        query, body = encoded(draft.params, AS_IT_CAME), b""
        if method == "POST":
            query, body = "", _json(draft)
        proof: Headers = ()
        if draft.signed:
            proof = (
                ("X-BAPI-API-KEY", self._api_key),
                ("X-BAPI-TIMESTAMP", str(now_ms)),
                ("X-BAPI-RECV-WINDOW", str(validity_ms)),
                ("X-BAPI-SIGN", self.signature(f"{now_ms}{self._api_key}{validity_ms}{query}{body.decode()}")),
            )
        path, headers = with_query(path, query), (JSON,) if method == "POST" else ()
        text = f"{method} {path} {body.decode()}".rstrip()
        return signed_request(draft, request_id, At(end_ns), path, text, headers=headers, proof=proof, body=body)

    def sign_call(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Write a frame for the websocket that takes orders. The connection is authenticated, so a frame has no
        signature.

        Raises:
            NotOffered: that websocket has no such method.
            Misconfigured: as `sign`.
        """
        if draft.call is None:
            return super().sign_call(draft, request_id, now_ns, validity_ms)
        now_ms, end_ns = whole_window(now_ns, validity_ms, LONGEST_MS)
        header, body = {"X-BAPI-TIMESTAMP": str(now_ms), "X-BAPI-RECV-WINDOW": str(validity_ms)}, _json(draft)
        args = [orjson.Fragment(body)]
        frame = orjson.dumps({"reqId": request_id, "header": header, "op": draft.call, "args": args})
        digest = hashlib.sha256(frame).hexdigest()
        return Signed(draft, request_id, At(end_ns), f"{draft.call} {body.decode()}", digest, call=frame)

    def auth(self, now_ns: int, validity_ms: int) -> bytes:
        """Return the message that authenticates a websocket connection (websocket/wss-authentication.mdx)."""
        expires = now_ns // MILLISECOND_NS + validity_ms
        return orjson.dumps({"op": "auth", "args": [self._api_key, expires, self.signature(f"GET/realtime{expires}")]})


def _json(draft: Draft) -> bytes:
    """Return the parameters as JSON."""
    return orjson.dumps({name: orjson.Fragment(text) if name in WRITTEN else text for name, text in draft.params})
