"""The trading part of the configuration: the journal and the accounts. It contains names of files, never secrets.

Relative paths start at the configuration file's folder. `~` is expanded on each node, to the home of the mesh's user.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from ..actors.account.settings import GatewaySettings, StreamSettings
from ..actors.orders.settings import Limits, OrderManagerSettings, OrderSettings
from ..connectors.settings import ConnectorSettings
from ..connectors.spec import Limit
from ..journal.settings import JournalSettings
from ..keystore.settings import KeySettings
from ..model.fixed import read_exact
from ..model.spelling import respelled, suggestion
from ..supervisor.tree.settings import AccountSettings
from .defaults import setting

SQLITE, POSTGRESQL = "sqlite:///", "postgresql+psycopg://"
_PAIR = re.compile(r"[^\s*?/-]{1,40}-[^\s*?/-]{1,40}")


class Strict(BaseModel):
    """Refuse unknown keys and wrong types; a whole number is accepted as a float. Errors repeat no value."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


def _exact(value: Any) -> Any:
    """Read an exact number: text, or a whole number. A TOML float is refused, because it is not exact."""
    if value is None or isinstance(value, Decimal):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError('must be exact: write it as text, "0.001"')
    try:
        return Decimal(f"{read_exact(value):f}")
    except ValueError as error:
        raise ValueError(f"{str(value)[:80]!r} {error}") from None


def _placed(path: str, info: ValidationInfo) -> str:
    folder: Path | None = (info.context or {}).get("folder")
    if not path or "\0" in path:
        raise ValueError("must name a file")
    if path.startswith(("/", "~")):
        return path
    if folder is None:
        raise ValueError("must be an absolute path, because this configuration is not a file and has no folder")
    return str(folder.absolute() / path)


Exact = Annotated[Decimal | None, BeforeValidator(_exact)]


class JournalTable(Strict):
    """`[journal]`: the database of orders, fills and events."""

    url: str | None = Field(
        None,
        description="`sqlite:///PATH` or `postgresql+psycopg://USER@HOST/DATABASE`; if absent, an SQLite file in the "
        "mesh's state directory. No password may be in it.",
    )
    url_file: str | None = Field(
        None, description="Private file that holds the URL instead, with a password; read on each node that trades."
    )
    pinned: bool = Field(
        False, description="With SQLite on several nodes: accept that accounts run on the journal's node or nowhere."
    )
    keep_days: int = setting(
        JournalSettings, "keep_days", "Days that done orders, their fills and old events are kept.", ge=1, le=36_500
    )
    remember: bool = setting(
        JournalSettings,
        "remember",
        "Keep in the state directory how far the journal has come, so that an older, another or a missing journal is "
        "refused. False only for a journal that is thrown away.",
    )

    @field_validator("url")
    @classmethod
    def _is_url(cls, url: str | None, info: ValidationInfo) -> str | None:
        from ..keystore.secrets import has_password  # strategies import this module and do not need cryptography

        if url is None:
            return None
        if has_password(url):
            raise ValueError(
                "contains a password, which status, logs and Ray would show: put the URL into a file, see url_file"
            )
        if url.startswith(POSTGRESQL) and len(url) > len(POSTGRESQL):
            return url
        if not url.startswith(SQLITE) or "?" in url:
            raise ValueError(f"must begin with {SQLITE} (and have no parameters) or {POSTGRESQL}")
        return SQLITE + _placed(url.removeprefix(SQLITE), info)

    @field_validator("url_file")
    @classmethod
    def _is_path(cls, path: str | None, info: ValidationInfo) -> str | None:
        return None if path is None else _placed(path, info)

    @model_validator(mode="after")
    def _one_of_them(self) -> JournalTable:
        if self.url is not None and self.url_file is not None:
            raise ValueError("names both url and url_file")
        return self

    def settings(self, url: str | None = None) -> JournalSettings:
        """Return the settings of an order manager; `url` is the journal if the file does not name one."""
        given = self.url if self.url is not None or self.url_file is not None else url
        return JournalSettings(given, self.url_file, self.keep_days, remember=self.remember)

    @property
    def is_sqlite(self) -> bool:
        """Whether the journal is a file of one node. The URL in a `url_file` has a password, so it is never a file."""
        return self.url_file is None and (self.url is None or self.url.startswith(SQLITE))


class PairTable(Strict):
    """`[exchanges.NAME.accounts.ACCOUNT.pairs."BASE-QUOTE"]`: other limits for one pair."""

    max_open_orders: int | None = Field(None, ge=1, le=100_000, description="Most orders open at once on this pair.")
    max_order_notional: Exact = Field(None, gt=0, description="Largest order of this pair, price x amount.")
    price_band: Exact = Field(None, gt=0, le=10, description="The account's `price_band`, for this pair.")
    market_wait_s: float | None = Field(None, gt=0, le=60, description="The account's `market_wait_s`, for this pair.")

    def settings(self) -> Limits:
        return Limits(self.max_open_orders, self.max_order_notional, self.price_band, self.market_wait_s)


class AccountTable(Strict):
    """`[exchanges.NAME.accounts.ACCOUNT]`: one account, whose key is in a keystore or in mounted files."""

    keys: str | None = Field(None, description="Entry of the keystore (`venuemesh keys add`).")
    keystore: str | None = Field(
        None,
        description="File of the keystore; if absent, each node's default keystore of the user that the mesh runs as.",
    )
    passphrase_file: str | None = Field(
        None,
        description="Private file with the keystore's passphrase; if absent, `VENUEMESH_PASSPHRASE_FILE` names it.",
    )
    api_key_file: str | None = Field(None, description="Instead of `keys`: private file that holds the API key.")
    secret_file: str | None = Field(
        None, description="With `api_key_file`: private file that holds the secret, or the private key as PEM."
    )
    kind: Literal["hmac", "ed25519", "rsa"] | None = Field(
        None,
        description="Kind of the key in `secret_file`; if absent, the PEM decides, and a file without PEM is `hmac`.",
    )
    field_files: dict[str, str] = Field(
        default_factory=dict,
        description="With `api_key_file`: private files with the further fields of the exchange's keys: "
        '`{passphrase = "PATH"}`.',
    )
    orders: Literal["rest", "websocket"] = setting(OrderManagerSettings, "send_by", "How orders are sent.")
    stream: Literal["websocket", "polling"] = setting(StreamSettings, "source", "How order reports arrive.")
    recv_window_ms: int = setting(
        GatewaySettings,
        "recv_window_ms",
        "How long a signed request stays valid; an order in doubt is settled only after that time.",
        ge=1,
        le=60_000,
    )
    max_open_orders: int | None = Field(None, ge=1, le=100_000, description="Most orders open at once, over all pairs.")
    max_order_notional: Exact = Field(
        None,
        gt=0,
        description="Largest order, price x amount, in the pair's quote asset; a sell order counts with at least the "
        "best bid. Write exact numbers as text.",
    )
    price_band: Exact = Field(
        None,
        gt=0,
        le=10,
        description=(
            'How far beyond the other side\'s best price an order may trade, as a fraction: `"0.05"` is 5 %. '
            "A market order is bounded by the levels of the book."
        ),
    )
    market_wait_s: float = Field(
        3.0,
        gt=0,
        le=60,
        description="A market order that cannot be sent within this time after it was requested, because of a rate "
        "limit or an order manager that is being replaced, is refused instead of being sent late.",
    )
    maker_fee: Exact = Field(
        None,
        gt=-1,
        lt=1,
        description='Maker fee as a fraction (`"0.001"`), instead of the rate that the exchange reports.',
    )
    taker_fee: Exact = Field(None, gt=-1, lt=1, description="Taker fee, likewise.")
    account_limits: dict[
        str, Annotated[tuple[Annotated[int, Field(ge=1)], Annotated[float, Field(gt=0)]], Field(strict=False)]
    ] = Field(
        default_factory=dict,
        description="Order limits that the exchange grants this account instead of the published limits: "
        "name = [amount, seconds]. A counter that falls with time falls by amount in seconds.",
    )
    on_shutdown: Literal["keep", "cancel"] = setting(
        OrderManagerSettings,
        "on_shutdown",
        "What an orderly end does with open orders: `venuemesh down`, or a start without the account. A restart, "
        "a move, a drain and an upgrade keep them.",
    )
    unknown_orders: Literal["adopt", "external"] = setting(
        OrderSettings,
        "unknown_orders",
        "What happens to an order of the mesh that the journal does not know, as after a restored backup: the mesh "
        "takes it over and manages it, or only reports it, until `venuemesh journal adopt`.",
    )
    dead_man_s: int | None = setting(
        OrderManagerSettings,
        "dead_man_s",
        "The exchange cancels all orders of the account when the mesh is silent for this many seconds; "
        "if absent, never.",
        ge=1,
    )
    pairs: dict[str, PairTable] = Field(
        default_factory=dict, description="Limits of single pairs, instead of the account's."
    )

    @field_validator("keystore", "passphrase_file", "api_key_file", "secret_file")
    @classmethod
    def _paths(cls, path: str | None, info: ValidationInfo) -> str | None:
        return None if path is None else _placed(path, info)

    @field_validator("field_files")
    @classmethod
    def _field_paths(cls, paths: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        return {name: _placed(path, info) for name, path in paths.items()}

    @field_validator("keys")
    @classmethod
    def _entry(cls, name: str | None) -> str | None:
        from ..keystore.store import NAME

        if name is not None and NAME.fullmatch(name) is None:
            raise ValueError("is not a valid name of a keystore entry")
        return name

    @field_validator("pairs")
    @classmethod
    def _named_in_full(cls, pairs: dict[str, PairTable]) -> dict[str, PairTable]:
        for pair in pairs:
            if _PAIR.fullmatch(pair) is None:
                hint = suggestion(filter(None, [respelled(pair)]))
                raise ValueError(f"{pair!r} is not a trading pair named in full, BASE-QUOTE{hint}")
        return pairs

    @model_validator(mode="after")
    def _one_key(self) -> AccountTable:
        files = self.api_key_file, self.secret_file
        if self.keys is not None:
            if any(files) or self.kind is not None or self.field_files:
                raise ValueError(
                    "names keys of a keystore and also api_key_file, secret_file, field_files or kind: give only one "
                    "of the two"
                )
            return self
        if not all(files):
            raise ValueError("names no key: give keys, or api_key_file and secret_file")
        if self.keystore is not None or self.passphrase_file is not None:
            raise ValueError("names a keystore or a passphrase_file, but no entry: give keys")
        return self

    @property
    def key(self) -> KeySettings:
        """Return the place of the account's key."""
        return KeySettings(
            self.keys,
            self.keystore,
            self.passphrase_file,
            self.api_key_file,
            self.secret_file,
            self.kind,
            self.field_files,
        )

    def settings(self, connector: ConnectorSettings, account: str, journal: JournalSettings) -> AccountSettings:
        """Return the settings of the account's user stream and order manager."""
        gateway = GatewaySettings(connector, self.key, recv_window_ms=self.recv_window_ms)
        machine = OrderSettings(
            connector.exchange,
            account,
            limits=Limits(self.max_open_orders, self.max_order_notional, self.price_band, self.market_wait_s),
            pair_limits={pair: own.settings() for pair, own in self.pairs.items()},
            unknown_orders=self.unknown_orders,
        )
        limits = {name: Limit(amount, per_s, "account") for name, (amount, per_s) in self.account_limits.items()}
        orders = OrderManagerSettings(
            gateway,
            machine,
            journal,
            send_by=self.orders,
            maker_fee=self.maker_fee,
            taker_fee=self.taker_fee,
            account_limits=limits,
            on_shutdown=self.on_shutdown,
            dead_man_s=self.dead_man_s,
        )
        stream = StreamSettings(gateway, account, source=self.stream, account_limits=limits)
        return AccountSettings(stream, orders)
