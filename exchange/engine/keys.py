"""API keys of accounts: an HMAC secret, or the public half of an RSA or Ed25519 pair."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from ...model.errors import Misconfigured

LARGEST_FILE = 16_384


PASSPHRASE = "passphrase"  # of a key without a configured passphrase


@dataclass(slots=True, eq=False)
class ApiKey:
    """One key of an account: clients send `name`, and `verifier` checks their signatures.

    The verifier is an HMAC secret as bytes, or a public key; no repr shows it. The protocol defines how a
    signature is made (`wire.signatures` has the parts). `passphrase` is for protocols whose keys have one.
    A revoked key has no permission.
    """

    name: str
    verifier: bytes | RSAPublicKey | Ed25519PublicKey = field(repr=False)
    can_read: bool = True
    can_trade: bool = True
    revoked: bool = False
    passphrase: str = field(default=PASSPHRASE, repr=False)

    @property
    def kind(self) -> str:
        """HMAC, RSA or ED25519."""
        if isinstance(self.verifier, bytes):
            return "HMAC"
        return "RSA" if isinstance(self.verifier, RSAPublicKey) else "ED25519"


def public_key(name: str, pem: bytes) -> ApiKey:
    """Make a key of a PEM public key.

    Raises:
        Misconfigured: not a public key in PEM form, or neither RSA (at least 2048 bits) nor Ed25519.
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
