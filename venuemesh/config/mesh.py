"""The mesh's configuration: a TOML file, checked before anything is started.

Every error names the file, the key and the reason (`ConfigError`); nothing is started by a configuration that has one.
`docs/configuration.md` is the reference and is checked against these models by a test.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from ..connectors.order_codec import trading_connector
from ..connectors.registry import connector as find_connector
from ..connectors.registry import known as connector_names
from ..model.errors import ConfigError, MeshError
from .accounts import SQLITE, AccountSettings, JournalSettings, Strict

KEYED = "venuemesh_key"  # type of an error that names its key itself
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)
_PATTERN = re.compile(r"[^\sa-z/-]{1,40}-[^\sa-z/-]{1,40}|\*")  # names need not be ASCII; exchanges list such assets

Name = Annotated[str, Field(pattern=rf"^{_NAME.pattern}$")]


class MeshSettings(Strict):
    """`[mesh]`: what holds for the mesh as a whole."""

    name: Name = Field("mesh", description="Name of the mesh: its Ray namespace and its segment directory.")
    spares_per_node: int = Field(
        2, ge=0, le=64, description="Warm spare cells kept on every node; where accounts may run, one more."
    )
    heartbeat_limit_s: float = Field(
        0.25, ge=0.1, le=60, description="A book whose writer's heartbeat is older is DEAD to its readers."
    )
    hang_limit_s: float = Field(
        2.0, ge=0.2, le=600, description="A cell whose event loop did not run for this long is killed and replaced."
    )


class RestartSettings(Strict):
    """`[restart]`: when replacing what dies must slow down."""

    intensity: int = Field(5, ge=1, le=1000, description="Restarts of one child allowed within `period_s`.")
    period_s: float = Field(10.0, gt=0, le=86400, description="The window of `intensity`.")
    backoff_s: float = Field(0.5, gt=0, le=600, description="First delay once the intensity is exceeded.")
    backoff_cap_s: float = Field(30.0, gt=0, le=3600, description="Longest delay between attempts.")


class ExchangeSettings(Strict):
    """`[exchanges.NAME]`: one exchange (or one account set of it), by the name used in addresses."""

    connector: str | None = Field(
        None, description="Connector that speaks its protocol; the exchange's name if absent."
    )
    pairs: tuple[str, ...] = Field(
        (),
        strict=False,
        description='Trading pairs to track, as `BASE-QUOTE`; patterns such as `"*-USDT"` follow the listing.',
    )
    pairs_per_actor: int = Field(1, ge=1, le=200, description="Books hosted by one actor, over one socket.")
    levels: int = Field(200, ge=1, le=5000, description="Levels a side kept in shared memory for readers.")
    trade_ring: int = Field(1024, ge=16, le=1_048_576, description="Trades kept in the shared ring of each book.")
    rest: str | None = Field(None, description="Base URL of the REST interface, instead of the connector's own.")
    ws: str | None = Field(None, description="Base URL of the websocket streams, instead of the connector's own.")
    ws_api: str | None = Field(
        None, description="Base URL of the websocket interface for orders and reports, instead of the connector's own."
    )
    egress: Name = Field("default", description="Which rate budget it spends: one per outgoing address.")
    refresh_s: float = Field(600.0, ge=1, le=86400, description="How often the list of instruments is read again.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options that the connector declares, a key each."
    )
    nodes: dict[str, str] = Field(
        default_factory=dict, description="Ray node labels its actors need; empty for any node."
    )
    accounts: dict[Name, AccountSettings] = Field(
        default_factory=dict, description="Accounts to trade on, a table each; none: market data only, without keys."
    )

    @field_validator("pairs")
    @classmethod
    def _pairs_are_patterns(cls, pairs: tuple[str, ...]) -> tuple[str, ...]:
        for index, pair in enumerate(pairs):
            if not _PATTERN.fullmatch(pair):
                raise ValueError(f"item {index} is {pair!r}; a trading pair is written BASE-QUOTE, in capitals")
        if len(set(pairs)) != len(pairs):
            raise ValueError("a pair is listed twice")
        return pairs

    @field_validator("rest", "ws", "ws_api")
    @classmethod
    def _urls(cls, url: str | None, field: ValidationInfo) -> str | None:
        if url is None:
            return None
        schemes, example = (
            (("http", "https"), "https://host") if field.field_name == "rest" else (("ws", "wss"), "wss://host:port")
        )
        if not re.fullmatch(rf"({'|'.join(schemes)})://[^\s/?#]+(/[^\s?#]*)?", url):
            raise ValueError(f"{url!r} is not a URL such as {example}")
        try:
            parts = urlsplit(url)
            is_whole = bool(parts.hostname) and parts.port != 0
        except ValueError as error:  # a port that is no number or out of range, half an IPv6 address
            raise ValueError(f"{url!r} is not a URL such as {example}: {error}") from error
        if not is_whole:
            raise ValueError(f"{url!r} has no host, or 0 for a port")
        return url.rstrip("/")


class MeshConfig(Strict):
    """A whole configuration file."""

    mesh: MeshSettings = MeshSettings()
    restart: RestartSettings = RestartSettings()
    journal: JournalSettings = JournalSettings()
    exchanges: dict[Name, ExchangeSettings] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _exchanges_fit(self) -> MeshConfig:
        if not self.exchanges:
            raise ValueError("no exchange is configured: add a table [exchanges.NAME]")
        known = connector_names()
        budgets: dict[tuple[str, str | None, str], str] = {}
        for name, exchange in self.exchanges.items():
            connector = exchange.connector or name
            twin = budgets.setdefault((connector, exchange.rest, exchange.egress), name)
            if twin != name:
                raise ValueError(
                    f"exchanges.{name}.egress: {twin} spends the rate budget of egress {exchange.egress!r} already; "
                    "name the other outgoing address, or put the pairs in one table"
                )
            if connector not in known:
                raise ValueError(
                    f"exchanges.{name}.connector: no connector {connector!r} (there are: {', '.join(known)})"
                )
            _check_options(name, connector, exchange)
            if exchange.accounts:
                _check_trades(name, connector, exchange)
        self._keys_differ()
        return self

    def _keys_differ(self) -> None:
        users: dict[tuple[str | None, ...], str] = {}
        for name, exchange in self.exchanges.items():
            for account, settings in exchange.accounts.items():
                here = f"exchanges.{name}.accounts.{account}"
                twin = users.setdefault(settings.where, here)
                if twin != here:
                    raise ValueError(f"{here}: has the key of {twin}: two managers would trade on one account")

    @property
    def has_accounts(self) -> bool:
        return any(exchange.accounts for exchange in self.exchanges.values())

    def for_supervisor(self, node: str | None = None, state: Path | None = None) -> dict[str, Any]:
        """The same as plain data, the form the supervisor stores and reads.

        `node` is the id of the node that the mesh is launched on and `state` its folder for what must last: there the
        journal is, unless the configuration says where. A configuration with accounts needs both.
        """
        plain = self.model_dump(mode="json")
        mesh = plain["mesh"]
        for name, exchange in plain["exchanges"].items():
            exchange["connector"] = exchange["connector"] or name
        journal = plain["journal"]
        if self.has_accounts and journal["url"] is None and journal["url_file"] is None:
            if state is None:
                raise ValueError("a configuration with accounts and no journal needs a folder for it")
            journal["url"] = f"{SQLITE}{state.absolute()}/{mesh['name']}.journal.sqlite3"
        journal["node"] = node if self.journal.is_sqlite else None
        return {
            "mesh": mesh["name"],
            "spares_per_node": mesh["spares_per_node"],
            "heartbeat_limit_s": mesh["heartbeat_limit_s"],
            "hang_limit_s": mesh["hang_limit_s"],
            "exchanges": plain["exchanges"],
            "policy": plain["restart"],
            "journal": journal,
        }


def _check_options(name: str, connector: str, exchange: ExchangeSettings) -> None:
    """Raises PydanticCustomError: the connector does not take one of the options."""
    if not exchange.options:
        return
    spec = find_connector(connector).spec
    for option, value in exchange.options.items():
        if (problem := spec.option_problem(option, value)) is not None:
            key = f"exchanges.{name}.options.{option}"
            raise PydanticCustomError(KEYED, "{reason}", {"key": key, "reason": problem})


def _check_trades(name: str, connector: str, exchange: ExchangeSettings) -> None:
    """Raises ValueError: the connector does not trade, or not as an account wants it."""
    try:
        found = trading_connector(find_connector(connector))
        offer = found.trading(exchange.rest, exchange.ws_api).offer
    except MeshError as error:
        raise ValueError(f"exchanges.{name}.accounts: {error}") from None
    for account, settings in exchange.accounts.items():
        if settings.orders == "websocket" and not offer.ws_orders:
            raise ValueError(
                f"exchanges.{name}.accounts.{account}.orders: {connector} takes no orders over a websocket"
            )
        for limit in settings.account_limits:
            if limit not in found.spec.account_limits:
                there = ", ".join(sorted(found.spec.account_limits)) or "none"
                raise ValueError(
                    f"exchanges.{name}.accounts.{account}.account_limits: {connector} has no limit {limit!r} on orders "
                    f"(there are: {there})"
                )


def load_config(path: Path) -> MeshConfig:
    """Read and check a configuration file.

    Raises:
        ConfigError: it cannot be read, is no TOML, or a key of it is wrong; names the file, the key and the reason.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(str(path), "", f"cannot be read: {reason}") from error
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), "", f"is not TOML: {error}") from error
    return check_config(raw, str(path), path.parent)


def check_config(raw: dict[str, Any], where: str, folder: Path | None = None) -> MeshConfig:
    """Check a configuration given as plain data; `where` names it in errors, relative paths are below `folder`."""
    try:
        return MeshConfig.model_validate(raw, context={"folder": folder})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        if first["type"] == KEYED:
            key = first["ctx"]["key"]
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        if first["type"] == "extra_forbidden":
            reason = "there is no such key"
        raise ConfigError(where, key, reason + more) from None  # its text may hold what was written
