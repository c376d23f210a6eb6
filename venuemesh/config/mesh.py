"""The mesh's configuration: a TOML file, checked before anything starts.

Every error (`ConfigError`) names the file, the key and the reason; a configuration with an error starts nothing. The
reference is `docs/configuration.md`; a test checks it against these models.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from ..actors.book.settings import BookSettings
from ..actors.catalog.settings import CatalogSettings
from ..actors.cell.pulse import HEARTBEAT_LIMIT_S
from ..actors.limits.settings import LimitsSettings
from ..actors.link.settings import LinkSettings
from ..actors.node.settings import AgentSettings, MirrorSettings
from ..connectors.registry import is_known
from ..connectors.registry import known as connector_names
from ..connectors.settings import ConnectorSettings
from ..journal.settings import JournalSettings
from ..keystore.settings import KeySettings
from ..model.errors import ConfigError, MeshError, Misconfigured
from ..model.hosts import is_loopback
from ..model.spelling import respelled, suggestion
from ..supervisor.tree.policy import Policy
from ..supervisor.tree.settings import ExchangeSettings, MeshSettings, TreeSettings
from .accounts import SQLITE, AccountTable, JournalTable, Strict
from .defaults import setting

KEYED = "venuemesh_key"  # type of an error whose message already names the key
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)
_PATTERN = re.compile(r"[^\sa-z/-]{1,40}-[^\sa-z/-]{1,40}|\*")  # names need not be ASCII: exchanges list such assets

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"  # of Ray's nodes, as Kubernetes spells them
Label = Annotated[str, Field(pattern=rf"^{_LABEL}$")]
LabelKey = Annotated[str, Field(pattern=rf"^([a-z0-9.-]{{1,253}}/)?{_LABEL}$")]
Name = Annotated[str, Field(pattern=rf"^{_NAME.pattern}$")]
Exchange = Annotated[str, Field(pattern=rf"^(ccxt:)?{_NAME.pattern}$")]  # ccxt:ID: through the ccxt package


class MeshTable(Strict):
    """`[mesh]`: settings of the mesh as a whole."""

    name: Name = Field("mesh", description="Name of the mesh: its Ray namespace and its segment directory.")
    spares_per_node: int = setting(
        TreeSettings,
        "spares_per_node",
        "Warm spare cells kept on every node; a node where accounts may run has one more.",
        ge=0,
        le=64,
    )
    heartbeat_limit_s: float = Field(
        HEARTBEAT_LIMIT_S,
        ge=0.1,
        le=60,
        description="Readers see a book as DEAD when its writer's heartbeat is older than this.",
    )
    hang_limit_s: float = setting(
        AgentSettings,
        "hang_limit_s",
        "A cell is killed and replaced when its event loop did not run for so long while it had a processor.",
        ge=0.2,
        le=600,
    )
    supervisor_nodes: dict[LabelKey, Label] = Field(
        default_factory=dict,
        description="Labels of the Ray nodes that the supervisor prefers at its start; without one it runs elsewhere.",
    )
    rebalance: bool = setting(
        TreeSettings,
        "rebalance",
        "Books move to hosts that have fewer, one at a time and without a gap, once the mesh is calm.",
    )
    link_port: int = setting(
        LinkSettings,
        "port",
        "Port on each host for the mirrors of other hosts, on the host's address in the cluster; 0: any free one.",
        ge=0,
        le=65535,
    )


class RestartTable(Strict):
    """`[restart]`: how fast dead actors are replaced."""

    intensity: int = setting(Policy, "intensity", "Restarts of one child allowed within `period_s`.", ge=1, le=1000)
    period_s: float = setting(
        Policy, "period_s", "Length of the window in which `intensity` counts restarts.", gt=0, le=86400
    )
    backoff_s: float = setting(Policy, "backoff_s", "First delay once the intensity is exceeded.", gt=0, le=600)
    backoff_cap_s: float = setting(Policy, "backoff_cap_s", "Longest delay between attempts.", gt=0, le=3600)


class ExchangeTable(Strict):
    """`[exchanges.NAME]`: one exchange (or one account set of it), by the name used in addresses."""

    connector: str | None = Field(
        None, description="Connector to use; if absent, the connector with the exchange's name."
    )
    pairs: tuple[str, ...] = Field(
        (),
        strict=False,
        description='Trading pairs to track, as `BASE-QUOTE`; patterns such as `"*-USDT"` follow the listing.',
    )
    pairs_per_actor: int = setting(
        ExchangeSettings, "pairs_per_actor", "Books hosted by one actor, over one socket.", ge=1, le=200
    )
    redundancy: int = setting(
        ExchangeSettings,
        "redundancy",
        "Nodes that keep each book; with 2, readers see no difference when one of the two is lost.",
        ge=1,
        le=2,
    )
    levels: int = setting(BookSettings, "levels", "Levels a side kept in shared memory for readers.", ge=1, le=5000)
    books: Literal["levels", "orders"] = setting(
        BookSettings,
        "books",
        "What books are made of: price levels (L2), or every order (L3), where the connector offers it.",
    )
    books_account: Name | None = Field(
        None,
        description="Account that opens order-level books, where the exchange wants one; if absent, the only account.",
    )
    trade_ring: int = setting(
        BookSettings, "trade_ring", "Trades kept in the shared ring of each book.", ge=16, le=1_048_576
    )
    environment: str | None = Field(
        None,
        description="Environment of the exchange, such as `testnet`; if absent, the real exchange. "
        "`venuemesh exchanges` lists them. Keys are valid in one environment only.",
    )
    rest: str | None = Field(None, description="Base URL of the REST interface, instead of the connector's own.")
    ws: str | None = Field(None, description="Base URL of the websocket streams, instead of the connector's own.")
    ws_api: str | None = Field(
        None, description="Base URL of the websocket interface for orders and reports, instead of the connector's own."
    )
    ws_l3: str | None = Field(
        None, description="Base URL of the websocket of order-level books, instead of the connector's own."
    )
    egress: Name = setting(ConnectorSettings, "egress", "Name of the rate budget to spend: one per outgoing address.")
    refresh_s: float = setting(
        CatalogSettings, "refresh_s", "Seconds between two readings of the list of instruments.", ge=1, le=86400
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options that the connector declares, one key each."
    )
    limits: dict[
        str, Annotated[tuple[Annotated[int, Field(ge=1)], Annotated[float, Field(gt=0)]], Field(strict=False)]
    ] = Field(
        default_factory=dict,
        description="Rate limits that the exchange grants your address instead of the published limits: "
        "name = [amount, seconds].",
    )
    nodes: dict[str, str] = Field(
        default_factory=dict,
        description="Labels that a Ray node must have to run the exchange's actors; empty: any node.",
    )
    accounts: dict[Name, AccountTable] = Field(
        default_factory=dict,
        description="Accounts to trade on, one table each; without accounts: market data only, without keys.",
    )

    @field_validator("pairs")
    @classmethod
    def _pairs_are_patterns(cls, pairs: tuple[str, ...]) -> tuple[str, ...]:
        for index, pair in enumerate(pairs):
            if not _PATTERN.fullmatch(pair):
                hint = suggestion(filter(None, [respelled(pair)]))
                raise ValueError(f"item {index} is {pair!r}; a trading pair is written BASE-QUOTE, in capitals{hint}")
        if len(set(pairs)) != len(pairs):
            raise ValueError("a pair is listed twice")
        return pairs

    @field_validator("rest", "ws", "ws_api", "ws_l3")
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
        except ValueError as error:  # a port that is not a number or out of range, an incomplete IPv6 address
            raise ValueError(f"{url!r} is not a URL such as {example}: {error}") from error
        if not is_whole:
            raise ValueError(f"{url!r} has no host, or 0 for a port")
        return url.rstrip("/")

    def connector_settings(self, name: str) -> ConnectorSettings:
        """Return the settings for reaching the exchange `name`."""
        connector = self.connector or name
        return ConnectorSettings(
            name, connector, self.rest, self.ws, self.ws_api, self.environment, self.egress, self.options, self.ws_l3
        )

    @property
    def book_account(self) -> str | None:
        """The account that opens order-level books; None: there is none, or several and none is named."""
        if self.books == "levels":
            return None
        return self.books_account or (next(iter(self.accounts)) if len(self.accounts) == 1 else None)

    def settings(self, name: str, journal: JournalSettings, heartbeat_limit_s: float) -> ExchangeSettings:
        """Return the settings of the children of the exchange `name`."""
        connector = self.connector_settings(name)
        return ExchangeSettings(
            LimitsSettings(connector, self.limits),
            CatalogSettings(connector, refresh_s=self.refresh_s),
            BookSettings(
                connector,
                levels=self.levels,
                trade_ring=self.trade_ring,
                heartbeat_limit_s=heartbeat_limit_s,
                books=self.books,
                account=self.book_account,
            ),
            pairs=self.pairs,
            pairs_per_actor=self.pairs_per_actor,
            redundancy=self.redundancy,
            nodes=self.nodes,
            accounts={account: table.settings(connector, account, journal) for account, table in self.accounts.items()},
        )


def _is_local(table: ExchangeTable) -> bool:
    """Return whether an exchange runs on this host, and not only a proxy of its REST interface."""
    urls = (table.rest or "", table.ws or "", table.ws_api or table.rest or "")
    return all(is_loopback(urlsplit(url).hostname or "") for url in urls)


class MeshConfig(Strict):
    """A whole configuration file."""

    mesh: MeshTable = MeshTable()
    restart: RestartTable = RestartTable()
    journal: JournalTable = JournalTable()
    exchanges: dict[Exchange, ExchangeTable] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _exchanges_fit(self) -> MeshConfig:
        if not self.exchanges:
            raise ValueError("no exchange is configured: add a table [exchanges.NAME]")
        budgets: dict[tuple[str, str | None, str | None, str], str] = {}
        for name, exchange in self.exchanges.items():
            connector = exchange.connector or name
            twin = budgets.setdefault((connector, exchange.environment, exchange.rest, exchange.egress), name)
            if twin != name:
                raise ValueError(
                    f"exchanges.{name}.egress: {twin} already spends the rate budget of egress {exchange.egress!r}; "
                    "give this table a separate egress, or put the pairs in one table"
                )
            if not is_known(connector):
                installed = ", ".join(connector_names())
                raise ValueError(f"exchanges.{name}.connector: no connector {connector!r}; installed are {installed}")
            _check_environment(name, exchange)
            _check_options(name, connector, exchange)
            if exchange.accounts:
                _check_trades(name, connector, exchange)
            _check_books(name, connector, exchange)
        self._keys_differ()
        return self

    def _keys_differ(self) -> None:
        users: dict[KeySettings, str] = {}
        for name, exchange in self.exchanges.items():
            for account, settings in exchange.accounts.items():
                path = f"exchanges.{name}.accounts.{account}"
                twin = users.setdefault(replace(settings.key, passphrase_file=None, kind=None, field_files={}), path)
                if twin != path:
                    raise ValueError(f"{path}: has the same key as {twin}: two managers would trade on one account")

    @property
    def has_accounts(self) -> bool:
        return any(exchange.accounts for exchange in self.exchanges.values())

    @property
    def with_keys(self) -> list[str]:
        """The exchanges with accounts, without those of which all URLs are on this host, such as the local exchange."""
        return [name for name, table in self.exchanges.items() if table.accounts and not _is_local(table)]

    def for_supervisor(self, node: str | None = None, state: Path | None = None) -> MeshSettings:
        """Return the settings that the supervisor is created with.

        `node` is the id of the node that the mesh is launched on; `state` is the node's folder for durable files, which
        holds the journal unless the configuration names another place. A configuration with accounts needs both.
        """
        url = None
        if self.has_accounts and self.journal.url is None and self.journal.url_file is None:
            if state is None:
                raise ValueError("a configuration with accounts and without a journal needs a folder for the journal")
            url = f"{SQLITE}{state.absolute()}/{self.mesh.name}.journal.sqlite3"
        journal, mesh, restart = self.journal.settings(url), self.mesh, self.restart
        return MeshSettings(
            mesh.name,
            {name: table.settings(name, journal, mesh.heartbeat_limit_s) for name, table in self.exchanges.items()},
            tree=TreeSettings(
                spares_per_node=mesh.spares_per_node,
                rebalance=mesh.rebalance,
                policy=Policy(restart.intensity, restart.period_s, restart.backoff_s, restart.backoff_cap_s),
                agent=AgentSettings(mesh.hang_limit_s, heartbeat_limit_s=mesh.heartbeat_limit_s),
            ),
            mirror=MirrorSettings(mesh.heartbeat_limit_s),
            link=LinkSettings(mesh.link_port),
            journal_node=node if self.journal.is_sqlite else None,
            supervisor_nodes=mesh.supervisor_nodes,
        )


def _check_environment(name: str, exchange: ExchangeTable) -> None:
    """Check the environment of an exchange. Raises PydanticCustomError: the connector has no such one."""
    if exchange.environment is None:
        return
    try:
        exchange.connector_settings(name).spec.hosts(exchange.environment)
    except Misconfigured as error:
        key = f"exchanges.{name}.environment"
        raise PydanticCustomError(KEYED, "{reason}", {"key": key, "reason": str(error.reason)}) from None


def _check_options(name: str, connector: str, exchange: ExchangeTable) -> None:
    """Check the options of an exchange. Raises PydanticCustomError: the connector does not take one of them."""
    if not exchange.options and not exchange.limits:
        return
    spec = exchange.connector_settings(name).spec
    for limit in exchange.limits:
        if limit not in spec.limits:
            reason = f"{connector} has no such limit; its limits are {', '.join(sorted(spec.limits))}"
            raise PydanticCustomError(KEYED, "{reason}", {"key": f"exchanges.{name}.limits.{limit}", "reason": reason})
    for option, value in exchange.options.items():
        if (problem := spec.option_problem(option, value)) is not None:
            key = f"exchanges.{name}.options.{option}"
            raise PydanticCustomError(KEYED, "{reason}", {"key": key, "reason": problem})


def _check_books(name: str, connector: str, exchange: ExchangeTable) -> None:
    """Check that books can be as configured. Raises PydanticCustomError: not by this connector, or without an account.

    `books_account` without order-level books is an error, too: it would have no effect.
    """
    try:
        if exchange.books == "levels":
            key, reason = (
                "books_account",
                'it has an effect with books = "orders" only' if exchange.books_account else None,
            )
        else:
            exchange.connector_settings(name).order_level_codec()
            key, reason = _missing_account(name, connector, exchange)
    except MeshError as error:
        key = str(error.what).partition(" ")[0] if isinstance(error, Misconfigured) else "books"
        reason = str(error)
    if reason is not None:
        path = f"exchanges.{name}.{key}"
        raise PydanticCustomError(KEYED, "{reason}", {"key": path, "reason": reason}) from None


def _missing_account(name: str, connector: str, exchange: ExchangeTable) -> tuple[str, str | None]:
    """Return the key to set and the reason, if order-level books lack their account."""
    offer, named = exchange.connector_settings(name).spec.order_level, exchange.books_account
    if named is not None and named not in exchange.accounts:
        known = ", ".join(exchange.accounts) or "none"
        return "books_account", f"there is no account {named!r}; the accounts of this table are {known}"
    if offer is None or not offer.needs_account or exchange.book_account is not None:
        return "books", None
    if exchange.accounts:
        return "books_account", f"name the account that opens order-level books: {', '.join(exchange.accounts)}"
    reason = f"{connector} sends order-level books to accounts only: add a table [exchanges.{name}.accounts.NAME]"
    return "books", reason


def _check_trades(name: str, connector: str, exchange: ExchangeTable) -> None:
    """Check the accounts of an exchange. Raises ValueError: the connector does not trade as an account requires."""
    try:
        reached = exchange.connector_settings(name)
        found, offer = reached.find_trading(), reached.order_codec().offer
    except MeshError as error:
        raise ValueError(f"exchanges.{name}.accounts: {error}") from None
    for account, settings in exchange.accounts.items():
        if settings.orders == "websocket" and not offer.ws_orders:
            raise ValueError(
                f"exchanges.{name}.accounts.{account}.orders: {connector} takes no orders over a websocket"
            )
        for limit in settings.account_limits:
            known = {**found.spec.account_limits, **found.spec.key_limits}
            if limit not in known:
                known_names = ", ".join(sorted(known)) or "none"
                raise ValueError(
                    f"exchanges.{name}.accounts.{account}.account_limits: {connector} has no limit {limit!r} on orders "
                    f"(there are: {known_names})"
                )


def load_config(path: Path) -> MeshConfig:
    """Read and check a configuration file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has a wrong key; names the file, the key and the reason.
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
    except RecursionError:
        raise ConfigError(str(path), "", "is not TOML that can be read: it is nested too deeply") from None
    return check_config(raw, str(path), path.parent)


def check_config(raw: dict[str, Any], where: str, folder: Path | None = None) -> MeshConfig:
    """Check a configuration given as plain data. `where` names it in errors; relative paths start at `folder`."""
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
            reason = f"this key does not exist; the keys of this table are {', '.join(_known_keys(first['loc']))}"
        raise ConfigError(where, key, reason + more) from None  # its text may repeat a value from the file


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the table that has the key at `location`."""
    table: Any = MeshConfig
    for part in location[:-1]:
        if isinstance(table, type) and issubclass(table, Strict):
            table = next(field.annotation for name, field in table.model_fields.items() if part in (name, field.alias))
        else:
            table = get_args(table)[-1]  # of a mapping from names to tables
    return sorted(field.alias or name for name, field in table.model_fields.items())
