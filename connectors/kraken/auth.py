"""Signing for Kraken: HMAC-SHA512 over the path and the SHA-256 of nonce and body, under a secret in base64.

A new order and an amendment carry a deadline, after which the matching engine refuses them. Nothing of the kind exists
for other requests: a later nonce of the same key ends their validity.

Source: guides/spot-rest-auth, rest-api/add-order, rest-api/amend-order of docs.kraken.com, read 2026-11-27.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from dataclasses import replace
from datetime import UTC, datetime
from typing import NoReturn
from urllib.parse import urlencode

from ...model.errors import Misconfigured, NotOffered
from ...model.http import HttpRequest
from ...model.time import MILLISECOND_NS, SECOND_NS
from ..order_codec import At, Draft, Ends, Kind, Never, Signed, SignedRequest, WhenSuperseded
from .spec import OFFER

FORM = ("Content-Type", "application/x-www-form-urlencoded")
TIMED = (Kind.PLACE, Kind.AMEND)


class KrakenAuth:
    """One API key."""

    __slots__ = ("_api_key", "_secret")

    def __init__(self, api_key: str, secret: bytes) -> None:
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise Misconfigured("the API key", "it is empty or holds characters that no key has")
        self._api_key, self._secret = api_key, secret

    @property
    def key_hint(self) -> str:
        return f"{self._api_key[:4]}..." if len(self._api_key) > 8 else "..."

    def __repr__(self) -> str:
        return f"KrakenAuth({self.key_hint})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled: it stays in the process that signs")

    def signature(self, path: str, nonce: str, body: str) -> str:
        """Return the `API-Sign` of a body that carries this nonce."""
        digest = hashlib.sha256((nonce + body).encode()).digest()
        return b64encode(hmac.digest(self._secret, path.encode() + digest, "sha512")).decode()

    def sign(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Sign for REST. A draft without a nonce gets the time in ms.

        Raises:
            Misconfigured: a validity window that the exchange does not take.
        """
        method, path = draft.rest
        params, headers = list(draft.params), [FORM]
        nonce = now_ns // MILLISECOND_NS if draft.nonce is None else draft.nonce
        ends: Ends = WhenSuperseded(nonce) if draft.signed else Never()
        if draft.kind in TIMED:
            deadline_ns = self._deadline(now_ns, validity_ms)
            params.append(("deadline", _rfc3339(deadline_ns)))
            ends = At(deadline_ns)
        if draft.signed:
            params.insert(0, ("nonce", str(nonce)))
        body = urlencode(params)
        if draft.signed:
            headers += [("API-Key", self._api_key), ("API-Sign", self.signature(path, str(nonce), body))]
        text = f"{method} {path}?{body}" if body else f"{method} {path}"
        url = draft.host + path
        if method == "GET":
            request: HttpRequest = SignedRequest(method, f"{url}?{body}" if body else url, (), b"", draft.cost)
        else:
            request = SignedRequest(method, url, tuple(headers), body.encode(), draft.cost)
        digest = hashlib.sha256(f"{method} {request.url}\n".encode() + request.body).hexdigest()
        return Signed(replace(draft, nonce=nonce) if draft.signed else draft, request_id, ends, text, digest, request)

    def sign_call(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Raises NotOffered: websocket requests carry a token, not a signature."""
        raise NotOffered("kraken", "signed requests over a websocket")

    @staticmethod
    def _deadline(now_ns: int, validity_ms: int) -> int:
        least, most = OFFER.min_validity_s * 1000, OFFER.max_validity_s * 1000
        if not least <= validity_ms <= most:
            raise Misconfigured("the validity window", f"{validity_ms} ms is not within {least:g} and {most:g}")
        return now_ns // MILLISECOND_NS * MILLISECOND_NS + validity_ms * MILLISECOND_NS


def _rfc3339(ns: int) -> str:
    whole = datetime.fromtimestamp(ns // SECOND_NS, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{ns % SECOND_NS // MILLISECOND_NS:03d}Z"


def read_key(kind: str, api_key: str, secret: str | bytes) -> KrakenAuth:
    """Return the key that signs.

    Raises:
        Misconfigured: another kind than "hmac", or a secret that is not base64.
    """
    if kind != "hmac":
        raise Misconfigured("the kind of key", f"{kind!r} is not hmac, the one that Kraken has")
    raw = secret.encode() if isinstance(secret, str) else secret
    try:
        decoded = b64decode(raw.strip(), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""  # the text of the error may quote the secret
    if not decoded:
        raise Misconfigured("the hmac key", "its secret is empty, or is not the base64 text that Kraken gives")
    return KrakenAuth(api_key, decoded)
