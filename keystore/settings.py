"""Where the key of an account is. Names of files and entries; no secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KeySettings:
    """Either `keys`, an entry of a keystore, or both `api_key_file` and `secret_file`.

    `keystore` None is the default keystore of the user; `passphrase_file` None is what $VENUEMESH_PASSPHRASE_FILE
    names. `kind` is that of the key in `secret_file`; None: the PEM says it, and what is no PEM is "hmac".
    `field_files` are the files of the key's further texts, by name.
    """

    keys: str | None = None
    keystore: str | None = None
    passphrase_file: str | None = None
    api_key_file: str | None = None
    secret_file: str | None = None
    kind: str | None = None
    field_files: Mapping[str, str] = field(default_factory=dict, hash=False)
