"""Signs HTX's requests and the message that authenticates a private websocket.

The signed text has the method, the host, the path and the query in the order of ASCII, not the body of a POST. A
request is valid for five minutes from its timestamp of whole seconds, so a shorter validity is an earlier timestamp.

Source: authentication.md of rosssaunders/coincise, docs/htx (2025-11), and Generating Signature of
docs/htx/spot/private_websocket_api.md, read 2026-11-28. Whether the five minutes end in the middle of a second is not
stated: `ends` is the latest possible time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson

from ...model.time import MILLISECOND_NS, SECOND_NS
from ..order_codec import At, Draft, Kind, Signed
from ..signing import JSON, Headers, SigningKey, encoded, signed_request, whole_window, with_query

WINDOW_S = 300
LONGEST_MS = (WINDOW_S + 1) * 1000
METHODS = {"hmac": "HmacSHA256", "ed25519": "Ed25519"}
STREAM = "/ws/v2"
ORDERS = "orders"  # the parameter whose text is the whole body: the list of a batch of orders
# Parameters that are JSON already: /v1/order/orders/batchcancel, /v2/algo-orders/cancel-all-after
WRITTEN = frozenset({"order-ids", "client-order-ids", "timeout"})


class HtxAuth(SigningKey):
    """One API key of HTX: an HMAC secret, or an Ed25519 private key in PEM form. Raises Misconfigured."""

    __slots__ = ()
    exchange = "htx"
    kinds = ("hmac", "ed25519")
    writes_base64 = True

    def sign(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Sign for REST.

        Raises:
            Misconfigured: the exchange does not accept this validity window.
        """
        method, path = draft.rest
        stamp, ends_ns = _stamp(now_ns, validity_ms)
        is_post = method == "POST"
        asked, body = () if is_post else draft.params, _body(draft) if is_post else b""
        shown = with_query(path, encoded(asked))
        if draft.signed:
            proof = {"AccessKeyId": self._api_key, "SignatureMethod": METHODS[self.kind], "SignatureVersion": "2"}
            query = encoded(sorted((*asked, *proof.items(), ("Timestamp", stamp))))
            host = urlsplit(draft.host).netloc.lower()
            signature = self.signature(f"{method}\n{host}\n{path}\n{query}")
            path = f"{path}?{query}&{encoded([('Signature', signature)])}"
        else:
            path = shown
        headers: Headers = (JSON,) if is_post else ()
        text = f"{method} {shown} {body.decode()}".rstrip()
        return signed_request(draft, request_id, At(ends_ns), path, text, headers=headers, body=body)

    def authenticate(self, url: str, now_ns: int, validity_ms: int) -> bytes:
        """Return the message that authenticates a private websocket at `url`."""
        stamp, _ = _stamp(now_ns, validity_ms)
        signs = {"accessKey": self._api_key, "signatureMethod": METHODS[self.kind], "signatureVersion": "2.1"}
        signs["timestamp"] = stamp
        host = urlsplit(url).netloc.lower()
        signature = self.signature(f"GET\n{host}\n{STREAM}\n{encoded(sorted(signs.items()))}")
        params: dict[str, Any] = {"authType": "api", **signs, "signature": signature}
        return orjson.dumps({"action": "req", "ch": "auth", "params": params})


def _stamp(now_ns: int, validity_ms: int) -> tuple[str, int]:
    """Return a timestamp whose window ends within the validity, and the last ns of that window."""
    whole_window(now_ns, validity_ms, LONGEST_MS)
    ends_s = (now_ns // MILLISECOND_NS + validity_ms) // 1000
    moment = datetime.fromtimestamp(ends_s - WINDOW_S - 1, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S"), ends_s * SECOND_NS - 1


def _body(draft: Draft) -> bytes:
    """Return the body of a POST."""
    if draft.kind is Kind.BATCH_PLACE:
        return dict(draft.params)[ORDERS].encode()
    return orjson.dumps({name: orjson.Fragment(text) if name in WRITTEN else text for name, text in draft.params})
