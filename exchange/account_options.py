"""Reads accounts and further keys from the command line, and checks all accounts together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..model.errors import FixedPointError, Misconfigured
from ..model.fixed import to_raw
from .engine.accounts import Account
from .engine.keys import LARGEST_FILE, ApiKey, public_key
from .engine.rules import SCALE


def parse_account(text: str) -> Account:
    """Read `NAME:KEY:SECRET:BTC=10,USDT=1000000` (balances are optional).

    Protocols whose keys have a passphrase expect "passphrase" of this key.

    Raises:
        Misconfigured: describes the error without the secret.
    """
    parts = text.split(":")
    if len(parts) not in (3, 4) or not all(parts[:3]):
        raise Misconfigured("account", "expected NAME:KEY:SECRET:ASSET=AMOUNT,...")
    account = Account(parts[0], keys={parts[1]: ApiKey(parts[1], parts[2].encode())})
    for item in parts[3].split(",") if len(parts) == 4 and parts[3] else ():
        asset, equals, amount = item.partition("=")
        if not equals or not asset.isalnum() or not asset.isupper():
            raise Misconfigured("account", f"{account.name}: {item!r} is not ASSET=AMOUNT")
        try:
            raw = to_raw(amount, SCALE)
        except FixedPointError as error:
            raise Misconfigured("account", f"{account.name}: {asset}: {error}") from None
        if raw < 0:
            raise Misconfigured("account", f"{account.name}: {asset}: must not be negative")
        account.deposit(asset, raw)
    return account


def parse_account_key(text: str) -> tuple[str, ApiKey]:
    """Read `NAME:KEY:SECRET` or `NAME:KEY:@/path/to/public.pem`; return the account's name and the key.

    A suffix `:read` or `:trade` gives the key only that permission.

    Raises:
        Misconfigured: describes the error without the secret.
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


def give_keys(accounts: Sequence[Account], keys: Iterable[tuple[str, ApiKey]]) -> None:
    """Add further keys (as read by `parse_account_key`) to the accounts that they name.

    Raises:
        Misconfigured: no such account, or a key given twice.
    """
    named = {account.name: account for account in accounts}
    for name, key in keys:
        if name not in named:
            raise Misconfigured("account key", f"no account {name!r}")
        if any(key.name in account.keys for account in accounts):
            raise Misconfigured("account key", f"key given twice: {key.name}")
        named[name].keys[key.name] = key


def check_accounts(accounts: Iterable[Account]) -> list[Account]:
    """Return the accounts. Raises Misconfigured: a name or key is given twice."""
    listed = list(accounts)
    given = {
        "name": [account.name for account in listed],
        "key": [key for account in listed for key in account.keys],
    }
    for what, values in given.items():
        twice = {value for value in values if values.count(value) > 1}
        if twice:
            raise Misconfigured("account", f"{what} given twice: {sorted(twice)[0]}")
    return listed
