"""The desired state of the mesh: its configuration, and the changes since (tracked, untracked, stopped), durable. Pure.

A configuration has a token, `birth`, from `ray_supervisor.create`. A supervisor that Ray restarts has the same token
and reads the stored changes. A newly created supervisor has another token and ignores the changes of an earlier mesh.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...model.address import book_address, is_book_of
from ...model.errors import Misconfigured, UnknownExchange
from ...model.plain import from_plain, to_plain
from .child import ChildSpec, Tier
from .plan import Changes, Listed, Plan, Rule, account_specs, add_rules, base_specs, changes, plan_books
from .settings import MeshSettings


@dataclass(frozen=True, slots=True)
class Wishes:
    """The stored changes of one mesh since its creation."""

    birth: str = ""
    rules: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    stopped: tuple[str, ...] = ()


class Desired:
    """The desired state of one mesh. `stored` is the result of an earlier supervisor's `to_dict`, or None."""

    def __init__(self, settings: MeshSettings, stored: Mapping[str, Any] | None = None) -> None:
        self.settings = settings
        wishes = Wishes() if stored is None else from_plain(Wishes, stored)
        if wishes.birth != settings.birth:
            wishes = Wishes()
        self._stopped = {exchange for exchange in wishes.stopped if exchange in settings.exchanges}
        self._rules: dict[str, list[Rule]] = {
            exchange: list(wishes.rules[exchange])
            if exchange in wishes.rules
            else [(True, pattern) for pattern in table.pairs]
            for exchange, table in settings.exchanges.items()
        }
        self._instruments: dict[str, list[Listed]] = {}
        self._refused: dict[str, Mapping[str, str]] = {}
        self._dormant: dict[str, Mapping[str, Any]] | None = None  # None: computed at the next use

    def to_dict(self) -> dict[str, Any]:
        rules = {exchange: tuple(found) for exchange, found in self._rules.items()}
        plain: dict[str, Any] = to_plain(Wishes(self.settings.birth, rules, tuple(self.stopped)))
        return plain

    def copy(self) -> Desired:
        """Return a copy of the changes, to be changed and then passed to `take`; it has no instruments."""
        return Desired(self.settings, self.to_dict())

    def take(self, other: Desired) -> None:
        """Replace the changes by those of `other`."""
        self._rules, self._stopped, self._dormant = other._rules, other._stopped, None

    @property
    def exchanges(self) -> list[str]:
        return sorted(self.settings.exchanges)

    @property
    def stopped(self) -> list[str]:
        """Exchanges whose feeds are stopped."""
        return sorted(self._stopped)

    @property
    def unread(self) -> list[str]:
        """Exchanges whose instruments are not known yet."""
        return [exchange for exchange in self.exchanges if exchange not in self._instruments]

    @property
    def refused(self) -> dict[str, str]:
        """Configured books that do not run: address -> reason."""
        named = ((book_address(e, name), why) for e, names in self._refused.items() for name, why in names.items())
        return dict(named)

    def first_specs(self) -> list[ChildSpec]:
        """The children that do not need an instrument list: limits, catalogs, accounts, and given specs."""
        node, specs = self.settings.journal_node, []
        for exchange, settings in self.settings.exchanges.items():
            specs += [*base_specs(exchange, settings), *account_specs(exchange, settings, node)]
        return [*specs, *self.settings.children]

    def listed(self, exchange: str, instruments: Sequence[Mapping[str, Any]]) -> None:
        """Apply an exchange's list of instruments, in the form of `Instrument.to_dict`."""
        self._instruments[exchange], self._dormant = [Listed.read(plain) for plain in instruments], None

    def rule(self, exchange: str, track: bool, patterns: Iterable[str]) -> None:
        """Track or untrack pairs from now on.

        Raises:
            UnknownExchange: the exchange is not in the configuration.
            Misconfigured: a pattern is empty.
        """
        self._check(exchange)
        patterns = tuple(patterns)
        if not all(patterns):
            raise Misconfigured(f"the pairs of {exchange}", "a pair or pattern is empty")
        self._rules[exchange], self._dormant = add_rules(self._rules[exchange], track, patterns), None

    def network(self, exchange: str, running: bool) -> None:
        """Start or stop the feeds of an exchange. A stopped exchange has no books; its tracked pairs stay known.

        Raises:
            UnknownExchange: the exchange is not in the configuration.
        """
        self._check(exchange)
        self._dormant = None
        if running:
            self._stopped.discard(exchange)
        else:
            self._stopped.add(exchange)

    def _check(self, exchange: str) -> None:
        if exchange not in self._rules:
            raise UnknownExchange(exchange, self.exchanges)

    def strangers(self, children: Mapping[str, ChildSpec]) -> tuple[str, ...]:
        """Return the running children that the configuration does not need, left by a mesh with another configuration.

        Books of a known exchange are not included, because its instrument list decides about them. Agents and mirrors
        are not included either, because they belong to nodes.
        """
        asked = {spec.address for spec in self.first_specs()}
        return tuple(
            address
            for address, spec in children.items()
            if address not in asked
            and not any(is_book_of(address, exchange) for exchange in self.settings.exchanges)
            and spec.tier not in (Tier.AGENT, Tier.MIRROR)
        )

    def dormant(self) -> dict[str, Mapping[str, Any]]:
        """Return the tracked books that do not run because their exchange is stopped: address -> instrument."""
        if self._dormant is None:
            self._dormant = {
                address: plain
                for exchange in self.stopped
                if exchange in self._instruments
                for spec in self._plan(exchange, {}).specs.values()
                for address, plain in spec.serves
                if plain is not None
            }
        return self._dormant

    def books(self, exchange: str, children: Mapping[str, ChildSpec]) -> Changes:
        """Return the changes of the book children of `exchange`, given all running children; none before its list is
        known."""
        running = {address: spec for address, spec in children.items() if is_book_of(address, exchange)}
        stopped = exchange in self._stopped
        if exchange not in self._instruments:
            return Changes((), (), tuple(running) if stopped else ())
        plan = self._plan(exchange, running)
        self._refused[exchange] = plan.refused
        return changes(running, Plan({}) if stopped else plan)

    def _plan(self, exchange: str, running: Mapping[str, ChildSpec]) -> Plan:
        return plan_books(
            exchange,
            self.settings.exchanges[exchange],
            self._rules[exchange],
            self._instruments[exchange],
            running,
        )
