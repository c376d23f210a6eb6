"""Addresses (kind/exchange/name) and the routes that lead to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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


def limits_address(exchange: str, egress: str) -> str:
    return f"limits/{exchange}/{egress}"


def catalog_address(exchange: str) -> str:
    return f"catalog/{exchange}"


def book_address(exchange: str, name: str) -> str:
    return f"book/{exchange}/{name}"


def orders_address(exchange: str, account: str) -> str:
    return f"orders/{exchange}/{account}"


def stream_address(exchange: str, account: str) -> str:
    return f"stream/{exchange}/{account}"


def agent_address(node: str) -> str:
    return f"agent/{node[:12]}"


def mirror_address(node: str) -> str:
    return f"mirror/{node[:12]}"
