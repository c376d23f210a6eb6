"""Signing for Coinbase Exchange: HMAC-SHA256 in base64 with a secret in base64, and a passphrase.

REST signs the time in seconds, method, path with query, and body; a subscription signs GET /users/self/verify. The
exchange refuses a request whose time is more than 30 seconds from its own clock, and has no parameter for a shorter
window. So the connector sets the time back: the exchange then refuses any request exactly `validity_ms` from now.

The manual calls the signed path "only the path of the endpoint"; that the query belongs to it is known from public
clients.

Source: private_rest_api.md at 1ae34ec2 of rosssaunders/coincise, docs/coinbase/exchange (REST API Authentication);
websocket_api.md at 7b30bfe2 (websocket-best-practices); read 2026-11-28.
"""

from __future__ import annotations

import orjson

from ...model.time import MILLISECOND_NS
from ..order_codec import At, Draft, Signed
from ..signing import JSON, Headers, PassphraseKey, encoded, signed_request, whole_window, with_query

WINDOW_MS = 30_000  # Selecting a Timestamp
VERIFY = "GET/users/self/verify"
BOOLEANS = frozenset({"post_only"})


class CoinbaseAuth(PassphraseKey):
    """One API key of Coinbase Exchange. Raises Misconfigured as `PassphraseKey`, and without a passphrase."""

    __slots__ = ()
    exchange = "coinbase"
    writes_base64, is_base64 = True, True

    def sign(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Sign for REST; a POST carries its parameters as JSON.

        Raises:
            Misconfigured: the exchange does not accept this validity window.
        """
        method, path = draft.rest
        now_ms, end_ns = whole_window(now_ns, validity_ms, WINDOW_MS)
        body = b""
        if method == "POST":
            body = orjson.dumps({name: value == "true" if name in BOOLEANS else value for name, value in draft.params})
        else:
            path = with_query(path, encoded(draft.params))
        headers: Headers = (JSON,) if body else ()
        proof: Headers = ()
        if draft.signed:
            stamp = seconds_text(now_ms - WINDOW_MS + validity_ms)
            proof = (
                ("CB-ACCESS-KEY", self._api_key),
                ("CB-ACCESS-SIGN", self.signature(f"{stamp}{method}{path}{body.decode()}")),
                ("CB-ACCESS-TIMESTAMP", stamp),
                ("CB-ACCESS-PASSPHRASE", self._passphrase),
            )
        text = f"{method} {path} {body.decode()}".rstrip()
        return signed_request(draft, request_id, At(end_ns), path, text, headers=headers, proof=proof, body=body)

    def proof(self, now_ns: int) -> dict[str, str]:
        """Return the fields that sign a subscription."""
        stamp = seconds_text(now_ns // MILLISECOND_NS)
        signature = self.signature(f"{stamp}{VERIFY}")
        return {"signature": signature, "key": self._api_key, "passphrase": self._passphrase, "timestamp": stamp}


def seconds_text(ms: int) -> str:
    """Write a time in seconds with three decimals."""
    return f"{ms // 1000}.{ms % 1000:03d}"
