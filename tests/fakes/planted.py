"""Keys that can be recognised in any place, and a search for them in text and files.

The values are new in every run, so a find is of this run. The search is for the API key, the secret (of a PEM its
longest line, which identifies it) and passphrases, each in plain form and as base64, hex and URL encoding.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

CHUNK = 4 * 1024 * 1024


@dataclass(frozen=True)
class Planted:
    """One planted key. `public_pem` is for the exchange's side; None of an HMAC key."""

    kind: str
    api_key: str
    secret: str
    public_pem: str | None = None
    passphrases: tuple[str, ...] = ()
    needles: dict[str, bytes] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        found = forms("api key", self.api_key) | forms("secret", recognisable(self.secret))
        for number, passphrase in enumerate(self.passphrases):
            found |= forms(f"passphrase {number}", passphrase)
        object.__setattr__(self, "needles", found)


def plant(kind: str = "hmac", passphrases: Iterable[str] = ()) -> Planted:
    """Make a key of a kind. An HMAC secret has characters that URL encoding changes."""
    api_key = f"PLANTEDKEY{secrets.token_hex(27)}"
    kept = tuple(passphrases)
    if kind == "hmac":
        return Planted(kind, api_key, f"PLANTEDSECRET/{secrets.token_hex(20)}+{secrets.token_hex(8)}=", None, kept)
    private = (
        Ed25519PrivateKey.generate()
        if kind == "ed25519"
        else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return Planted(kind, api_key, pem, public, kept)


def passphrase() -> str:
    return f"planted passphrase {secrets.token_hex(12)}"


def under_passphrase(planted: Planted, pem_passphrase: str) -> str:
    """The same private key as a PEM that needs a passphrase."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    private = load_pem_private_key(planted.secret.encode(), None)
    closed = BestAvailableEncryption(pem_passphrase.encode())
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, closed).decode()


def recognisable(secret: str) -> str:
    """Return the part of a secret to search for: the whole text, or the longest line of a PEM."""
    if "-----BEGIN" not in secret:
        return secret
    return max((line for line in secret.splitlines() if not line.startswith("-----")), key=len)


def forms(what: str, text: str) -> dict[str, bytes]:
    """Return the text and its encoded forms. Base64 has three forms, because preceding bytes shift it."""
    raw = text.encode()
    found = {
        what: raw,
        f"{what}, hex": raw.hex().encode(),
        f"{what}, HEX": raw.hex().upper().encode(),
        f"{what}, quoted": quote(text, safe="").encode(),
        f"{what}, plus-quoted": quote_plus(text).encode(),
        f"{what}, as repr": repr(text)[1:-1].encode(),
        f"{what}, UTF-16": text.encode("utf-16-le"),
    }
    for shift in range(3):
        for name, encode in (("base64", base64.b64encode), ("urlsafe base64", base64.urlsafe_b64encode)):
            # Characters that neighbours have a part in are cut off: one and a half bytes before, one behind.
            body = encode(b"\0" * shift + raw).rstrip(b"=")
            found[f"{what}, {name} {shift}"] = body[(0, 2, 3)[shift] : len(body) - 1]
    return found


def find_in_text(planted: Iterable[Planted], text: str | bytes) -> list[str]:
    """Return the names of the parts of these keys in a text."""
    raw = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return [f"{key.kind} {what}" for key in planted for what, needle in key.needles.items() if needle in raw]


def find_in_files(planted: Iterable[Planted], *places: Path) -> list[str]:
    """Search these files, and every regular file below these folders; return the finds with their places.

    Files are read in overlapping chunks, so a large log costs no memory and nothing is missed at a border.
    """
    keys = list(planted)
    longest = max((len(needle) for key in keys for needle in key.needles.values()), default=1)
    found: dict[str, None] = {}
    for path in _files(places):
        tail = b""
        try:
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    found |= dict.fromkeys(f"{path}: {what}" for what in find_in_text(keys, tail + chunk))
                    tail = chunk[-longest:]
        except FileNotFoundError:
            continue  # a log that was rotated away meanwhile
    return list(found)


def _files(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        if place.is_dir():
            yield from sorted(path for path in place.rglob("*") if path.is_file() and not path.is_symlink())
        elif place.is_file():
            yield place


def write_0600(path: Path, text: str) -> Path:
    """Write a secret file with the required mode."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)
    return path
