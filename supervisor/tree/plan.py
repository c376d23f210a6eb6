"""From configuration and instrument lists to children. Pure.

An account is two children: its order manager, and its user stream, which outlives the manager and tells the next one
what was not acknowledged. Their configurations are plain data that names the files of secrets and holds none:

    both      exchange, account, connector, rest, ws, ws_api, egress; keys, keystore, passphrase_file, api_key_file,
              secret_file, kind (`keystore.secrets.read_key`); orders, stream, recv_window_ms
    orders/   journal: {url, url_file, keep_days} (`keystore.secrets.journal_url`); max_open_orders,
              max_order_notional, price_band, pairs: {pair: the same three}; maker_fee, taker_fee;
              account_limits: {name: [amount, seconds]}; on_shutdown, stop_s

Exact numbers are text; what is not set is None. With an SQLite journal both are pinned to the node of its file.

Which pairs are wanted is an ordered list of rules (track or untrack, pattern): the last rule that matches a name
decides. Pairs are seated in groups of `pairs_per_actor`; a running group is never disturbed: new pairs fill new
groups, a pair that goes is amended out of its group (its route ends at once, its seat stays empty until the group
runs anew).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Self

from ...actors.book.settings import BookSettings
from ...actors.catalog.settings import CatalogSettings
from ...actors.limits.settings import LimitsSettings
from ...connectors.settings import ConnectorSettings
from ...model.address import book_address, catalog_address, limits_address, orders_address, stream_address
from ...model.instrument import Instrument
from .child import ChildSpec, Tier

Rule = tuple[bool, str]  # (track, pattern)
# What a book is built on; a change of any other rule only changes what the route says of the instrument.
_BUILT_ON = ("symbol", "price_scale", "size_scale", "status", "price_increment", "size_increment")
_ACCOUNT_KEYS = ("connector", "rest", "ws", "ws_api", "egress")
_STREAM_KEYS = (
    "keys", "keystore", "passphrase_file", "api_key_file", "secret_file", "kind", "orders", "stream", "recv_window_ms",
)  # fmt: skip
POLITE_S = 5.0
CANCELLING_S = 20.0  # a manager that cancels what is open as it stops; what is in doubt takes its validity window
PINNED = (
    "its journal is an SQLite file there; start the mesh anew on that machine, or use PostgreSQL, whose journal any "
    "node can take up"
)
_BOOK_KEYS = ("levels", "trade_ring")


class Listed(NamedTuple):
    """An instrument as an exchange lists it, and the plain values that say the same in a route."""

    instrument: Instrument
    plain: dict[str, Any]

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Self:
        return cls(Instrument.from_dict(dict(plain)), dict(plain))


@dataclass(frozen=True, slots=True)
class Plan:
    """`specs` by address; `refused`: pair that was named -> why it is not there; `seats`: pair -> its group."""

    specs: Mapping[str, ChildSpec]
    refused: Mapping[str, str] = field(default_factory=dict)
    seats: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Changes:
    want: tuple[ChildSpec, ...]
    amend: tuple[ChildSpec, ...]
    unwant: tuple[str, ...]


def is_literal(pattern: str) -> bool:
    return not any(character in pattern for character in "*?[")


def is_tracked(name: str, rules: Iterable[Rule]) -> bool:
    wanted = False
    for track, pattern in rules:
        if name == pattern or fnmatchcase(name, pattern):
            wanted = track
    return wanted


def add_rules(rules: Sequence[Rule], track: bool, patterns: Iterable[str]) -> list[Rule]:
    """Append rules; an earlier rule of the same pattern is superseded, so the list cannot grow by repetition."""
    fresh = list(dict.fromkeys(patterns))
    return [rule for rule in rules if rule[1] not in fresh] + [(track, pattern) for pattern in fresh]


def _connector(exchange: str, settings: Mapping[str, Any]) -> ConnectorSettings:
    return ConnectorSettings(
        exchange,
        settings.get("connector") or exchange,
        settings.get("rest"),
        settings.get("ws"),
        settings.get("ws_api"),
        settings.get("egress") or "default",
        settings.get("options") or {},
    )


def base_specs(exchange: str, settings: Mapping[str, Any]) -> tuple[ChildSpec, ChildSpec]:
    """The limits and the catalog child of an exchange."""
    connector = _connector(exchange, settings)
    labels = _labels(settings)
    limits = ChildSpec(
        limits_address(exchange, connector.egress),
        "limits",
        LimitsSettings(connector),
        group=exchange,
        tier=Tier.LIMITS,
        labels=labels,
    )
    catalog = ChildSpec(
        catalog_address(exchange),
        "catalog",
        CatalogSettings(connector, **{key: settings[key] for key in ("refresh_s",) if key in settings}),
        group=exchange,
        tier=Tier.CATALOG,
        after=(limits.address,),
        labels=labels,
    )
    return limits, catalog


def account_specs(exchange: str, settings: Mapping[str, Any], journal: Mapping[str, Any] | None) -> list[ChildSpec]:
    """The stream and the order manager of each account of an exchange; pinned where the journal has a `node`."""
    common: dict[str, Any] = {"exchange": exchange, "connector": exchange, "egress": "default"}
    common |= {key: settings[key] for key in _ACCOUNT_KEYS if settings.get(key) is not None}
    where = {key: value for key, value in (journal or {}).items() if key in ("url", "url_file", "keep_days")}
    node = (journal or {}).get("node")
    specs = []
    for name, account in (settings.get("accounts") or {}).items():
        own = {**common, "account": name}
        heard = {**own, **{key: account.get(key) for key in _STREAM_KEYS}}
        cancels = account.get("on_shutdown") == "cancel"
        for address, kind, tier, config, shutdown_s in (
            (stream_address(exchange, name), "stream", Tier.STREAM, heard, POLITE_S),
            (
                orders_address(exchange, name),
                "orders",
                Tier.ORDERS,
                {**own, **account, "journal": where, "stop_s": CANCELLING_S if cancels else POLITE_S},
                CANCELLING_S if cancels else POLITE_S,
            ),
        ):
            specs.append(
                ChildSpec(
                    address,
                    kind,
                    config,
                    shutdown_s=shutdown_s,
                    group=exchange,
                    tier=tier,
                    after=(limits_address(exchange, common["egress"]), catalog_address(exchange)),
                    node=node,
                    pinned=PINNED if node is not None else "",
                    labels=_labels(settings),
                )
            )
    return specs


def plan_books(
    exchange: str,
    settings: Mapping[str, Any],
    rules: Sequence[Rule],
    instruments: Iterable[Listed],
    running: Mapping[str, ChildSpec],
    heartbeat_limit_s: float,
) -> Plan:
    """Return the book children that the rules want of these instruments, seated around those that run."""
    listed = {found.instrument.name: found for found in instruments}
    wanted = {name: found for name, found in listed.items() if found.instrument.is_trading and is_tracked(name, rules)}
    refused = {
        pattern: f"{exchange} lists no such pair"
        if pattern not in listed
        else f"not trading: {listed[pattern].instrument.status}"
        for track, pattern in rules
        if track and is_literal(pattern) and pattern not in wanted
    }
    given = {key: settings[key] for key in _BOOK_KEYS if key in settings}
    common = BookSettings(_connector(exchange, settings), heartbeat_limit_s=heartbeat_limit_s, **given)
    if int(settings.get("pairs_per_actor", 1)) == 1:
        specs = {}
        for name, found in wanted.items():
            address = book_address(exchange, name)
            specs[address] = _book(exchange, address, common, settings, [found])
        return Plan(specs, refused)
    return _seated(exchange, settings, common, wanted, refused, running)


def _seated(
    exchange: str,
    settings: Mapping[str, Any],
    common: BookSettings,
    wanted: Mapping[str, Listed],
    refused: Mapping[str, str],
    running: Mapping[str, ChildSpec],
) -> Plan:
    size = int(settings["pairs_per_actor"])
    prefix = book_address(exchange, "group-")
    members: dict[int, list[str]] = {}
    for address, spec in running.items():
        if address.startswith(prefix):
            names = [one.name for one in spec.config.instruments if one.name in wanted]
            if names:
                members[int(address.removeprefix(prefix))] = names
    seated = {name for names in members.values() for name in names}
    waiting = [name for name in wanted if name not in seated]
    number = max((int(a.removeprefix(prefix)) for a in running if a.startswith(prefix)), default=0)
    for first in range(0, len(waiting), size):
        number += 1
        members[number] = waiting[first : first + size]
    specs: dict[str, ChildSpec] = {}
    seats: dict[str, int] = {}
    for group, names in members.items():
        address = f"{prefix}{group}"
        specs[address] = _book(exchange, address, common, settings, [wanted[name] for name in names])
        seats |= dict.fromkeys(names, group)
    return Plan(specs, refused, seats)


def _book(
    exchange: str,
    address: str,
    common: BookSettings,
    settings: Mapping[str, Any],
    instruments: Sequence[Listed],
) -> ChildSpec:
    return ChildSpec(
        address,
        "book",
        replace(common, instruments=tuple(found.instrument for found in instruments)),
        group=exchange,
        tier=Tier.BOOK,
        serves=tuple((book_address(exchange, found.instrument.name), found.plain) for found in instruments),
        after=(limits_address(exchange, common.connector.egress), catalog_address(exchange)),
        labels=_labels(settings),
        weight=len(instruments),
    )


def _labels(settings: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((str(k), str(v)) for k, v in (settings.get("nodes") or {}).items()))


def changes(running: Mapping[str, ChildSpec], plan: Plan) -> Changes:
    """What to do so that `running` becomes `plan`."""
    want, amend = [], []
    for address, spec in plan.specs.items():
        before = running.get(address)
        if before is None or _needs_restart(before, spec):
            want.append(spec)
        elif before != spec:
            amend.append(spec)
    unwant = tuple(address for address in running if address not in plan.specs)
    return Changes(tuple(want), tuple(amend), unwant)


def _needs_restart(before: ChildSpec, after: ChildSpec) -> bool:
    bare = replace(before, config={}, serves=(), weight=1), replace(after, config={}, serves=(), weight=1)
    if bare[0] != bare[1]:
        return True
    if not isinstance(before.config, BookSettings) or not isinstance(after.config, BookSettings):
        return bool(before.config != after.config)
    old = {instrument.name: instrument for instrument in before.config.instruments}
    new = {instrument.name: instrument for instrument in after.config.instruments}
    if replace(before.config, instruments=()) != replace(after.config, instruments=()) or not new.keys() <= old.keys():
        return True
    return any(getattr(old[name], rule) != getattr(one, rule) for name, one in new.items() for rule in _BUILT_ON)
