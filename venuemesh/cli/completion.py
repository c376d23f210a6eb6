"""Completes exchanges, pairs, accounts, addresses and names of meshes in the shell, from the running mesh.

`venuemesh --install-completion` sets it up. A completion prints nothing when no mesh answers, and never an error: its
output would end up in the command that the user types.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import typer

from ..model.errors import MeshError


def meshes(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a mesh: those that `venuemesh up` started here."""
    from ..keystore.state_folder import state_folder

    return _matching((path.stem for path in state_folder().glob("*.json")), incomplete)


def exchanges(context: typer.Context, incomplete: str) -> list[str]:
    """Complete an exchange of the mesh."""
    return _matching(_table(context)["exchanges"], incomplete)


def connectors(context: typer.Context, incomplete: str) -> list[str]:
    """Complete an installed connector."""
    from ..connectors import registry

    return _matching(registry.known(), incomplete)


def accounts(context: typer.Context, incomplete: str) -> list[str]:
    """Complete an account: of the exchange in the command, or of any exchange."""
    chosen = _exchange(context)
    found = _table(context)["accounts"]
    return _matching({name for exchange in found if chosen in (None, exchange) for name in found[exchange]}, incomplete)


def pairs(context: typer.Context, incomplete: str) -> list[str]:
    """Complete a tracked pair: of the exchange in the command, or of any exchange."""
    from ..model.address import Address

    chosen = _exchange(context)
    books = [Address.parse(address) for address in _table(context)["tracked"]]
    given = {*(context.params.get("pairs") or ())} - {incomplete}
    names = {book.name for book in books if chosen in (None, book.exchange)} - given
    return _matching(names, incomplete)


def addresses(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the address of an actor."""
    return _matching(_table(context)["routes"], incomplete)


def _exchange(context: typer.Context) -> str | None:
    """Return the exchange in the command; None if there is none yet.

    Behind an option without its value, arguments are not yet read.
    """
    found = context.params.get("exchange")
    return found or (context.args[0] if context.args else None)


def _table(context: typer.Context) -> dict[str, Any]:
    """Return the route table of the mesh in the command; an empty one if no mesh answers."""
    from ..mesh.peek import peek

    mesh = context.params.get("mesh") or os.environ.get("VENUEMESH_MESH") or "mesh"
    try:
        found = peek(mesh)
    except (MeshError, OSError, ValueError):
        found = None
    return found or {"exchanges": [], "accounts": {}, "tracked": {}, "routes": {}}


def _matching(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))
