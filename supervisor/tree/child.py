"""Child specs: the children that the mesh must run, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from ...model.address import BOOK
from ...model.plain import from_tagged, to_tagged


class Restart(Enum):
    """OTP's restart types. https://www.erlang.org/doc/system/sup_princ.html, read 2026-11-22."""

    PERMANENT = "permanent"  # always restarted
    TRANSIENT = "transient"  # restarted if it ended abnormally
    TEMPORARY = "temporary"  # never restarted


class Tier(Enum):
    """Order of start, and of taking spares when there are few: accounts come before books, and books before replicas.

    `ends` is the order of a shutdown, largest first. Order managers stop first, because they may have to cancel orders
    and need the limits for that. The streams follow; a manager requests missed reports when it starts again. Then come
    the roles that only read the market, and last the roles that all others use.
    """

    AGENT = 0
    LIMITS = 1
    CATALOG = 2
    STREAM = 3
    ORDERS = 4
    BOOK = 5
    MIRROR = 6
    LINK = 7
    REPLICA = 8

    @property
    def ends(self) -> int:
        return _ENDS.index(self)


_ENDS = (
    Tier.AGENT,
    Tier.LIMITS,
    Tier.CATALOG,
    Tier.BOOK,
    Tier.REPLICA,
    Tier.LINK,
    Tier.MIRROR,
    Tier.STREAM,
    Tier.ORDERS,
)


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child. `address` is a name, stable across incarnations; `kind` and `config` (the settings) define what runs.

    `serves` are the addresses routed to the child, with the instrument of each (its own address is always routed).
    `after` are children that must have served once before this one starts for the first time. `node` pins the child to
    a node id. With `pinned` that means the host of the node: when the node is lost, the child waits until a node runs
    on that host again, and its status shows `pinned` as the reason. `labels`
    restrict its placement; `weight` is its share in placement. It never runs on the node of the child `apart`, which is
    the other copy of a redundant book.
    """

    address: str
    kind: str
    config: Any = None
    restart: Restart = Restart.PERMANENT
    shutdown_s: float = 5.0
    group: str = ""
    tier: Tier = Tier.BOOK
    serves: tuple[tuple[str, dict[str, Any] | None], ...] = ()
    after: tuple[str, ...] = ()
    node: str | None = None
    pinned: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    weight: int = 1
    apart: str = ""

    @property
    def overlaps(self) -> bool:
        """Whether two incarnations may run at once: books only read the exchange."""
        return self.kind == BOOK

    @property
    def can_be_left(self) -> bool:
        """Whether a successor may start on another node while this one may still run on a silent node.

        The journal of an account fences the older order manager: it records nothing from then on, so it sends nothing.
        (With an SQLite journal, accounts have a `node`.) A stream's repeated reports change nothing; a catalog reads.
        """
        return self.node is None and self.tier in (Tier.CATALOG, Tier.STREAM, Tier.ORDERS)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for msgpack."""
        return {
            "address": self.address,
            "kind": self.kind,
            "config": None if self.config is None else to_tagged(self.config),
            "restart": self.restart.value,
            "shutdown_s": self.shutdown_s,
            "group": self.group,
            "tier": self.tier.value,
            "serves": [[address, instrument] for address, instrument in self.serves],
            "after": list(self.after),
            "node": self.node,
            "pinned": self.pinned,
            "labels": [list(pair) for pair in self.labels],
            "weight": self.weight,
            "apart": self.apart,
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> ChildSpec:
        return cls(
            **{
                **plain,
                "config": None if plain["config"] is None else from_tagged(plain["config"]),
                "restart": Restart(plain["restart"]),
                "tier": Tier(plain["tier"]),
                "serves": tuple((address, instrument) for address, instrument in plain["serves"]),
                "after": tuple(plain["after"]),
                "labels": tuple((key, value) for key, value in plain["labels"]),
            }
        )
