"""The settings of a book role."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...connectors.settings import ConnectorSettings
from ...model.instrument import Instrument
from ..cell.pulse import HEARTBEAT_LIMIT_S


@dataclass(frozen=True, slots=True)
class BookSettings:
    """`instruments` are the pairs that one actor hosts, over one socket.

    `levels` a side and the last `trade_ring` trades are kept in shared memory for readers; they see a book as DEAD when
    its heartbeat is older than `heartbeat_limit_s`.

    `books`: of price levels (L2), or of every order (L3), from which the levels follow. `account` proves itself to the
    exchange where order-level books need that.

    `redundant`: a second actor, on another node, keeps the same books; the address says which of the two is the
    replica.
    """

    connector: ConnectorSettings
    instruments: tuple[Instrument, ...] = ()
    levels: int = 200
    trade_ring: int = 1024
    heartbeat_limit_s: float = HEARTBEAT_LIMIT_S
    books: Literal["levels", "orders"] = "levels"
    account: str | None = None
    redundant: bool = False
