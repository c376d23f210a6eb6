"""Reads secrets on the node of the role that needs them. Configurations name files, never secrets.

Secrets are never read from the environment, because every child process inherits the environment, and the raylet that
starts the signing roles also starts strategies. A variable may name a file.
"""

from __future__ import annotations

import asyncio
import os
import re
from urllib.parse import urlsplit

from ..model.errors import Misconfigured
from .key import Key, make_key
from .private import read_line, read_private
from .settings import KeySettings
from .store import Keystore

PASSPHRASE_FILE = "VENUEMESH_PASSPHRASE_FILE"
_SECRETS = ("VENUEMESH_PASSPHRASE", "VENUEMESH_API_KEY", "VENUEMESH_SECRET")  # names that a user might try


def refuse_secrets_in_environment() -> None:
    """Check the environment. Raises Misconfigured: it contains a passphrase or a key."""
    for name in _SECRETS:
        if name in os.environ:
            raise Misconfigured(
                f"${name}",
                "every process started from here, including strategies, inherits a secret in the environment: "
                f"remove the variable; ${PASSPHRASE_FILE} may name a file",
            )


def passphrase_file(configured: str | None) -> str:
    """Return the file with the passphrase: the configured file, or else the file that $VENUEMESH_PASSPHRASE_FILE names.

    Raises:
        Misconfigured: neither is set, or the environment itself contains a passphrase or key.
    """
    refuse_secrets_in_environment()
    found = configured or os.environ.get(PASSPHRASE_FILE)
    if not found:
        raise Misconfigured(
            "passphrase",
            f"neither passphrase_file nor ${PASSPHRASE_FILE} is set: set one to a file with the passphrase",
        )
    return found


def read_key(settings: KeySettings, connector: str, passphrase: str | None = None) -> Key:
    """Read the key of an account on this node. Slow with a keystore; see `read_key_async`.

    The key must be of the exchange `connector`. A typed `passphrase` replaces the file's.

    Raises:
        Misconfigured: names the file and the problem, never the content.
    """
    if settings.keys is not None:
        if passphrase is None:
            passphrase = read_line(passphrase_file(settings.passphrase_file), "passphrase file")
        key = Keystore(settings.keystore).get(settings.keys, passphrase)
        _check_exchange(settings.keys, key.exchange, connector)
        return key
    api_key_path, secret_path = _secret_files(settings)
    api_key, secret = read_line(api_key_path, "API key file"), read_line(secret_path, "secret file")
    fields = {name: read_line(path, f"{name} file") for name, path in settings.field_files.items()}
    return make_key(connector, api_key, secret, kind=settings.kind, what=f"secret file {secret_path}", fields=fields)


async def read_key_async(settings: KeySettings, connector: str) -> Key:
    """`read_key` in a thread: deriving the keystore's key would block an event loop for about 0.1 s."""
    return await asyncio.to_thread(read_key, settings, connector)


def check_key(settings: KeySettings, connector: str) -> None:
    """Check that this node has the files that `read_key` needs, without decrypting or keeping any secret.

    Raises:
        Misconfigured: a file is missing or can be read by others, or the keystore has no such entry.
    """
    if settings.keys is not None:
        read_line(passphrase_file(settings.passphrase_file), "passphrase file")
        entry = Keystore(settings.keystore).entry(settings.keys)
        _check_exchange(entry.name, entry.exchange, connector)
        return
    for path, what in zip(_secret_files(settings), ("API key file", "secret file"), strict=True):
        read_private(path, what)
    for name, path in settings.field_files.items():
        read_private(path, f"{name} file")


def _secret_files(settings: KeySettings) -> tuple[str, str]:
    if settings.api_key_file is None or settings.secret_file is None:
        raise Misconfigured("account", "names neither keys (an entry of a keystore) nor api_key_file and secret_file")
    return settings.api_key_file, settings.secret_file


def _check_exchange(entry: str, is_of: str, exchange: str) -> None:
    if is_of != exchange:
        raise Misconfigured(f"entry {entry!r} of the keystore", f"is a key of {is_of}, not of {exchange}")


def journal_url(url: str | None, url_file: str | None) -> str:
    """Return the journal's URL, on the node that uses it: `url`, or the content of the private file `url_file`.

    Raises:
        Misconfigured: the file cannot be used. The error shows no part of the URL.
    """
    if url_file is not None:
        url = read_line(url_file, "journal URL file")
        if url.startswith("sqlite"):  # the supervisor needs `url` to know the node of the file
            raise Misconfigured(
                f"journal URL file {url_file}",
                "contains the URL of an SQLite file; set `url` to it instead of url_file",
            )
    if url is None:
        raise Misconfigured("journal", "has neither url nor url_file; give one")
    return url


def has_password(url: str) -> bool:
    """Whether a URL contains a password."""
    try:
        return urlsplit(url).password is not None or re.search(r"[?&]password=", url) is not None
    except ValueError:
        return "@" in url


def masked(url: str) -> str:
    """Return the URL for display: without user, password and parameters."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "..."
    location = rest.partition("?")[0]
    host, slash, path = location.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
