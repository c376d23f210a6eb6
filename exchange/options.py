"""Reads the options of the local exchange from a command line."""

from __future__ import annotations

import argparse
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ..model.errors import Misconfigured
from ..model.hosts import is_loopback
from .account_options import check_accounts, give_keys, parse_account, parse_account_key
from .accounts_file import read_accounts
from .engine.accounts import Account
from .engine.rules import DEFAULT_SYMBOLS, listing
from .face import find_protocols, protocol_names

Read = TypeVar("Read")
SHORTEST_TOKEN = 16


@dataclass(slots=True)
class Options:
    """`rate` is level changes a second over all symbols. A port of 0 takes a free one.

    The first protocol listens on `port`, each further one on the next port.
    """

    protocols: tuple[str, ...] = ()  # by name; empty: the default protocols
    host: str = "127.0.0.1"
    port: int = 0
    admin_host: str = "127.0.0.1"
    admin_port: int = 0
    admin_token: str | None = field(default=None, repr=False)  # of every request of the admin interface
    seed: int = 1
    rate: float = 300.0
    symbols: tuple[str, ...] = DEFAULT_SYMBOLS
    accounts: list[Account] = field(default_factory=list)
    history: int = 400_000
    levels: int | None = None
    parent: int | None = None
    json: bool = False
    paused: bool = False

    def check(self) -> Options:
        """Return self. Raises Misconfigured: names a wrong option and the error."""
        find_protocols(self.protocols)
        for name in ("port", "admin_port"):
            if not 0 <= getattr(self, name) <= 65_535:
                raise Misconfigured(f"--{name.replace('_', '-')}", "must be from 0 to 65535")
        if self.admin_token is None and not is_loopback(self.admin_host):
            raise Misconfigured(
                "--admin-host", f"{self.admin_host} can be reached from other hosts: give --admin-token"
            )
        if not 0 <= self.rate <= 1_000_000:
            raise Misconfigured("--rate", "must be from 0 to 1000000 level changes a second")
        if not 1_000 <= self.history <= 100_000_000:
            raise Misconfigured("--history", "must be from 1000 to 100000000 changes a symbol")
        if self.levels is not None and not 1 <= self.levels <= 20_000:
            raise Misconfigured("--levels", "must be from 1 to 20000")
        if not self.symbols:
            raise Misconfigured("--symbols", "must name at least one")
        try:
            listing(self.symbols)
        except Misconfigured as error:
            raise Misconfigured("--symbols", error.reason) from None
        try:
            check_accounts(self.accounts)
        except Misconfigured as error:
            raise Misconfigured("--account", error.reason) from None
        return self


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise Misconfigured("exchange", message)


def _parser() -> _Parser:
    parser = _Parser(prog="venuemesh exchange", description="Run the local exchange until SIGINT or SIGTERM.")
    parser.add_argument("--json", action="store_true", help="print the base URLs as one JSON object")
    parser.add_argument("--protocols", default="", metavar="A,B", help="protocols to serve: " + _offered())
    parser.add_argument(
        "--host", default="127.0.0.1", help="address of the exchange; the admin interface has --admin-host"
    )
    parser.add_argument(
        "--port", default="0", help="port of the first protocol; each further one has the next port; 0: free ports"
    )
    parser.add_argument("--admin-port", default="0", help="port of the admin interface; 0: a free port")
    parser.add_argument(
        "--admin-host", default="127.0.0.1", help="address of the admin interface; other hosts need --admin-token"
    )
    parser.add_argument(
        "--admin-token",
        default=None,
        metavar="FILE",
        help="a file, mode 0600, of one line: the token that every request of the admin interface needs",
    )
    parser.add_argument("--seed", default="1", help="seed of the participants and faults")
    parser.add_argument("--rate", default="300", help="level changes per second, over all symbols")
    parser.add_argument(
        "--symbols",
        default=",".join(DEFAULT_SYMBOLS),
        help="symbols to list, such as BTCUSDT,ETHUSDT,+300 (300 invented ones)",
    )
    parser.add_argument(
        "--account",
        action="append",
        default=[],
        metavar="NAME:KEY:SECRET:BTC=10,USDT=1000",
        help="an account with balances; may be repeated",
    )
    parser.add_argument("--accounts", default=None, metavar="FILE", help="accounts and keys, TOML or JSON, mode 0600")
    parser.add_argument(
        "--account-key",
        action="append",
        default=[],
        metavar="NAME:KEY:SECRET",
        help="a further key of an account, with its secret or @FILE of its public key (PEM); may be repeated",
    )
    parser.add_argument("--history", default="400000", help="level changes kept in memory per symbol")
    parser.add_argument(
        "--levels", default=None, help="price levels per side; default: 1000, or 250 for invented symbols"
    )
    parser.add_argument("--parent", default=None, metavar="PID", help="exit when this process ends")
    parser.add_argument("--paused", action="store_true", help="start with the participants paused")
    return parser


def parse(arguments: Sequence[str]) -> Options:
    """Read a command line.

    Raises:
        Misconfigured: names the option and the error in one line.
    """
    given = _parser().parse_args(list(arguments))
    accounts = [] if given.accounts is None else read_accounts(Path(given.accounts))
    accounts += [_read("--account", parse_account, text) for text in given.account]
    keys = [_read("--account-key", parse_account_key, text) for text in given.account_key]
    try:
        give_keys(accounts, keys)
    except Misconfigured as error:
        raise Misconfigured("--account-key", error.reason) from None
    return Options(
        protocols=tuple(name.strip() for name in given.protocols.split(",") if name.strip()),
        host=given.host,
        port=_whole_number("--port", given.port),
        admin_host=given.admin_host,
        admin_port=_whole_number("--admin-port", given.admin_port),
        admin_token=None if given.admin_token is None else _token(Path(given.admin_token)),
        seed=_whole_number("--seed", given.seed),
        rate=_real("--rate", given.rate),
        symbols=tuple(name.strip() for name in given.symbols.split(",") if name.strip()),
        accounts=accounts,
        history=_whole_number("--history", given.history),
        levels=None if given.levels is None else _whole_number("--levels", given.levels),
        parent=None if given.parent is None else _whole_number("--parent", given.parent),
        json=given.json,
        paused=given.paused,
    ).check()


def _token(path: Path) -> str:
    """Read the token of the admin interface. Raises Misconfigured."""
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Misconfigured("--admin-token", f"other users may read {path}; run: chmod 600 {path}")
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured("--admin-token", f"cannot read {path}: {error}") from None
    if len(token) < SHORTEST_TOKEN or not token.isascii() or any(mark.isspace() for mark in token):
        wanted = f"one line of at least {SHORTEST_TOKEN} ASCII characters, without spaces"
        raise Misconfigured("--admin-token", f"{path} must have {wanted}")
    return token


def _offered() -> str:
    default = ",".join(protocol.name for protocol in find_protocols(()))
    return f"{', '.join(protocol_names())} (default: {default})"


def _read(option: str, reader: Callable[[str], Read], text: str) -> Read:
    try:
        return reader(text)
    except Misconfigured as error:
        raise Misconfigured(option, error.reason) from None


def _whole_number(option: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Misconfigured(option, f"{text!r} is not a whole number") from None


def _real(option: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise Misconfigured(option, f"{text!r} is not a number") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise Misconfigured(option, f"{text!r} is not a number")
    return value
