"""Checks signatures: HMAC with a shared secret, RSA and Ed25519 with a public key. Pure."""

from __future__ import annotations

import base64
import binascii
import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey


def is_hmac(secret: bytes, payload: bytes, digest: bytes, algorithm: str = "sha256") -> bool:
    """Return whether `digest` is the HMAC of `payload`, compared in constant time."""
    return hmac.compare_digest(hmac.new(secret, payload, algorithm).digest(), digest)


def is_signed(verifier: RSAPublicKey | Ed25519PublicKey, payload: bytes, signature: bytes) -> bool:
    """Return whether `signature` is the RSA (PKCS #1 v1.5, SHA-256) or Ed25519 signature of `payload`."""
    try:
        if isinstance(verifier, RSAPublicKey):
            verifier.verify(signature, payload, padding.PKCS1v15(), hashes.SHA256())
        else:
            verifier.verify(signature, payload)
    except InvalidSignature:
        return False
    return True


def is_by(verifier: bytes | RSAPublicKey | Ed25519PublicKey, payload: bytes, signature: str) -> bool:
    """Return whether `signature` is the key's signature of `payload`: HMAC-SHA256 as hex in any case, all else as
    base64."""
    if isinstance(verifier, bytes):
        digest = from_hex(signature)
        return digest is not None and is_hmac(verifier, payload, digest)
    raw = from_base64(signature)
    return raw is not None and is_signed(verifier, payload, raw)


def from_hex(text: str) -> bytes | None:
    """Return the bytes of hexadecimal digits in any case; None for other text."""
    try:
        return binascii.unhexlify(text)
    except (binascii.Error, ValueError):
        return None


def from_base64(text: str) -> bytes | None:
    """Return the bytes of base64 text; None for other text."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
