"""Finds connectors by entry point. A new exchange is one folder and one entry point."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

from ..model.errors import Misconfigured, UnknownExchange
from .market_codec import Connector

GROUP = "venuemesh.connectors"
CCXT = "ccxt:"  # before the ids of the ccxt package, an optional extra
_given: dict[str, Connector] = {}  # connectors of this process only: see `lend`
_lenders: dict[str, int] = {}  # how many have lent a connector and not taken it back
_loaded: dict[str, Connector] = {}  # cached: reading the entry points takes milliseconds, too long during a recovery


def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def known() -> list[str]:
    """Return the names of the installed and lent connectors, sorted. Imports no connector."""
    return sorted({*_entries(), *_given})


def is_known(exchange: str) -> bool:
    """Return whether `connector` may find this name. Imports no connector; for `ccxt:ID` only ccxt knows its ids."""
    if exchange.startswith(CCXT):
        return find_spec("ccxt") is not None
    return exchange in known()


def lend(found: Connector) -> None:
    """Make a connector known to this process by its name, without an installation or in place of the installed one.

    It may be lent several times; it is known until each lender has taken it back.

    Raises:
        Misconfigured: another connector was lent to this process under that name.
    """
    if _given.setdefault(found.name, found) is not found:
        raise Misconfigured(f"connector {found.name}", "another connector of that name is in use in this process")
    _lenders[found.name] = _lenders.get(found.name, 0) + 1


def take_back(found: Connector) -> None:
    """Undo one `lend`."""
    if _given.get(found.name) is not found:
        return
    _lenders[found.name] -= 1
    if not _lenders[found.name]:
        del _given[found.name], _lenders[found.name]


def connector(exchange: str) -> Connector:
    """Return the connector of `exchange`.

    Raises:
        UnknownExchange: no entry point has that name; the error lists the known names.
        Misconfigured: the entry point cannot be loaded, or its object is not a connector.
    """
    if exchange in _given:
        return _given[exchange]
    if exchange in _loaded:
        return _loaded[exchange]
    if exchange.startswith(CCXT):
        from .ccxt import ccxt_connector

        return _loaded.setdefault(exchange, ccxt_connector(exchange))
    entries = _entries()
    if exchange not in entries:
        raise UnknownExchange(exchange, sorted(entries))
    try:
        found = entries[exchange].load()
    except (ImportError, AttributeError) as error:
        raise Misconfigured(f"connector {exchange}", f"{entries[exchange].value} cannot be loaded: {error}") from error
    if not hasattr(found, "codec") or not hasattr(found, "spec"):
        raise Misconfigured(f"connector {exchange}", f"{entries[exchange].value} is not a connector")
    _loaded[exchange] = found
    return _loaded[exchange]
