"""Plan the children of a configuration and its instrument lists. Pure.

An account has two children: its order manager and its user stream. The stream outlives the manager and repeats
unacknowledged reports to the next manager. With an SQLite journal both are pinned to the node of its file.

An ordered list of rules (track or untrack, pattern) decides which pairs are tracked: the last rule that matches a name
wins. A pair that does not trade now is tracked if it is named, or if its book runs already; a pattern selects only
pairs that trade. Pairs have seats in groups of `pairs_per_actor`. A running group does not restart for a change: new
pairs go into new groups, and an untracked pair loses its route at once, while its seat stays empty until the group
restarts.

With `redundancy = 2` each book, or group of books, has a replica: a second child on another node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Self

from ...actors.book.settings import BookSettings
from ...actors.orders.settings import POLITE_S
from ...model.address import (
    BOOK,
    Address,
    book_address,
    catalog_address,
    group_address,
    has_kind,
    limits_address,
    orders_address,
    replica_of,
    stream_address,
)
from ...model.instrument import Instrument
from ...model.spelling import similar_pairs, suggestion
from .child import ChildSpec, Tier
from .settings import ExchangeSettings

Rule = tuple[bool, str]  # (track, pattern)
# The fields on which a book depends; a change of another field only changes the instrument in the route.
_BUILT_ON = ("symbol", "price_scale", "size_scale", "price_increment", "size_increment")
_MARKET = ("connector", "environment", "rest", "ws", "ws_l3")  # where its prices come from
PINNED = (
    "its journal is an SQLite file on that host, so it waits until Ray runs there again; with PostgreSQL, which every "
    "node can reach, it would move"
)


class Listed(NamedTuple):
    """An instrument as an exchange lists it, and its plain values for routes."""

    instrument: Instrument
    plain: dict[str, Any]

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Self:
        return cls(Instrument.from_dict(dict(plain)), dict(plain))


@dataclass(frozen=True, slots=True)
class Plan:
    """`specs` by address; `refused`: configured pair that does not run -> reason; `seats`: pair -> its group."""

    specs: Mapping[str, ChildSpec]
    refused: Mapping[str, str] = field(default_factory=dict)
    seats: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Changes:
    run: tuple[ChildSpec, ...]  # start, or restart with another spec
    amend: tuple[ChildSpec, ...]  # change without a restart
    end: tuple[str, ...]  # addresses


def is_literal(pattern: str) -> bool:
    return not any(character in pattern for character in "*?[")


def is_tracked(name: str, rules: Iterable[Rule]) -> bool:
    wanted = False
    for track, pattern in rules:
        if name == pattern or fnmatchcase(name, pattern):
            wanted = track
    return wanted


def is_named(name: str, rules: Iterable[Rule]) -> bool:
    """Return whether a pair is tracked by its name, not only by a pattern."""
    return is_tracked(name, rules) and (True, name) in rules


def add_rules(rules: Sequence[Rule], track: bool, patterns: Iterable[str]) -> list[Rule]:
    """Append rules; a rule replaces an earlier rule with the same pattern, so the list cannot grow by repetition."""
    fresh = list(dict.fromkeys(patterns))
    return [rule for rule in rules if rule[1] not in fresh] + [(track, pattern) for pattern in fresh]


def base_specs(exchange: str, settings: ExchangeSettings) -> tuple[ChildSpec, ChildSpec]:
    """Return the limits and the catalog child of an exchange."""
    limits = ChildSpec(
        limits_address(exchange, settings.connector.egress),
        "limits",
        settings.limits,
        group=exchange,
        tier=Tier.LIMITS,
        labels=settings.labels,
    )
    catalog = ChildSpec(
        catalog_address(exchange),
        "catalog",
        settings.catalog,
        group=exchange,
        tier=Tier.CATALOG,
        after=(limits.address,),
        labels=settings.labels,
    )
    return limits, catalog


def account_specs(exchange: str, settings: ExchangeSettings, journal_node: str | None) -> list[ChildSpec]:
    """Return the stream and the order manager of each account of an exchange; both run on `journal_node`, if given."""
    return [
        ChildSpec(
            address,
            kind,
            config,
            shutdown_s=shutdown_s,
            group=exchange,
            tier=tier,
            after=(limits_address(exchange, settings.connector.egress), catalog_address(exchange)),
            node=journal_node,
            pinned=PINNED if journal_node is not None else "",
            labels=settings.labels,
        )
        for name, account in settings.accounts.items()
        for address, kind, tier, config, shutdown_s in (
            (stream_address(exchange, name), "stream", Tier.STREAM, account.stream, POLITE_S),
            (orders_address(exchange, name), "orders", Tier.ORDERS, account.orders, account.orders.stop_s),
        )
    ]


def plan_books(
    exchange: str,
    settings: ExchangeSettings,
    rules: Sequence[Rule],
    instruments: Iterable[Listed],
    running: Mapping[str, ChildSpec],
) -> Plan:
    """Return the book children of the instruments that the rules select; running groups keep their seats."""
    listed = {found.instrument.name: found for found in instruments}
    known = {instrument.name for spec in running.values() for instrument in spec.config.instruments}
    wanted = {
        name: found
        for name, found in listed.items()
        if is_tracked(name, rules) and (found.instrument.is_trading or name in known or is_named(name, rules))
    }
    refused = {
        pattern: f"{exchange} lists no such pair{suggestion(similar_pairs(pattern, listed))}"
        for track, pattern in rules
        if track and is_literal(pattern) and is_tracked(pattern, rules) and pattern not in listed
    }
    if settings.pairs_per_actor == 1:
        books = (_book(exchange, book_address(exchange, name), settings, [found]) for name, found in wanted.items())
        return Plan(_with_replicas(books, settings), refused)
    return _seated(exchange, settings, wanted, refused, running)


def _with_replicas(books: Iterable[ChildSpec], settings: ExchangeSettings) -> dict[str, ChildSpec]:
    """Return the specs by address, each book followed by its replica if books are redundant."""
    specs: dict[str, ChildSpec] = {}
    for spec in books:
        specs[spec.address] = spec
        if settings.redundancy > 1:
            address = replica_of(spec.address)
            specs[spec.address] = replace(spec, apart=address)
            specs[address] = replace(
                spec,
                address=address,
                tier=Tier.REPLICA,
                serves=tuple((replica_of(served), plain) for served, plain in spec.serves),
                after=(*spec.after, spec.address),
                apart=spec.address,
            )
    return specs


def _seated(
    exchange: str,
    settings: ExchangeSettings,
    wanted: Mapping[str, Listed],
    refused: Mapping[str, str],
    running: Mapping[str, ChildSpec],
) -> Plan:
    size = settings.pairs_per_actor
    by_kind = sorted(running.items(), key=lambda one: has_kind(one[0], BOOK))  # of a lost group its replica may be left
    numbered = ((Address.parse(address).group_number, spec) for address, spec in by_kind)
    groups = {number: spec for number, spec in numbered if number is not None}
    members: dict[int, list[str]] = {}
    for number, spec in groups.items():
        names = [instrument.name for instrument in spec.config.instruments if instrument.name in wanted]
        if names:
            members[number] = names
    seated = {name for names in members.values() for name in names}
    waiting = [name for name in wanted if name not in seated]
    number = max(groups, default=0)
    for first in range(0, len(waiting), size):
        number += 1
        members[number] = waiting[first : first + size]
    specs: list[ChildSpec] = []
    seats: dict[str, int] = {}
    for group, names in members.items():
        specs.append(_book(exchange, group_address(exchange, group), settings, [wanted[name] for name in names]))
        seats |= dict.fromkeys(names, group)
    return Plan(_with_replicas(specs, settings), refused, seats)


def _book(
    exchange: str,
    address: str,
    settings: ExchangeSettings,
    instruments: Sequence[Listed],
) -> ChildSpec:
    return ChildSpec(
        address,
        "book",
        replace(
            settings.book,
            instruments=tuple(found.instrument for found in instruments),
            redundant=settings.redundancy > 1,
        ),
        group=exchange,
        tier=Tier.BOOK,
        serves=tuple((book_address(exchange, found.instrument.name), found.plain) for found in instruments),
        after=(limits_address(exchange, settings.connector.egress), catalog_address(exchange)),
        labels=settings.labels,
        weight=len(instruments),
    )


def messages(before: ChildSpec, after: ChildSpec) -> list[tuple[str, dict[str, Any]]]:
    """Return the messages to a running book child after a change without a restart: (kind, body).

    It learns which pairs it no longer has, and which pairs began or ceased to trade.
    """
    kept = {instrument.name: instrument for instrument in after.config.instruments}
    told: list[tuple[str, dict[str, Any]]] = []
    for instrument in before.config.instruments:
        now = kept.get(instrument.name)
        if now is None:
            told.append(("untrack", {"pair": instrument.name}))
        elif now.status != instrument.status:
            told.append(("track", {"instrument": now.to_dict()}))
    return told


def changes(running: Mapping[str, ChildSpec], plan: Plan) -> Changes:
    """Return the changes that turn `running` into `plan`."""
    run, amend = [], []
    for address, spec in plan.specs.items():
        before = running.get(address)
        if before is None or _needs_restart(before, spec):
            run.append(spec)
        elif before != spec:
            amend.append(spec)
    end = tuple(address for address in running if address not in plan.specs)
    return Changes(tuple(run), tuple(amend), end)


def _needs_restart(before: ChildSpec, after: ChildSpec) -> bool:
    bare = replace(before, config=None, serves=(), weight=1), replace(after, config=None, serves=(), weight=1)
    if bare[0] != bare[1]:
        return True
    if not isinstance(before.config, BookSettings) or not isinstance(after.config, BookSettings):
        return bool(before.config != after.config)
    return replace(before.config, instruments=()) != replace(after.config, instruments=()) or not has_all(before, after)


def has_all(before: ChildSpec, after: ChildSpec) -> bool:
    """Return whether a book with the spec `before` has all pairs of `after`, of the same market and with the same
    rules: readers of `after` may read it."""
    if not isinstance(before.config, BookSettings) or not isinstance(after.config, BookSettings):
        return True
    if any(getattr(before.config.connector, one) != getattr(after.config.connector, one) for one in _MARKET):
        return False
    old = {instrument.name: instrument for instrument in before.config.instruments}
    return all(
        instrument.name in old and getattr(old[instrument.name], rule) == getattr(instrument, rule)
        for instrument in after.config.instruments
        for rule in _BUILT_ON
    )
