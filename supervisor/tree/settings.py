"""The settings of a mesh: the supervisor's own and those of all its children. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...actors.account.settings import StreamSettings
from ...actors.book.settings import BookSettings
from ...actors.catalog.settings import CatalogSettings
from ...actors.limits.settings import LimitsSettings
from ...actors.link.settings import LinkSettings
from ...actors.node.settings import MIRROR_LEASE_S, AgentSettings, MirrorSettings
from ...actors.orders.settings import OrderManagerSettings
from ...connectors.settings import ConnectorSettings
from .child import ChildSpec
from .policy import Policy


@dataclass(frozen=True, slots=True)
class TreeSettings:
    """Settings of the tree. Times in seconds."""

    spares_per_node: int = 2
    creating_per_node: int = 3
    create_timeout_s: float = 60.0
    adopt_timeout_s: float = 10.0
    kill_timeout_s: float = 2.0
    ready_timeout_s: float = 60.0  # of a restart: until a spare waits, and until the successor is ready
    leave_s: float = 0.5  # a replaced book serves so much longer: callers and mirrors have the new route by then
    follow_s: float = 15.0  # if it moved: at most so long until a mirror on its node has its books
    again_s: float = 60.0  # before a move away from a drained host that failed is tried again
    rebalance: bool = True  # books move by themselves: see `balancer`
    balance_after_s: float = 60.0  # the mesh must have been calm for so long
    balance_every_s: float = 5.0  # between two looks
    policy: Policy = field(default_factory=Policy)
    agent: AgentSettings = field(default_factory=AgentSettings)


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """The two children of an account."""

    stream: StreamSettings
    orders: OrderManagerSettings


@dataclass(frozen=True, slots=True)
class ExchangeSettings:
    """The settings of one exchange: of each of its children, and of its books.

    `book` has no instruments: each book child gets its own. `redundancy` is the number of nodes, 1 or 2, that keep each
    book. `nodes` are labels of the nodes where the exchange's children may run.
    """

    limits: LimitsSettings
    catalog: CatalogSettings
    book: BookSettings
    pairs: tuple[str, ...] = ()
    pairs_per_actor: int = 1
    redundancy: int = 1
    nodes: Mapping[str, str] = field(default_factory=dict)
    accounts: Mapping[str, AccountSettings] = field(default_factory=dict)

    @property
    def connector(self) -> ConnectorSettings:
        return self.limits.connector

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        return tuple(sorted(self.nodes.items()))


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """The settings of a whole mesh. `birth` distinguishes one creation of the mesh from another (see `desired`).

    `journal_node` is the node of an SQLite journal; all accounts run there. `supervisor_nodes` are the labels of the
    nodes that the supervisor prefers. `children` run in addition to those of the exchanges.
    """

    mesh: str
    exchanges: Mapping[str, ExchangeSettings] = field(default_factory=dict)
    tree: TreeSettings = field(default_factory=TreeSettings)
    mirror: MirrorSettings = field(default_factory=MirrorSettings)
    link: LinkSettings = field(default_factory=LinkSettings)
    mirror_lease_s: float = MIRROR_LEASE_S
    journal_node: str | None = None
    supervisor_nodes: Mapping[str, str] = field(default_factory=dict)
    children: tuple[ChildSpec, ...] = ()
    birth: str = ""

    @property
    def connectors(self) -> tuple[str, ...]:
        """The connectors of all exchanges, each once."""
        return tuple(dict.fromkeys(one.catalog.connector.connector for one in self.exchanges.values()))
