"""An IPython console on a running mesh, with `mesh`, `market` and a few helpers; `await` works at the prompt."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ..model.errors import Misconfigured, UnknownExchange

if TYPE_CHECKING:
    from ..mesh.mesh import Mesh

HELP = """\
mesh      {mesh!r}: mesh.status(), mesh.track(exchange, pair), ...
market    the facade of {exchange}; markets[name] for each of: {exchanges}
book      book("BTC-USDT") or book("BTC-USDT", "exchange"): this node's view of one book
pairs     pairs() or pairs("exchange"): the tracked pairs
status    status(): the tree of actors
np        numpy; also Side and Decimal. `market.wait_ready()` blocks; `await market.aio.wait_ready()` works, too."""


def require_ipython() -> None:
    """Raise Misconfigured when IPython is not installed."""
    if find_spec("IPython") is None:
        raise Misconfigured("console", "IPython is not installed; pip install 'venuemesh[console]'")


def names(mesh: Mesh) -> dict[str, Any]:
    """Return the names that the console defines.

    Raises:
        UnknownExchange: the mesh has no exchange.
    """
    from decimal import Decimal

    import numpy as np

    from ..model.events import Side
    from .output import make_console
    from .tables import status_table

    exchanges = mesh.exchanges
    if not exchanges:
        raise UnknownExchange("", [])
    markets = {name: mesh.market(name) for name in exchanges}
    market = markets[exchanges[0]]

    def book(pair: str, exchange: str | None = None) -> Any:
        """Return this node's view of one book."""
        return markets[exchange or exchanges[0]].order_book(pair)

    def pairs(exchange: str | None = None) -> list[str]:
        """Return the tracked pairs."""
        return list(markets[exchange or exchanges[0]].trading_pairs)

    def status() -> None:
        """Print the tree of actors."""
        make_console().print(status_table(mesh.status()))

    return {
        "mesh": mesh,
        "market": market,
        "markets": markets,
        "book": book,
        "pairs": pairs,
        "status": status,
        "np": np,
        "Decimal": Decimal,
        "Side": Side,
    }


def open_console(mesh: Mesh, start: Callable[..., Any] | None = None) -> None:
    """Run the console until the user leaves it. `start` is IPython's `start_ipython`, replaceable in tests.

    Raises:
        Misconfigured: IPython is not installed.
        UnknownExchange: the mesh has no exchange.
    """
    require_ipython()
    known = names(mesh)
    if start is None:
        from IPython import start_ipython  # type: ignore[attr-defined,unused-ignore]

        start = start_ipython
    from traitlets.config import Config

    settings = Config()
    exchanges = list(known["markets"])
    settings.TerminalInteractiveShell.banner1 = (
        "venuemesh console; Ctrl-D leaves the console, and the mesh keeps running.\n"
    )
    settings.TerminalInteractiveShell.banner2 = HELP.format(
        mesh=mesh, exchange=exchanges[0], exchanges=", ".join(exchanges)
    )
    settings.TerminalInteractiveShell.confirm_exit = False
    start(argv=[], user_ns=known, config=settings)
