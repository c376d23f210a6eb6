"""Settings for tests: complete settings from a name, and copies that differ in a few fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from venuemesh.actors.account.settings import GatewaySettings, StreamSettings
from venuemesh.actors.book.settings import BookSettings
from venuemesh.actors.catalog.settings import CatalogSettings
from venuemesh.actors.limits.settings import LimitsSettings
from venuemesh.actors.orders.settings import OrderManagerSettings, OrderSettings
from venuemesh.config.mesh import check_config
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.connectors.spec import Limit
from venuemesh.journal.settings import JournalSettings
from venuemesh.keystore.settings import KeySettings
from venuemesh.supervisor.tree.child import ChildSpec
from venuemesh.supervisor.tree.settings import AccountSettings, ExchangeSettings, MeshSettings

T = TypeVar("T")
SQLITE = JournalSettings("sqlite:////j")
QUICK = {  # an exchange in the next process has worked on everything within milliseconds
    "processing_s": 0.1,
    "margin_s": 0.1,
    "absent_again_s": 0.05,
    "query_s": (0.05, 0.3),
    "reconcile_s": (0.5, 30.0),
    "retry_s": 0.1,
}
MANY_ORDERS = {"orders_10s": Limit(1_000_000, 10.0, "account"), "orders_1d": Limit(100_000_000, 86_400.0, "account")}


def amend(record: T, **changes: Any) -> T:
    """Return a copy with these fields changed in every place of the record; each must exist in some place."""
    used: set[str] = set()
    changed: T = _amended(record, changes, used)
    assert used == changes.keys(), f"no field {', '.join(sorted(changes.keys() - used))} in {type(record).__name__}"
    return changed


def _amended(value: Any, changes: Mapping[str, Any], used: set[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _amended(item, changes, used) for key, item in value.items()}
    if not is_dataclass(value) or isinstance(value, type):
        return value
    given = {field.name: getattr(value, field.name) for field in fields(value)}
    named = {
        name
        for name, item in given.items()
        if name in changes and (not is_dataclass(item) or isinstance(changes[name], type(item)))
    }
    used |= named
    return replace(
        value,
        **{name: changes[name] if name in named else _amended(item, changes, used) for name, item in given.items()},
    )


def account_settings(
    connector: ConnectorSettings,
    account: str,
    *,
    key: KeySettings | None = None,
    journal: JournalSettings = SQLITE,
    **changes: Any,
) -> AccountSettings:
    """Both roles of an account."""
    gateway = GatewaySettings(connector, key or KeySettings(keys=account))
    orders = OrderManagerSettings(gateway, OrderSettings(connector.exchange, account), journal)
    return amend(AccountSettings(StreamSettings(gateway, account), orders), **changes)


def exchange_settings(
    exchange: str, *, accounts: Mapping[str, Mapping[str, Any]] | None = None, **changes: Any
) -> ExchangeSettings:
    """Return the settings of one exchange; `accounts`: name -> settings that differ from the defaults."""
    connector = ConnectorSettings(exchange)
    made = ExchangeSettings(LimitsSettings(connector), CatalogSettings(connector), BookSettings(connector))
    own = {name: account_settings(connector, name, **given) for name, given in (accounts or {}).items()}
    return replace(amend(made, **changes), accounts=own)


def mesh_settings(
    mesh: str,
    *,
    exchanges: Mapping[str, Any] | None = None,
    journal: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    node: str | None = None,
    children: Iterable[ChildSpec] = (),
    **changes: Any,
) -> MeshSettings:
    """Return the settings of a mesh of these exchanges, as from a configuration file."""
    made = MeshSettings(mesh)
    if exchanges:
        file = {"mesh": {"name": mesh}, "exchanges": dict(exchanges), "journal": dict(journal or {})}
        made = check_config(file, "test", folder).for_supervisor(node, folder)
    return amend(replace(made, children=tuple(children)), **changes)
