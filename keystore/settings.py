"""The location of an account's key: names of files and entries, no secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KeySettings:
    """Either `keys`, an entry of a keystore, or `api_key_file` together with `secret_file`.

    `keystore` None is the default keystore of the user; `passphrase_file` None is the file that
    $VENUEMESH_PASSPHRASE_FILE names. `kind` is the kind of the key in `secret_file`; None: the PEM decides, and other
    text is "hmac". `field_files` are the files of the key's further fields, by name.
    """

    keys: str | None = None
    keystore: str | None = None
    passphrase_file: str | None = None
    api_key_file: str | None = None
    secret_file: str | None = None
    kind: str | None = None
    field_files: Mapping[str, str] = field(default_factory=dict, hash=False)
