"""What the mesh shall run, as durable plain data: the configuration and what was tracked and untracked since. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..model.errors import UnknownExchange
from .child import ChildSpec
from .plan import Changes, Rule, add_rules, base_specs, book_address, changes, plan_books


class Desired:
    """One writer: the supervisor. `stored` is what `to_dict` gave to a supervisor before this one, or None."""

    def __init__(self, config: dict[str, Any], stored: dict[str, Any] | None = None) -> None:
        self.config: dict[str, Any] = stored["config"] if stored else config
        rules = stored["rules"] if stored else {}
        self._rules: dict[str, list[Rule]] = {
            exchange: [(bool(track), pattern) for track, pattern in rules[exchange]]
            if exchange in rules
            else [(True, pattern) for pattern in settings.get("pairs", ())]
            for exchange, settings in self.config["exchanges"].items()
        }
        self._instruments: dict[str, Sequence[Mapping[str, Any]]] = {}
        self._refused: dict[str, Mapping[str, str]] = {}

    def to_dict(self) -> dict[str, Any]:
        rules = {exchange: [list(rule) for rule in found] for exchange, found in self._rules.items()}
        return {"config": self.config, "rules": rules}

    @property
    def exchanges(self) -> list[str]:
        return sorted(self.config["exchanges"])

    @property
    def unread(self) -> list[str]:
        """Exchanges whose instruments are not known yet."""
        return [exchange for exchange in self.exchanges if exchange not in self._instruments]

    @property
    def refused(self) -> dict[str, str]:
        """Address of a book -> why it is not there although its pair was named."""
        named = ((book_address(e, name), why) for e, names in self._refused.items() for name, why in names.items())
        return dict(named)

    def first_specs(self) -> list[ChildSpec]:
        """The children that need no instrument list: limits and catalogs, and those configured as plain specs."""
        specs = [spec for exchange, s in self.config["exchanges"].items() for spec in base_specs(exchange, s)]
        return specs + [ChildSpec.from_dict(plain) for plain in self.config.get("children", ())]

    def listed(self, exchange: str, instruments: Sequence[Mapping[str, Any]]) -> None:
        """Take note of an exchange's instruments."""
        self._instruments[exchange] = instruments

    def rule(self, exchange: str, track: bool, patterns: Iterable[str]) -> None:
        """Track or untrack from now on.

        Raises:
            UnknownExchange: not in the configuration.
        """
        if exchange not in self._rules:
            raise UnknownExchange(exchange, self.exchanges)
        self._rules[exchange] = add_rules(self._rules[exchange], track, patterns)

    def books(self, exchange: str, children: Mapping[str, ChildSpec]) -> Changes:
        """What to change of the book children of `exchange`, given all that run. Nothing while it is unread."""
        if exchange not in self._instruments:
            return Changes((), (), ())
        prefix = book_address(exchange, "")
        running = {address: spec for address, spec in children.items() if address.startswith(prefix)}
        plan = plan_books(
            exchange,
            self.config["exchanges"][exchange],
            self._rules[exchange],
            self._instruments[exchange],
            running,
            float(self.config.get("heartbeat_limit_s", 0.25)),
        )
        self._refused[exchange] = plan.refused
        return changes(running, plan)
