"""Find the class of a role by kind, or by import path "module:Class". Classes are imported when first needed."""

from __future__ import annotations

import contextlib
import encodings.idna  # noqa: F401 - a process imports it at its first connection, which takes 20 ms
import importlib
from collections.abc import Iterable
from typing import Any, cast

from ...connectors.registry import connector, known
from ...model.errors import Misconfigured, UnknownExchange
from ...model.plain import from_tagged
from .role import Context, Role, RoleFactory, RoleSpec

ORDERS = "orders"
KINDS = {
    "agent": "venuemesh.actors.node.agent:AgentRole",
    "limits": "venuemesh.actors.limits.role:LimitsRole",
    "catalog": "venuemesh.actors.catalog.role:CatalogRole",
    "book": "venuemesh.actors.book.role:BookRole",
    "link": "venuemesh.actors.link.role:LinkRole",
    "mirror": "venuemesh.actors.node.mirror:MirrorRole",
    "stream": "venuemesh.actors.account.stream:UserStreamRole",
    ORDERS: "venuemesh.actors.orders.role:OrderManagerRole",
}


def load(kind: str) -> RoleFactory:
    """Return the factory of roles of this kind.

    Raises:
        Misconfigured: no such kind, module or class.
    """
    path = KINDS.get(kind, kind)
    module, _, name = path.partition(":")
    if not module or not name:
        raise Misconfigured(f"role kind {kind!r}", f"known are {', '.join(KINDS)}, or 'module:Class'")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise Misconfigured(f"role kind {kind!r}", str(error)) from error
    return cast(RoleFactory, found)


def preload(trading: bool = True, connectors: Iterable[str] = ()) -> None:
    """Import every role and connector now, so that a spare imports and builds nothing when it adopts a role.

    Without `trading` the order manager is left out, because it imports a database library (0.3 s, 17 MB). `connectors`
    are those of the mesh besides the installed ones: ccxt alone knows its own, and its import takes seconds.
    """
    for kind in KINDS:
        if trading or kind != ORDERS:
            load(kind)
    if trading:
        from ...journal.apply import DIALECTS, statements  # the database library

        for dialect in DIALECTS:
            statements(dialect)
    for exchange in {*known(), *connectors}:
        with contextlib.suppress(Misconfigured, UnknownExchange):  # the role that needs the connector reports the error
            connector(exchange)


def read_config(plain: Any) -> Any:
    """Return the settings of a role from the plain values in an assignment."""
    return None if plain is None else from_tagged(plain)


def build(spec: RoleSpec, context: Context) -> Role:
    return load(spec.kind)(spec.config, context)
