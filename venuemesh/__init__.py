"""Exchange connectors as a distributed actor system on Ray.

`connect()` joins a running mesh; `Mesh.market(exchange)` gives the picklable facade that strategies read through. What
is named in `__all__` is imported when it is first used, so a process that needs only a part (the local exchange, a
codec) does not pay for Ray.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .market.market import Market
    from .mesh.mesh import Mesh, connect, launch
    from .model.errors import (
        BeyondDepth,
        MeshError,
        MeshNotRunning,
        Misconfigured,
        NotSynced,
        OutcomeUnknown,
        Rejected,
        RetryLater,
        UnknownExchange,
        UnknownInstrument,
    )
    from .model.events import BookState, Side
    from .model.instrument import Instrument
    from .orderbook.view import BookView

_HOME = {
    "mesh.mesh": ("Mesh", "connect", "launch"),
    "market.market": ("Market",),
    "model.errors": (
        "BeyondDepth",
        "MeshError",
        "MeshNotRunning",
        "Misconfigured",
        "NotSynced",
        "OutcomeUnknown",
        "Rejected",
        "RetryLater",
        "UnknownExchange",
        "UnknownInstrument",
    ),
    "model.events": ("BookState", "Side"),
    "model.instrument": ("Instrument",),
    "orderbook.view": ("BookView",),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

try:
    __version__ = version("venuemesh")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = [
    "BeyondDepth",
    "BookState",
    "BookView",
    "Instrument",
    "Market",
    "Mesh",
    "MeshError",
    "MeshNotRunning",
    "Misconfigured",
    "NotSynced",
    "OutcomeUnknown",
    "Rejected",
    "RetryLater",
    "Side",
    "UnknownExchange",
    "UnknownInstrument",
    "connect",
    "launch",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f".{_MODULE[name]}", __name__), name)
    globals()[name] = found
    return found
