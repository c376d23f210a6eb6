"""Signing for OKX: HMAC-SHA256 in base64, with a passphrase.

REST signs timestamp, method, path with query, and body. The exchange refuses a request whose timestamp is more than 30
seconds from its own clock, and has no parameter for a shorter window. So the connector sets the timestamp back: the
exchange then refuses any request exactly `validity_ms` from now. Placing and amending also send `expTime`, which the
exchange checks again before it executes the request.

On the websocket that takes orders the login authenticates the connection (`login`), and a call has no signature. A call
names its pair by a number (`instIdCode`), REST by its symbol; a draft has both. No timestamp ends a cancel by the
websocket. It counts as ended after its validity all the same, a guess of ours: one that the exchange executes later
still does what was wanted, and is reported as the end of its order.

Source: overview/rest/authentication-{making-requests, signature}.md, overview/transaction/timeouts.md,
overview/websocket/login.md, order/book/trading-trade-ws-place-order.md, read 2026-11-27.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

import orjson

from ...model.time import MILLISECOND_NS, SECOND_NS
from ..order_codec import At, Draft, Kind, Signed
from ..signing import (
    JSON,
    Headers,
    PassphraseKey,
    encoded,
    rfc3339_text,
    signed_request,
    whole_window,
    with_query,
)

WINDOW_MS = 30_000  # making-requests.md, OK-ACCESS-TIMESTAMP
BATCHES = frozenset({Kind.BATCH_PLACE, Kind.BATCH_CANCEL})  # each parameter is the JSON of one order
EXPIRING = frozenset({Kind.PLACE, Kind.AMEND, Kind.BATCH_PLACE})  # timeouts.md: the endpoints that read `expTime`
BOOLEANS = frozenset({"banAmend", "cxlOnFail"})
SYMBOL, CODE = "instId", "instIdCode"  # the two names of a pair: over REST, and in calls
NO_ID = re.compile("[^A-Za-z0-9]")


def row_of(params: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the parameters of one order with their types."""
    row: dict[str, Any] = dict(params)
    row |= {name: row[name] == "true" for name in BOOLEANS & row.keys()}
    return row | ({CODE: int(row[CODE])} if CODE in row else {})


def rows_of(draft: Draft, left_out: str = "") -> list[dict[str, Any]]:
    """Return the orders of a request, without one of the two names of their pairs."""
    rows = [orjson.loads(text) for _, text in draft.params] if draft.kind in BATCHES else [row_of(draft.params)]
    for row in rows:
        row.pop(left_out, None)
    return rows


class OkxAuth(PassphraseKey):
    """One API key of OKX. Raises Misconfigured as `PassphraseKey`, and without a passphrase."""

    __slots__ = ()
    exchange = "okx"
    writes_base64 = True

    def sign(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Sign for REST; a POST carries its parameters as JSON.

        Raises:
            Misconfigured: the exchange does not accept this validity window.
        """
        method, path = draft.rest
        now_ms, end_ns = whole_window(now_ns, validity_ms, WINDOW_MS)
        body = b""
        if method == "POST":
            rows = rows_of(draft, CODE)
            body = orjson.dumps(rows if draft.kind in BATCHES else rows[0])
        path = with_query(path, "" if method == "POST" else encoded(draft.params))
        headers: Headers = (JSON,) if body else ()
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

    def sign_call(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Write a call; the exchange takes only letters and digits as its id.

        Raises:
            NotOffered: the websocket has no such method, or the exchange listed no number of the pair.
            Misconfigured: as `sign`.
        """
        if draft.call is None:
            return super().sign_call(draft, request_id, now_ns, validity_ms)
        now_ms, end_ns = whole_window(now_ns, validity_ms, WINDOW_MS)
        args, number = rows_of(draft, SYMBOL), NO_ID.sub("x", request_id)
        message = {"id": number, "op": draft.call, "args": args}
        if draft.kind in EXPIRING:
            message["expTime"] = str(now_ms + validity_ms)
        frame, text = orjson.dumps(message), f"{draft.call} {orjson.dumps(args).decode()}"
        digest = hashlib.sha256(frame).hexdigest()
        return Signed(draft, request_id, At(end_ns), text, digest, call=frame, call_id=number)

    def login(self, now_ns: int) -> bytes:
        """Return the message that logs in on the private websocket (overview/websocket/login.md)."""
        stamp = str(now_ns // SECOND_NS)
        sign = self.signature(f"{stamp}GET/users/self/verify")
        args = {"apiKey": self._api_key, "passphrase": self._passphrase, "timestamp": stamp, "sign": sign}
        return orjson.dumps({"op": "login", "args": [args]})
