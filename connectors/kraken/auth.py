"""Signing for Kraken: HMAC-SHA512 over the path and the SHA-256 of nonce and body, with a secret in base64.

A new order, a batch of orders and an amendment carry a deadline, after which the matching engine refuses them. Other
requests over REST have no deadline: a later nonce of the same key ends their validity. A call over the websocket has no
signature and no nonce; it carries the token of its connection.

Source: guides/spot-rest-auth, rest-api/add-order, rest-api/amend-order, websocket-v2/add_order of docs.kraken.com, read
2026-11-27.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import orjson

from ...model.errors import Misconfigured
from ...model.time import MILLISECOND_NS
from ..order_codec import At, Draft, Ends, Kind, Never, Signed, WhenSuperseded
from ..signing import FORM, JSON, Headers, SigningKey, rfc3339_text, signed_request, with_query
from .calls import number_of, params_of
from .spec import OFFER

TIMED = (Kind.PLACE, Kind.AMEND, Kind.BATCH_PLACE)
BATCHES = (Kind.BATCH_PLACE, Kind.BATCH_CANCEL)
AS_JSON = ("orders", "cl_ord_ids", "nonce")  # parameters of a batch: lists, and a number


class KrakenAuth(SigningKey):
    """One API key of Kraken."""

    __slots__ = ("token",)
    exchange = "kraken"
    algorithm, writes_base64, is_base64 = "sha512", True, True

    def __init__(self, kind: str, api_key: str, secret: str | bytes, **fields: Any) -> None:
        super().__init__(kind, api_key, secret, **fields)
        self.token = ""  # of the connection that takes calls

    def api_sign(self, path: str, nonce: str, body: str) -> str:
        """Return the `API-Sign` of a body that carries this nonce."""
        return self.signature(path.encode() + hashlib.sha256((nonce + body).encode()).digest())

    def sign(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Sign for REST. A draft without a nonce gets the time in ms.

        Raises:
            Misconfigured: the exchange does not accept this validity window.
        """
        method, path = draft.rest
        params = list(draft.params)
        nonce = now_ns // MILLISECOND_NS if draft.nonce is None else draft.nonce
        ends: Ends = WhenSuperseded(nonce) if draft.signed else Never()
        if draft.kind in TIMED:
            ends = At(_deadline(now_ns, validity_ms))
            params.append(("deadline", rfc3339_text(ends.ns)))
        if draft.signed:
            params.insert(0, ("nonce", str(nonce)))
        batch = draft.kind in BATCHES
        body = _json(params) if batch else urlencode(params)
        text = f"{method} {with_query(path, body)}"
        proof: Headers = ()
        if draft.signed:
            draft = replace(draft, nonce=nonce)
            proof = (("API-Key", self._api_key), ("API-Sign", self.api_sign(path, str(nonce), body)))
        if method == "GET":
            return signed_request(draft, request_id, ends, with_query(path, body), text)
        return signed_request(
            draft, request_id, ends, path, text, headers=(JSON if batch else FORM,), proof=proof, body=body.encode()
        )

    def sign_call(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Write a call with the token of now.

        A cancel takes no deadline. Our guess: it still counts as ended after its validity, because a cancel that the
        exchange executes later has the wanted effect, and the exchange reports it as the end of its order.

        Raises:
            NotOffered: the websocket has no such method.
            Misconfigured: as `sign`.
        """
        if draft.call is None:
            return super().sign_call(draft, request_id, now_ns, validity_ms)
        params, ends, number = params_of(draft), At(_deadline(now_ns, validity_ms)), number_of(request_id)
        if draft.kind in TIMED:
            params["deadline"] = rfc3339_text(ends.ns)
        text = f"{draft.call} {orjson.dumps(params).decode()}"
        frame = orjson.dumps({"method": draft.call, "params": params | {"token": self.token}, "req_id": number})
        digest = hashlib.sha256(frame).hexdigest()
        return Signed(draft, request_id, ends, text, digest, call=frame, call_id=str(number))


def _json(params: Iterable[tuple[str, str]]) -> str:
    """Return the parameters as JSON, for batches: a form cannot carry a list (rest-api/add-order-batch,
    cancel-order-batch)."""
    made = {name: orjson.Fragment(value) if name in AS_JSON else value for name, value in params}
    return orjson.dumps(made).decode()


def _deadline(now_ns: int, validity_ms: int) -> int:
    least, most = OFFER.min_validity_s * 1000, OFFER.max_validity_s * 1000
    if not least <= validity_ms <= most:
        raise Misconfigured("the validity window", f"{validity_ms} ms is not within {least:g} and {most:g}")
    return (now_ns // MILLISECOND_NS + validity_ms) * MILLISECOND_NS
