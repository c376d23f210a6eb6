"""API keys, encrypted in one file under one passphrase.

The file is JSON: `version`, the derivation of the file's key from the passphrase (scrypt, RFC 7914), a `check` that
this key decrypts, a `digest` of these parts, and an entry per name. The exchange, the kind, a hint of the API key and
the date of an entry are readable, so a list needs no passphrase; API key, secret and the key's named fields are
encrypted together (AES-256-GCM). The readable parts are associated data of the encryption: an entry that was renamed,
or moved to another exchange or other parameters, cannot be decrypted.

    the digest does not match                               damaged
    the digest matches, the check cannot be decrypted       wrong passphrase
    the check can be decrypted, an entry cannot             that entry is damaged, or was changed

Writers take a lock next to the file, write a new file and rename it over the old file; a reader sees the old or the new
file.

Deriving the key takes about 0.1 s and 32 MiB, so event loops call these methods in a thread.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ..model.errors import Misconfigured
from .key import Key
from .private import expand, read_private, write_private

VERSION = 1
LOG2_N, R, P = 15, 8, 1
MOST_LOG2_N = 20  # of a file: 1 GiB; a damaged file must not require more
SHORTEST_PASSPHRASE = 8
LARGEST = 4 * 1024 * 1024
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_CHECK = b"venuemesh keystore"
_READABLE = ("exchange", "kind", "hint", "added")


class WrongPassphrase(Misconfigured):
    """The keystore is intact, and the passphrase is wrong."""


class Damaged(Misconfigured):
    """The keystore, or one of its entries, was changed after it was written."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The parts of an entry that are readable without the passphrase. `added` is a date, YYYY-MM-DD."""

    name: str
    exchange: str
    kind: str
    hint: str
    added: str


def default_path() -> Path:
    """Return $XDG_CONFIG_HOME/venuemesh/keystore, or ~/.config/venuemesh/keystore."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return expand(base) / "venuemesh" / "keystore"


class Keystore:
    """One keystore file. Every method reads the file again and may raise Misconfigured, which names the file."""

    def __init__(self, path: str | Path | None = None, *, log2_n: int = LOG2_N) -> None:
        """`log2_n` is the cost of a keystore that `add` creates; an existing file keeps its own."""
        self.path = default_path() if path is None else expand(path)
        self._log2_n = log2_n

    def __repr__(self) -> str:
        return f"<Keystore {self.path}>"

    def exists(self) -> bool:
        return self.path.exists()

    def list(self) -> list[Entry]:
        """Return the entries by name. Decrypts nothing."""
        entries = self._read()["entries"]
        return [Entry(name, **{key: entries[name][key] for key in _READABLE}) for name in sorted(entries)]

    def entry(self, name: str) -> Entry:
        """Return one entry. Decrypts nothing. Raises Misconfigured, which names the existing entries."""
        found = {entry.name: entry for entry in self.list()}
        if name not in found:
            raise self._missing(name, found)
        return found[name]

    def check(self, passphrase: str) -> None:
        """Raises WrongPassphrase; Damaged. Slow: derives the key."""
        self._unlock(self._read(), passphrase)

    def get(self, name: str, passphrase: str) -> Key:
        """Decrypt one entry. Slow: derives the key.

        Raises:
            WrongPassphrase: the passphrase is wrong.
            Damaged: the file or the entry was changed after it was written.
            Misconfigured: there is no such entry, or the file cannot be read.
        """
        content = self._read()
        if name not in content["entries"]:
            raise self._missing(name, content["entries"])
        box = self._unlock(content, passphrase)
        entry = content["entries"][name]
        try:
            opened = box.decrypt(_bytes(entry["nonce"]), _bytes(entry["box"]), _bound(content, name, entry))
        except InvalidTag:
            raise Damaged(f"entry {name!r} of keystore {self.path}", "was changed after it was written") from None
        api_key, secret, *more = json.loads(opened)
        return Key(entry["exchange"], entry["kind"], api_key, secret, more[0] if more else {})

    def add(self, name: str, key: Key, passphrase: str, *, added: str, replace: bool = False) -> Entry:
        """Encrypt a key under a name; create the keystore if needed. Durable on return. Slow: derives the key.

        `added` is today's date, YYYY-MM-DD.

        Raises:
            WrongPassphrase: the passphrase is not the keystore's; one passphrase opens all entries.
            Misconfigured: the name is malformed or (unless `replace`) taken, or the passphrase is too short for a new
            file. Nothing was changed.
        """
        if NAME.fullmatch(name) is None:
            raise Misconfigured(f"name {name!r}", "must be letters, digits, '.', '_' or '-', 64 at most")
        with self._locked():
            content = self._read() if self.exists() else self._fresh(passphrase)
            if name in content["entries"] and not replace:
                raise Misconfigured(f"entry {name!r} of keystore {self.path}", "exists already")
            box, nonce = self._unlock(content, passphrase), secrets.token_bytes(12)
            entry = {"exchange": key.exchange, "kind": key.kind, "hint": key.hint, "added": added}
            inside: list[Any] = [key.api_key, key.secret]
            if key.fields:
                inside.append(dict(key.fields))
            closed = box.encrypt(nonce, json.dumps(inside).encode(), _bound(content, name, entry))
            content["entries"][name] = {**entry, "nonce": _text(nonce), "box": _text(closed)}
            self._write(content)
        return Entry(name, **entry)

    def remove(self, name: str) -> None:
        """Remove one entry; durable on return. Needs no passphrase, because a user who may write the file may also
        delete it.

        Raises:
            Misconfigured: there is no such entry.
        """
        self._read()  # without a keystore, create no folder
        with self._locked():
            content = self._read()
            if name not in content["entries"]:
                raise self._missing(name, content["entries"])
            del content["entries"][name]
            self._write(content)

    def _missing(self, name: str, entries: Mapping[str, Any]) -> Misconfigured:
        known = ", ".join(sorted(entries)) or "none"
        return Misconfigured(f"keystore {self.path}", f"has no entry {name!r}; its entries are: {known}")

    # --- the file -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the writers' lock, and turn errors of the file system into Misconfigured."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)
        except OSError as error:
            raise Misconfigured(f"keystore {self.path}", f"cannot be written: {error.strerror}") from None

    def _fresh(self, passphrase: str) -> dict[str, Any]:
        if len(passphrase) < SHORTEST_PASSPHRASE:
            raise Misconfigured("passphrase", f"must have {SHORTEST_PASSPHRASE} characters or more")
        head: dict[str, Any] = {
            "version": VERSION,
            "scrypt": {"log2_n": self._log2_n, "r": R, "p": P, "salt": _text(secrets.token_bytes(16))},
        }
        nonce = secrets.token_bytes(12)
        closed = _box(head["scrypt"], passphrase).encrypt(nonce, _CHECK, _canonical(head))
        head["check"] = {"nonce": _text(nonce), "box": _text(closed)}
        return {**head, "digest": _digest(head), "entries": {}}

    def _write(self, content: Mapping[str, Any]) -> None:
        write_private(self.path, json.dumps(content, indent=1).encode() + b"\n")

    def _read(self) -> dict[str, Any]:
        raw = read_private(self.path, "keystore", LARGEST)
        try:
            content = json.loads(raw)
            version = content["version"]
            if type(version) is int and version > VERSION:
                raise Misconfigured(
                    f"keystore {self.path}", f"is of version {version}; this venuemesh reads version {VERSION}"
                )
            sound = version == VERSION and content["digest"] == _digest(content) and _is_sound(content)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            sound = False
        if not sound:
            raise Damaged(f"keystore {self.path}", "is damaged, or is not a keystore")
        return dict(content)

    def _unlock(self, content: Mapping[str, Any], passphrase: str) -> AESGCM:
        box, check = _box(content["scrypt"], passphrase), content["check"]
        head = {"version": content["version"], "scrypt": content["scrypt"]}
        try:
            box.decrypt(_bytes(check["nonce"]), _bytes(check["box"]), _canonical(head))
        except InvalidTag:
            raise WrongPassphrase(f"keystore {self.path}", "has a different passphrase") from None
        return box


def _box(scrypt: Mapping[str, Any], passphrase: str) -> AESGCM:
    salt, cost = _bytes(scrypt["salt"]), 1 << scrypt["log2_n"]
    return AESGCM(Scrypt(salt=salt, length=32, n=cost, r=scrypt["r"], p=scrypt["p"]).derive(passphrase.encode()))


def _bound(content: Mapping[str, Any], name: str, entry: Mapping[str, Any]) -> bytes:
    """Return the associated data of an entry: its name and readable parts, and the key's derivation."""
    return _canonical([content["version"], content["scrypt"], name, [entry[key] for key in _READABLE]])


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical([content["version"], content["scrypt"], content["check"]])).hexdigest()


def _canonical(plain: Any) -> bytes:
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


def _is_sound(content: Mapping[str, Any]) -> bool:
    """Return whether the content has the form of a keystore. Decryption itself proves whether an entry is intact."""
    scrypt, entries = content["scrypt"], content["entries"]
    costs = [(scrypt["log2_n"], MOST_LOG2_N), (scrypt["r"], R), (scrypt["p"], 4)]
    if not all(type(cost) is int and 1 <= cost <= most for cost, most in costs):
        return False
    boxes = [content["check"], *entries.values()]
    is_complete = all(len(_bytes(entry["nonce"])) == 12 and len(_bytes(entry["box"])) >= 16 for entry in boxes)
    return is_complete and len(_bytes(scrypt["salt"])) >= 16 and all(
        isinstance(entry[key], str) for entry in entries.values() for key in _READABLE
    )  # fmt: skip


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
