"""Reads API keys from text. The repr of a key shows no secret, and a key does not pickle."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn, SupportsIndex

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ..model.errors import Misconfigured

HMAC, ED25519, RSA = "hmac", "ed25519", "rsa"
KINDS = (HMAC, ED25519, RSA)
LEAST_RSA_BITS = 2048
MOST_TEXT = 512
_HINT, _HINT_FROM = 4, 16
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")
_TEXT = re.compile(r"[!-~]+")  # printable ASCII without spaces: it goes into a header


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """The API key and secret of one account. Compares by fields; repr and str show neither key nor secret.

    `kind` is "hmac", "ed25519" or "rsa". `secret` is the HMAC secret as the exchange gave it, or a private key as
    unencrypted PKCS #8 PEM. `fields` are further fields of the exchange's keys by name, such as a passphrase.
    """

    exchange: str
    kind: str
    api_key: str
    secret: str
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def hint(self) -> str:
        """Return the first 4 characters of the API key, to recognise the key; empty for a short key."""
        return f"{self.api_key[:_HINT]}..." if len(self.api_key) >= _HINT_FROM else "..."

    def __repr__(self) -> str:
        return f"<Key {self.exchange} {self.kind} {self.hint}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Raises TypeError, because a key must stay in the process that read it."""
        raise TypeError("a Key stays in its process: it cannot be pickled or copied")


def make_key(
    exchange: str,
    api_key: str,
    secret: str,
    *,
    kind: str | None = None,
    pem_passphrase: str | None = None,
    what: str = "secret",
    fields: Mapping[str, str] | None = None,
) -> Key:
    """Check API key and secret and return the key. Without `kind` a PEM header decides; other text is an HMAC secret.

    A PEM with its own passphrase is opened with `pem_passphrase` and kept without the passphrase. `what` names the
    origin of the secret in errors, which never show the secret. `fields` are further fields of the key by name.

    Raises:
        Misconfigured: the API key, the secret or a field is malformed.
    """
    if kind is not None and kind not in KINDS:
        raise Misconfigured("kind of key", f"{kind!r} is not one of {', '.join(KINDS)}")
    if len(api_key) > MOST_TEXT or _TEXT.fullmatch(api_key) is None:
        raise Misconfigured("API key", f"must be 1 to {MOST_TEXT} printable characters without spaces")
    own = dict(fields or {})
    for name, value in own.items():
        if not value or len(value) > MOST_TEXT or not value.isprintable():
            raise Misconfigured(f"{name} of the API key", f"must be 1 to {MOST_TEXT} printable characters")
    header = _PEM.search(secret)
    if header is None:
        if kind not in (None, HMAC):
            raise Misconfigured(what, f"does not contain a PEM private key, which a key of kind {kind} needs")
        if len(secret) > MOST_TEXT or _TEXT.fullmatch(secret) is None:
            raise Misconfigured(
                what, f"must be one line of at most {MOST_TEXT} printable characters, or a PEM private key"
            )
        return Key(exchange, HMAC, api_key, secret, own)
    if kind == HMAC:
        raise Misconfigured(what, "contains a PEM, but the given kind is hmac")
    if "PRIVATE KEY" not in header[1]:
        raise Misconfigured(what, f"contains a PEM of {header[1]}; give the private key instead")
    found, pem = _open_pem(secret, pem_passphrase, what)
    if kind is not None and kind != found:
        raise Misconfigured(what, f"contains a private key of kind {found}, but the given kind is {kind}")
    return Key(exchange, found, api_key, pem, own)


def needs_passphrase(secret: str) -> bool:
    """Return whether this text is a PEM private key with its own passphrase."""
    return "-----BEGIN ENCRYPTED PRIVATE KEY-----" in secret or ("Proc-Type:" in secret and "ENCRYPTED" in secret)


def _open_pem(secret: str, passphrase: str | None, what: str) -> tuple[str, str]:
    if needs_passphrase(secret):
        if passphrase is None:
            raise Misconfigured(
                what,
                "contains a private key with its own passphrase: put it into a keystore with "
                "`venuemesh keys add --secret-file`, which prompts for the passphrase, or remove the passphrase",
            )
    else:
        passphrase = None
    try:
        loaded = load_pem_private_key(secret.encode(), None if passphrase is None else passphrase.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        tried = "" if passphrase is None else ", or its passphrase is wrong"
        raise Misconfigured(what, f"contains a PEM private key that cannot be read{tried}") from None
    if isinstance(loaded, Ed25519PrivateKey):
        kind = ED25519
    elif isinstance(loaded, RSAPrivateKey):
        kind = RSA
        if loaded.key_size < LEAST_RSA_BITS:
            raise Misconfigured(
                what, f"contains an RSA key of {loaded.key_size} bits; at least {LEAST_RSA_BITS} are required"
            )
    else:
        raise Misconfigured(what, "contains a private key that is neither Ed25519 nor RSA")
    return kind, loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
