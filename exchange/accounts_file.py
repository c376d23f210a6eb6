"""Reads accounts from a file, because every process of the machine can read a secret on a command line.

TOML (or the same content as JSON, by the file's ending):

    [accounts.main]
    balances = {BTC = "10", USDT = "1000000"}
    keys = [
        {key = "K1", secret = "..."},                                  # HMAC
        {key = "K2", secret_file = "k2.secret"},                       # HMAC, from a file of one line
        {key = "K4", secret = "...", passphrase = "..."},              # for protocols with passphrases; see below
        {key = "K3", public_key_file = "k3.pem", only = "read"},       # Ed25519 or RSA; paths are relative to this file
    ]

A key without `passphrase` has the passphrase "passphrase".
"""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..model.errors import FixedPointError, Misconfigured
from ..model.fixed import to_raw
from .account_options import check_accounts
from .engine.accounts import Account
from .engine.keys import PASSPHRASE, ApiKey, public_key
from .engine.rules import SCALE

LARGEST_FILE = 1 << 20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class _Key(_Strict):
    key: str = Field(pattern=r"^[A-Za-z0-9_\-]{1,128}$")
    secret: str | None = Field(None, min_length=1, repr=False)
    secret_file: str | None = None
    public_key_file: str | None = None
    passphrase: str = Field(PASSPHRASE, min_length=1, repr=False)
    only: Literal["read", "trade"] | None = None


class _Account(_Strict):
    keys: list[_Key] = Field(min_length=1)
    balances: dict[str, str] = {}


class _File(_Strict):
    accounts: dict[str, _Account] = Field(min_length=1)


def read_accounts(path: Path) -> list[Account]:
    """Read the accounts of a file that only its owner can read.

    Raises:
        Misconfigured: names the field and the error, without a secret.
    """
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Misconfigured(
                "--accounts", f"{path} contains secrets, and other users may read it; run: chmod 600 {path}"
            )
        plain = _load(path)
        listed = _File.model_validate(plain)
        accounts = [_account(name, given, path.parent) for name, given in listed.accounts.items()]
        return check_accounts(accounts)
    except OSError as error:
        raise Misconfigured("--accounts", f"cannot read {error.filename}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Misconfigured("--accounts", f"{path}: {where}: {first['msg']}") from None


def _load(path: Path) -> Any:
    raw = path.read_bytes()
    if len(raw) > LARGEST_FILE:
        raise Misconfigured("--accounts", f"{path} is too large")
    try:
        text = raw.decode()
        return json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (UnicodeDecodeError, json.JSONDecodeError, tomllib.TOMLDecodeError, RecursionError):
        raise Misconfigured("--accounts", f"{path} is not {'JSON' if path.suffix == '.json' else 'TOML'}") from None


def _account(name: str, given: _Account, folder: Path) -> Account:
    account = Account(name)
    for key in given.keys:
        if key.key in account.keys:
            raise Misconfigured("--accounts", f"{name}: key given twice: {key.key}")
        account.keys[key.key] = _key(name, key, folder)
    for asset, amount in given.balances.items():
        account.deposit(asset, amount_of(f"{name}: {asset}", amount))
    return account


def amount_of(what: str, amount: str) -> int:
    """Read an amount that is not negative.

    Raises:
        Misconfigured: it is not an amount, or it is negative.
    """
    try:
        raw = to_raw(amount, SCALE)
    except FixedPointError as error:
        raise Misconfigured("--accounts", f"{what}: {error}") from None
    if raw < 0:
        raise Misconfigured("--accounts", f"{what}: must not be negative")
    return raw


def _key(name: str, given: _Key, folder: Path) -> ApiKey:
    sources = [source for source in (given.secret, given.secret_file, given.public_key_file) if source is not None]
    if len(sources) != 1:
        raise Misconfigured("--accounts", f"{name}: {given.key}: give one of secret, secret_file, public_key_file")
    if given.public_key_file is not None:
        made = public_key(given.key, (folder / given.public_key_file).read_bytes())
    elif given.secret_file is not None:
        made = ApiKey(given.key, (folder / given.secret_file).read_text().strip().encode())
    else:
        made = ApiKey(given.key, (given.secret or "").encode())
    made.passphrase = given.passphrase
    made.can_read, made.can_trade = given.only != "trade", given.only != "read"
    return made
