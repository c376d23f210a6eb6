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
from ...model.instrument import TRADING, Instrument
from ...model.plain import from_plain, to_plain
from .child import ChildSpec, Tier
from .plan import Changes, Listed, Plan, Rule, account_specs, add_rules, base_specs, changes, is_tracked, plan_books
from .settings import MeshSettings

UNLISTED = "UNLISTED"  # status of a pair that the exchange has, does not list, and does not trade


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
        self._missing: dict[str, dict[str, Listed]] = {}  # running pairs that the list lacks, by exchange and name
        self._gone: dict[str, set[str]] = {}  # of these: the exchange no longer has them
        self._silent: dict[str, set[str]] = {}  # of these: the exchange has them, and does not trade them
        self._halted: dict[str, list[str]] = {}  # tracked pairs that do not trade
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

    def listed(self, exchange: str, instruments: Sequence[Mapping[str, Any]], kept: Iterable[str] = ()) -> None:
        """Apply an exchange's list of instruments, in the form of `Instrument.to_dict`, without those in `kept`.

        Running pairs that the list lacks are missing until they are judged: a list may be wrong.
        """
        unlisted = set(kept)
        found = [Listed.read(plain) for plain in instruments if plain["name"] not in unlisted]
        self._instruments[exchange], self._dormant = found, None
        self._missing.pop(exchange, None)

    def missing(self, exchange: str) -> list[Instrument]:
        """Return the running pairs that the list lacks and that are not known to be gone."""
        return [found.instrument for found in self._missing.get(exchange, {}).values()]

    def judged(self, exchange: str, gone: Iterable[str], silent: Iterable[str]) -> None:
        """Record which missing pairs the exchange no longer has, and which it has and does not trade."""
        self._gone.setdefault(exchange, set()).update(gone)
        self._silent[exchange] = set(silent)

    def is_watched(self, exchange: str) -> bool:
        """Return whether the list must be fetched often: a tracked pair is missing, or does not trade."""
        return bool(self._missing.get(exchange) or self._halted.get(exchange))

    @property
    def doubts(self) -> dict[str, str]:
        """Tracked books whose pairs the list lacks: address -> what is known."""
        return {
            book_address(exchange, name): f"{exchange} does not list {name}, and still has it: it stays tracked"
            for exchange, found in self._missing.items()
            for name in found
        }

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

        Books of a known exchange are not included, because its instrument list decides about them. Agents, mirrors
        and links are not included either, because they belong to nodes.
        """
        asked = {spec.address for spec in self.first_specs()}
        return tuple(
            address
            for address, spec in children.items()
            if address not in asked
            and not any(is_book_of(address, exchange) for exchange in self.settings.exchanges)
            and spec.tier not in (Tier.AGENT, Tier.MIRROR, Tier.LINK)
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
        self._missing[exchange] = self._lacking(exchange, running)
        plan = self._plan(exchange, running)
        self._refused[exchange] = plan.refused
        tracked = [instrument for spec in plan.specs.values() for instrument in spec.config.instruments]
        self._halted[exchange] = [instrument.name for instrument in tracked if not instrument.is_trading]
        return changes(running, Plan({}) if stopped else plan)

    def _lacking(self, exchange: str, running: Mapping[str, ChildSpec]) -> dict[str, Listed]:
        """Return the running pairs that the list lacks and that are not known to be gone, by name."""
        listed = {found.instrument.name for found in self._instruments[exchange]}
        gone = self._gone.setdefault(exchange, set())
        gone -= listed
        served = [plain for spec in running.values() for _, plain in spec.serves if plain is not None]
        silent = self._silent.get(exchange, set())
        return {
            plain["name"]: Listed.read({**plain, "status": UNLISTED if plain["name"] in silent else TRADING})
            for plain in served
            if plain["name"] not in listed | gone and is_tracked(plain["name"], self._rules[exchange])
        }

    def _plan(self, exchange: str, running: Mapping[str, ChildSpec]) -> Plan:
        return plan_books(
            exchange,
            self.settings.exchanges[exchange],
            self._rules[exchange],
            [*self._instruments[exchange], *self._missing.get(exchange, {}).values()],
            running,
        )
