"""Addresses and their routes. Only this module knows the form of an address.

limits/<exchange>/<egress>      orders/<exchange>/<account>     agent/<node>
catalog/<exchange>              stream/<exchange>/<account>     mirror/<node>
book/<exchange>/<pair>          replica/<exchange>/<pair>       link/<node>
book/<exchange>/group-<number>  (one actor that serves several pairs; replica/... likewise)

With `redundancy = 2` a second actor on another node keeps the same book: the replica. Its routes and segments have its
own addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from .errors import Misconfigured

BOOK, REPLICA, ORDERS, STREAM, LIMITS, CATALOG, AGENT, MIRROR, LINK = (
    "book",
    "replica",
    "orders",
    "stream",
    "limits",
    "catalog",
    "agent",
    "mirror",
    "link",
)
OF_NODES = (AGENT, MIRROR, LINK)  # kinds that belong to a node, not to an exchange
GROUP = "group-"
NODE_CHARACTERS = 12  # of a node's id, in the addresses of its roles


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of an address; `str` returns the address.

    `exchange` is empty for the roles of a node, whose id is `name`; `name` is empty for a catalog. `name` is the last
    part and may contain a slash; the other parts may not.
    """

    kind: str
    exchange: str = ""
    name: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.kind, self.exchange, self.name) if part)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address.

        Raises:
            Misconfigured: not an address: a part is missing or empty, or there is an extra part.
        """
        kind, *rest = text.split("/", 2)
        if not kind or not rest or not all(rest):
            raise Misconfigured(f"address {text!r}", "a part is missing: an address is kind/exchange/name")
        if kind in OF_NODES or kind == CATALOG:
            if len(rest) != 1:
                raise Misconfigured(f"address {text!r}", f"the address of a {kind} has two parts")
            return cls(kind, name=rest[0]) if kind in OF_NODES else cls(kind, rest[0])
        if len(rest) != 2:
            raise Misconfigured(f"address {text!r}", f"the address of a {kind} has three parts")
        return cls(kind, *rest)

    @property
    def group_number(self) -> int | None:
        """Return the number of a group of books, or of replicas; None for any other address."""
        number = self.name.removeprefix(GROUP)
        is_group = self.kind in (BOOK, REPLICA) and number != self.name and number.isdecimal()
        return int(number) if is_group else None


@dataclass(frozen=True, slots=True)
class Route:
    """`address` is served by `cell` on `node` in this `incarnation`; `child` is the supervised address behind it."""

    address: str
    child: str
    cell: str
    node: str
    incarnation: tuple[int, int]
    instrument: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "cell": self.cell,
            "node": self.node,
            "incarnation": list(self.incarnation),
            "child": self.child,
            "instrument": self.instrument,
        }

    @classmethod
    def from_dict(cls, address: str, plain: dict[str, Any]) -> Route:
        epoch, counter = plain["incarnation"]
        return cls(address, plain["child"], plain["cell"], plain["node"], (epoch, counter), plain.get("instrument"))


def has_kind(address: str, kind: str) -> bool:
    """Return whether an address is of a kind; False for text that is not an address."""
    return address.startswith(f"{kind}/")


def belongs_to_node(address: str) -> bool:
    """Return whether an address is of a role that runs on one node and cannot leave it."""
    return any(has_kind(address, kind) for kind in OF_NODES)


def is_book_of(address: str, exchange: str) -> bool:
    """Return whether an address is a book or a replica, or a group of these, of an exchange; False if the text is not
    an address."""
    return address.startswith((f"{BOOK}/{exchange}/", f"{REPLICA}/{exchange}/"))


def replica_of(address: str) -> str:
    """Return the address of the replica of a book, or of a group of books; of any other address: the address itself."""
    return REPLICA + address.removeprefix(BOOK) if has_kind(address, BOOK) else address


def book_of(address: str) -> str:
    """Return the address of the book, or of the group of books, of a replica; of any other address: the address
    itself."""
    return BOOK + address.removeprefix(REPLICA) if has_kind(address, REPLICA) else address


def limits_address(exchange: str, egress: str) -> str:
    return str(Address(LIMITS, exchange, egress))


def catalog_address(exchange: str) -> str:
    return str(Address(CATALOG, exchange))


def book_address(exchange: str, name: str) -> str:
    return str(Address(BOOK, exchange, name))


def group_address(exchange: str, number: int) -> str:
    return str(Address(BOOK, exchange, f"{GROUP}{number}"))


def orders_address(exchange: str, account: str) -> str:
    return str(Address(ORDERS, exchange, account))


def stream_address(exchange: str, account: str) -> str:
    return str(Address(STREAM, exchange, account))


def agent_address(node: str) -> str:
    return str(Address(AGENT, name=node[:NODE_CHARACTERS]))


def mirror_address(node: str) -> str:
    return str(Address(MIRROR, name=node[:NODE_CHARACTERS]))


def link_address(node: str) -> str:
    return str(Address(LINK, name=node[:NODE_CHARACTERS]))
