"""Signing recipes: signatures of texts with each kind of key, and requests with their signatures.

A connector derives its signer from `SigningKey`, builds the text that the exchange requires, and sends the result of
`signature`. An HMAC is hex or base64, as the exchange requires; RSA (PKCS #1 v1.5, SHA-256) and Ed25519 are always
base64. A private key is PEM text, and may have a passphrase.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, NoReturn
from urllib.parse import quote

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ..model.errors import Misconfigured, NotOffered
from ..model.time import MILLISECOND_NS
from .order_codec import Draft, Ends, Signed, SignedRequest

Headers = tuple[tuple[str, str], ...]
FORM = ("Content-Type", "application/x-www-form-urlencoded")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]*")  # text that percent-encoding leaves as it is (RFC 3986, 2.3)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
JSON = ("Content-Type", "application/json")


class SigningKey:
    """One API key that signs texts. Neither its repr nor its errors show a secret.

    A connector's signer sets `exchange` and, if they differ from the defaults, the `kinds` of keys that the exchange
    offers, the `algorithm` of an HMAC, `writes_base64` instead of hex, and `is_base64` for a secret in base64.
    """

    __slots__ = ("_api_key", "_sign", "kind")
    exchange: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]] = ("hmac",)
    algorithm: ClassVar[str] = "sha256"
    writes_base64: ClassVar[bool] = False
    is_base64: ClassVar[bool] = False

    def __init__(
        self, kind: str, api_key: str, secret: str | bytes, passphrase: str | bytes | None = None, **fields: Any
    ) -> None:
        """Read a key; `passphrase` opens a protected private key. Raises Misconfigured: not a key of this kind."""
        for name in fields:
            raise Misconfigured("the API key", f"keys of {self.exchange} have no {name}")
        if not is_sendable(api_key) or " " in api_key:
            raise Misconfigured("the API key", "it is empty or has characters that no key has")
        if kind not in self.kinds:
            raise Misconfigured("the kind of key", f"{kind!r} is not {' or '.join(self.kinds)}")
        raw = secret.encode() if isinstance(secret, str) else secret
        self.kind, self._api_key = kind, api_key
        self._sign = self._hmac(raw.strip()) if kind == "hmac" else _by_private_key(kind, raw, passphrase)

    def _hmac(self, secret: bytes) -> Callable[[bytes], bytes]:
        """Return the HMAC secret as bytes, without a line break at its end, which files usually have."""
        algorithm = self.algorithm
        if not secret or b"-----BEGIN" in secret:
            raise Misconfigured("the hmac key", "its secret is empty, or is a private key of another kind")
        if self.is_base64:
            secret = _from_base64(secret)
        return lambda payload: hmac.digest(secret, payload, algorithm)

    @property
    def key_hint(self) -> str:
        return f"{self._api_key[:4]}..." if len(self._api_key) > 8 else "..."

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.kind}, {self.key_hint})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled: it stays in the process that signs")

    def signature(self, payload: str | bytes) -> str:
        """Sign a payload, a text as UTF-8; return hex or base64, not percent-encoded."""
        signed = self._sign(payload.encode() if isinstance(payload, str) else payload)
        return signed.hex() if self.kind == "hmac" and not self.writes_base64 else b64encode(signed).decode()

    def sign_call(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Raises NotOffered: the exchange takes no such request over a websocket."""
        raise NotOffered(self.exchange, f"{draft.rest[0]} {draft.rest[1]} over a websocket")


class PassphraseKey(SigningKey):
    """A key with a passphrase, which goes out with each request; it is one of the connector's `key_fields`."""

    __slots__ = ("_passphrase",)

    def __init__(self, kind: str, api_key: str, secret: str | bytes, passphrase: Any = None, **fields: Any) -> None:
        """Raises Misconfigured as `SigningKey`, and without a passphrase that a header can carry."""
        super().__init__(kind, api_key, secret, **fields)
        if not passphrase:
            raise Misconfigured("the API key", "has no passphrase: add the key again with `venuemesh keys add`")
        self._passphrase = str(passphrase)
        if not is_sendable(self._passphrase):
            raise Misconfigured("the passphrase of the API key", "it has characters that no passphrase has")


def is_sendable(text: str) -> bool:
    """Return whether a header can carry a text."""
    return bool(text) and text.isascii() and text.isprintable()


def _from_base64(secret: bytes) -> bytes:
    try:
        decoded = b64decode(secret, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""  # do not chain the error: its text may quote the secret
    if not decoded:
        raise Misconfigured("the hmac key", "its secret is not base64 text")
    return decoded


def _by_private_key(kind: str, pem: bytes, passphrase: str | bytes | None) -> Callable[[bytes], bytes]:
    word = passphrase.encode() if isinstance(passphrase, str) else passphrase
    try:
        key = load_pem_private_key(pem, word)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None  # do not chain the error: its text may quote the key
    if kind == "rsa" and isinstance(key, RSAPrivateKey):
        padding, algorithm = PKCS1v15(), SHA256()
        return lambda payload: key.sign(payload, padding, algorithm)
    if kind == "ed25519" and isinstance(key, Ed25519PrivateKey):
        return key.sign
    raise Misconfigured(
        f"the {kind} key", f"the secret is not a private key of the kind {kind} in PEM form, or its passphrase is wrong"
    )


def whole_window(now_ns: int, validity_ms: int, longest_ms: int) -> tuple[int, int]:
    """Return the current ms, and the last ns at which an exchange with a clock of whole ms accepts the request.

    Raises:
        Misconfigured: the window is not between 1 and `longest_ms`.
    """
    if not 1 <= validity_ms <= longest_ms:
        raise Misconfigured("the validity window", f"{validity_ms} ms is not between 1 and {longest_ms}")
    now_ms = now_ns // MILLISECOND_NS
    return now_ms, (now_ms + validity_ms + 1) * MILLISECOND_NS - 1


def encoded(params: Iterable[tuple[str, str]], safe: str = "") -> str:
    """Return parameters as a query, percent-encoded (RFC 3986, UTF-8) except for `safe`; a space is %20."""
    pairs = list(params)
    if _UNRESERVED.fullmatch("".join([f"{name}{value}" for name, value in pairs])):  # nothing to encode, as mostly
        return "&".join([f"{name}={value}" for name, value in pairs])
    return "&".join([f"{quote(name, safe='')}={quote(value, safe=safe)}" for name, value in pairs])


def rfc3339_text(ns: int) -> str:
    """Return a time as text with milliseconds: "2020-12-08T09:08:57.715Z"."""
    return (EPOCH + timedelta(microseconds=ns // 1000)).isoformat("T", "milliseconds").replace("+00:00", "Z")


def with_query(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path


def signed_request(
    draft: Draft,
    request_id: str,
    ends: Ends,
    path: str,
    text: str,
    *,
    headers: Headers = (),
    proof: Headers = (),
    body: bytes = b"",
) -> Signed:
    """Return the request of a draft to `path` with its query. `text` is for the journal; `proof` are the headers with
    the signature, which are part of the digest."""
    method, url = draft.rest[0], draft.host + path
    request = SignedRequest(method, url, (*draft.headers, *headers, *proof), body, draft.cost)
    signs = f"{method} {url} {proof}\n" if proof else f"{method} {url}\n"
    digest = hashlib.sha256(signs.encode() + body).hexdigest()
    return Signed(draft, request_id, ends, text, digest, request=request)
