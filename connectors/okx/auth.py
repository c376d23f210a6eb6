"""Signing for OKX: HMAC-SHA256 in base64, with a passphrase.

REST signs timestamp, method, path with query, and body. The exchange refuses a request whose timestamp is more than 30
seconds from its own clock, and has no parameter for a shorter window. So the connector sets the timestamp back: the
exchange then refuses any request exactly `validity_ms` from now. Placing and amending also send `expTime`, which the
exchange checks again before it executes the request.

Source: overview/rest/authentication-{making-requests, signature}.md, overview/transaction/timeouts.md, read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from ...model.errors import Misconfigured
from ...model.time import MILLISECOND_NS, SECOND_NS
from ..order_codec import At, Draft, Kind, Signed
from ..signing import (
    JSON,
    Headers,
    SigningKey,
    encoded,
    is_sendable,
    rfc3339_text,
    signed_request,
    whole_window,
    with_query,
)
from .spec import DEMO_HEADER

WINDOW_MS = 30_000  # making-requests.md, OK-ACCESS-TIMESTAMP
BATCHES = frozenset({Kind.BATCH_PLACE, Kind.BATCH_CANCEL})  # each parameter is the JSON of one order
EXPIRING = frozenset({Kind.PLACE, Kind.AMEND, Kind.BATCH_PLACE})  # timeouts.md: the endpoints that read `expTime`
BOOLEANS = frozenset({"banAmend", "cxlOnFail"})


def json_of(params: Iterable[tuple[str, str]]) -> bytes:
    """Return the parameters of one order as JSON."""
    return orjson.dumps(
        {name: value == "true" if name in BOOLEANS else value for name, value in params if name != DEMO_HEADER[0]}
    )


class OkxAuth(SigningKey):
    """One API key of OKX. Raises Misconfigured as `SigningKey`, and without a passphrase."""

    __slots__ = ("_passphrase",)
    exchange = "okx"
    writes_base64 = True

    def __init__(self, kind: str, api_key: str, secret: str | bytes, passphrase: Any = None, **fields: Any) -> None:
        super().__init__(kind, api_key, secret, **fields)
        if not passphrase:
            raise Misconfigured("the API key", "has no passphrase: add the key again with `venuemesh keys add`")
        self._passphrase = str(passphrase)
        if not is_sendable(self._passphrase):
            raise Misconfigured("the passphrase of the API key", "it has characters that no passphrase has")

    def sign(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Sign for REST; a POST carries its parameters as JSON.

        Raises:
            Misconfigured: the exchange does not accept this validity window.
        """
        method, path = draft.rest
        now_ms, end_ns = whole_window(now_ns, validity_ms, WINDOW_MS)
        params = [(name, value) for name, value in draft.params if name != DEMO_HEADER[0]]
        body = b""
        if draft.kind in BATCHES:
            body = f"[{','.join(row for _, row in params)}]".encode()
        elif method == "POST":
            body = json_of(params)
        path = with_query(path, "" if method == "POST" else encoded(params))
        headers: Headers = ((JSON,) if body else ()) + ((DEMO_HEADER,) if len(params) < len(draft.params) else ())
        if draft.kind in EXPIRING:
            headers = (*headers, ("expTime", str(now_ms + validity_ms)))
        proof: Headers = ()
        if draft.signed:
            stamp = rfc3339_text((now_ms - WINDOW_MS + validity_ms) * MILLISECOND_NS)
            proof = (
                ("OK-ACCESS-KEY", self._api_key),
                ("OK-ACCESS-SIGN", self.signature(f"{stamp}{method}{path}{body.decode()}")),
                ("OK-ACCESS-TIMESTAMP", stamp),
                ("OK-ACCESS-PASSPHRASE", self._passphrase),
            )
        text = f"{method} {path} {body.decode()}".rstrip()
        return signed_request(draft, request_id, At(end_ns), path, text, headers=headers, proof=proof, body=body)

    def login(self, now_ns: int) -> bytes:
        """Return the message that logs in on the private websocket (overview/websocket/login.md)."""
        stamp = str(now_ns // SECOND_NS)
        sign = self.signature(f"{stamp}GET/users/self/verify")
        args = {"apiKey": self._api_key, "passphrase": self._passphrase, "timestamp": stamp, "sign": sign}
        return orjson.dumps({"op": "login", "args": [args]})
