"""Exchange connectors as a distributed actor system on Ray.

`connect()` joins a running mesh; `Mesh.market(exchange)` gives the picklable facade that strategies read and trade
through. `Market`, `Mesh` and `BookView` are for sync code, `AsyncMarket`, `AsyncMesh` and `AsyncBookView` for async
code, with the same names in both. Names in `__all__` are imported at their first use, so a process that needs
only a part (the local exchange, a codec) does not import Ray.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .market.market import AsyncMarket, Market
    from .market.replay import ReplayMarket
    from .market.rows import ActiveMarket, ActiveMarkets, TickerRow
    from .market.values import FeeEstimate, Page
    from .mesh.mesh import AsyncMesh, Mesh, connect, launch
    from .model.candle import Candle
    from .model.errors import (
        BeyondDepth,
        EventsTrimmed,
        InsufficientBalance,
        MeshError,
        MeshNotRunning,
        Misconfigured,
        NotOffered,
        NotSynced,
        OutcomeUnknown,
        Paused,
        Rejected,
        RetryLater,
        RuleViolation,
        UnknownExchange,
        UnknownInstrument,
        UnknownOrder,
    )
    from .model.events import BookState, Side
    from .model.instrument import Instrument
    from .model.order import (
        AccountEvent,
        Balance,
        CancelResult,
        EventType,
        Fill,
        NewOrder,
        Order,
        OrderStatus,
        OrderType,
        TimeInForce,
    )
    from .orderbook.records import Depth, Level, Trade
    from .orderbook.segment import Top
    from .orderbook.snapshot import BookSnapshot
    from .orderbook.view import AsyncBookView, BookView

_HOME = {
    "market.market": ("AsyncMarket", "Market"),
    "market.replay": ("ReplayMarket",),
    "market.rows": ("ActiveMarket", "ActiveMarkets", "TickerRow"),
    "market.values": ("FeeEstimate", "Page"),
    "mesh.mesh": ("AsyncMesh", "Mesh", "connect", "launch"),
    "model.candle": ("Candle",),
    "model.errors": (
        "BeyondDepth",
        "EventsTrimmed",
        "InsufficientBalance",
        "MeshError",
        "MeshNotRunning",
        "Misconfigured",
        "NotOffered",
        "NotSynced",
        "OutcomeUnknown",
        "Paused",
        "Rejected",
        "RetryLater",
        "RuleViolation",
        "UnknownExchange",
        "UnknownInstrument",
        "UnknownOrder",
    ),
    "model.events": ("BookState", "Side"),
    "model.instrument": ("Instrument",),
    "model.order": (
        "AccountEvent",
        "Balance",
        "CancelResult",
        "EventType",
        "Fill",
        "NewOrder",
        "Order",
        "OrderStatus",
        "OrderType",
        "TimeInForce",
    ),
    "orderbook.records": ("Depth", "Level", "Trade"),
    "orderbook.segment": ("Top",),
    "orderbook.snapshot": ("BookSnapshot",),
    "orderbook.view": ("AsyncBookView", "BookView"),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "AccountEvent",
    "ActiveMarket",
    "ActiveMarkets",
    "AsyncBookView",
    "AsyncMarket",
    "AsyncMesh",
    "Balance",
    "BeyondDepth",
    "BookSnapshot",
    "BookState",
    "BookView",
    "CancelResult",
    "Candle",
    "Depth",
    "EventType",
    "EventsTrimmed",
    "FeeEstimate",
    "Fill",
    "Instrument",
    "InsufficientBalance",
    "Level",
    "Market",
    "Mesh",
    "MeshError",
    "MeshNotRunning",
    "Misconfigured",
    "NewOrder",
    "NotOffered",
    "NotSynced",
    "Order",
    "OrderStatus",
    "OrderType",
    "OutcomeUnknown",
    "Page",
    "Paused",
    "Rejected",
    "ReplayMarket",
    "RetryLater",
    "RuleViolation",
    "Side",
    "TickerRow",
    "TimeInForce",
    "Top",
    "Trade",
    "UnknownExchange",
    "UnknownInstrument",
    "UnknownOrder",
    "connect",
    "launch",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        found = _version()
    elif name in _MODULE:
        found = getattr(import_module(f".{_MODULE[name]}", __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("venuemesh")
    except PackageNotFoundError:  # a source tree that is not installed
        return "0+unknown"
