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
    from .config.mesh import MeshConfig, load_config
    from .market.aio.books import AsyncOrderBooks
    from .market.market import AsyncMarket, Market
    from .market.replay import ReplayMarket
    from .market.rows import ActiveMarket, ActiveMarkets, TickerRow
    from .market.sync.books import OrderBooks
    from .market.values import FeeEstimate, Page
    from .mesh.mesh import AsyncMesh, Mesh, connect, launch
    from .model.candle import Candle
    from .model.errors import (
        AccountHeld,
        BeyondDepth,
        BookError,
        CaptureError,
        ConfigError,
        DataError,
        DecodeError,
        EventsRewound,
        EventsTrimmed,
        Fenced,
        FixedPointError,
        InboxFull,
        InsufficientBalance,
        InvalidTransition,
        JournalMissing,
        JournalRewound,
        JournalUnavailable,
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
        SegmentMismatch,
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
        Fee,
        Fill,
        NewOrder,
        Order,
        OrderStatus,
        OrderType,
        TimeInForce,
    )
    from .orderbook.order_snapshot import OrderLevelSnapshot, QueueAhead
    from .orderbook.records import Depth, Level, Statistics, Trade
    from .orderbook.segment import Top
    from .orderbook.snapshot import BookSnapshot
    from .orderbook.view import AsyncBookView, BookView

_HOME = {
    "config.mesh": ("MeshConfig", "load_config"),
    "market.aio.books": ("AsyncOrderBooks",),
    "market.market": ("AsyncMarket", "Market"),
    "market.replay": ("ReplayMarket",),
    "market.rows": ("ActiveMarket", "ActiveMarkets", "TickerRow"),
    "market.sync.books": ("OrderBooks",),
    "market.values": ("FeeEstimate", "Page"),
    "mesh.mesh": ("AsyncMesh", "Mesh", "connect", "launch"),
    "model.candle": ("Candle",),
    "model.errors": (
        "AccountHeld",
        "BeyondDepth",
        "BookError",
        "CaptureError",
        "ConfigError",
        "DataError",
        "DecodeError",
        "EventsRewound",
        "EventsTrimmed",
        "Fenced",
        "FixedPointError",
        "InboxFull",
        "InsufficientBalance",
        "InvalidTransition",
        "JournalMissing",
        "JournalRewound",
        "JournalUnavailable",
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
        "SegmentMismatch",
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
        "Fee",
        "Fill",
        "NewOrder",
        "Order",
        "OrderStatus",
        "OrderType",
        "TimeInForce",
    ),
    "orderbook.order_snapshot": ("OrderLevelSnapshot", "QueueAhead"),
    "orderbook.records": ("Depth", "Level", "Statistics", "Trade"),
    "orderbook.segment": ("Top",),
    "orderbook.snapshot": ("BookSnapshot",),
    "orderbook.view": ("AsyncBookView", "BookView"),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "AccountEvent",
    "AccountHeld",
    "ActiveMarket",
    "ActiveMarkets",
    "AsyncBookView",
    "AsyncMarket",
    "AsyncMesh",
    "AsyncOrderBooks",
    "Balance",
    "BeyondDepth",
    "BookError",
    "BookSnapshot",
    "BookState",
    "BookView",
    "CancelResult",
    "Candle",
    "CaptureError",
    "ConfigError",
    "DataError",
    "DecodeError",
    "Depth",
    "EventType",
    "EventsRewound",
    "EventsTrimmed",
    "Fee",
    "FeeEstimate",
    "Fenced",
    "Fill",
    "FixedPointError",
    "InboxFull",
    "Instrument",
    "InsufficientBalance",
    "InvalidTransition",
    "JournalMissing",
    "JournalRewound",
    "JournalUnavailable",
    "Level",
    "Market",
    "Mesh",
    "MeshConfig",
    "MeshError",
    "MeshNotRunning",
    "Misconfigured",
    "NewOrder",
    "NotOffered",
    "NotSynced",
    "Order",
    "OrderBooks",
    "OrderLevelSnapshot",
    "OrderStatus",
    "OrderType",
    "OutcomeUnknown",
    "Page",
    "Paused",
    "QueueAhead",
    "Rejected",
    "ReplayMarket",
    "RetryLater",
    "RuleViolation",
    "SegmentMismatch",
    "Side",
    "Statistics",
    "TickerRow",
    "TimeInForce",
    "Top",
    "Trade",
    "UnknownExchange",
    "UnknownInstrument",
    "UnknownOrder",
    "connect",
    "launch",
    "load_config",
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
