"""The settings of a book role."""

from __future__ import annotations

from dataclasses import dataclass

from ...connectors.settings import ConnectorSettings
from ...model.instrument import Instrument
from ..cell.pulse import HEARTBEAT_LIMIT_S


@dataclass(frozen=True, slots=True)
class BookSettings:
    """`instruments` are the pairs that one actor hosts, over one socket.

    `levels` a side and the last `trade_ring` trades are kept in shared memory for readers; they see a book as DEAD when
    its heartbeat is older than `heartbeat_limit_s`.
    """

    connector: ConnectorSettings
    instruments: tuple[Instrument, ...] = ()
    levels: int = 200
    trade_ring: int = 1024
    heartbeat_limit_s: float = HEARTBEAT_LIMIT_S
