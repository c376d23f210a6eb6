"""API keys of accounts: an HMAC secret, or the public half of an RSA or Ed25519 pair.

Source: faqs/api_key_types.md, rest-api.md (Request Security), read 2026-11-22.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from ...model.errors import Misconfigured

LARGEST_FILE = 16_384


@dataclass(slots=True, eq=False)
class ApiKey:
    """One key of an account: `name` is what clients send, `verifier` what checks their signatures.

    The verifier is an HMAC secret as bytes, or a public key; it is in no repr. A key may read (USER_DATA,
    USER_STREAM), trade (TRADE), or both; a revoked one may nothing.
    """

    name: str
    verifier: bytes | RSAPublicKey | Ed25519PublicKey = field(repr=False)
    can_read: bool = True
    can_trade: bool = True
    revoked: bool = False

    @property
    def kind(self) -> str:
        """HMAC, RSA or ED25519."""
        if isinstance(self.verifier, bytes):
            return "HMAC"
        return "RSA" if isinstance(self.verifier, RSAPublicKey) else "ED25519"

    def signed(self, payload: bytes, signature: str) -> bool:
        """Whether `signature` is this key's of `payload`: hex in any case for HMAC, else base64."""
        if isinstance(self.verifier, bytes):
            expected = hmac.new(self.verifier, payload, hashlib.sha256).hexdigest()
            return signature.isascii() and hmac.compare_digest(expected, signature.lower())
        try:
            raw = base64.b64decode(signature, validate=True)
            if isinstance(self.verifier, RSAPublicKey):
                self.verifier.verify(raw, payload, padding.PKCS1v15(), hashes.SHA256())
            else:
                self.verifier.verify(raw, payload)
        except (binascii.Error, ValueError, InvalidSignature):
            return False
        return True


def public_key(name: str, pem: bytes) -> ApiKey:
    """Make a key of a PEM public key.

    Raises:
        Misconfigured: not a PEM public key, or of another kind than RSA (2048 bits and more) and Ed25519.
    """
    try:
        loaded = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise Misconfigured("account key", f"{name}: not a public key in PEM") from None
    if isinstance(loaded, RSAPublicKey) and loaded.key_size >= 2048:
        return ApiKey(name, loaded)
    if isinstance(loaded, Ed25519PublicKey):
        return ApiKey(name, loaded)
    raise Misconfigured("account key", f"{name}: neither Ed25519 nor RSA of 2048 bits")


def parse_account_key(text: str) -> tuple[str, ApiKey]:
    """Read `NAME:KEY:SECRET` or `NAME:KEY:@/path/to/public.pem`; return the account's name and its further key.

    A suffix `:read` or `:trade` leaves the key only that permission.

    Raises:
        Misconfigured: what is wrong, without repeating the secret.
    """
    parts = text.split(":")
    only = parts.pop() if len(parts) == 4 and parts[3] in ("read", "trade") else None
    if len(parts) != 3 or not all(parts):
        raise Misconfigured("account key", "expected NAME:KEY:SECRET or NAME:KEY:@/path/to/public.pem")
    account, name, secret = parts
    if secret.startswith("@"):
        path = Path(secret[1:])
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise Misconfigured("account key", f"{name}: {path} is too large for a public key")
            key = public_key(name, path.read_bytes())
        except OSError as error:
            raise Misconfigured("account key", f"{name}: cannot read {path}: {error.strerror}") from None
    else:
        key = ApiKey(name, secret.encode())
    key.can_read = only != "trade"
    key.can_trade = only != "read"
    return account, key
