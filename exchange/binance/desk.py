"""The shared state of the handlers of Binance's protocol, and of a protocol that differs in some parts."""

from __future__ import annotations

from ..floor import Floor
from .limits import Limits, Meter
from .order_count import OrderCounts
from .streams import Streams
from .user_data import UserData


class Desk:
    """The floor, and the protocol's own limits, streams, user data and order counts."""

    def __init__(
        self, floor: Floor, protocol: str, limits: Limits | None = None, user_data: UserData | None = None
    ) -> None:
        self.floor = floor
        self.protocol = protocol
        self.limits = limits or Limits()
        self.meter = Meter(self.limits)
        self.streams = Streams(floor, protocol)
        self.user_data = user_data or UserData(floor, protocol)
        self.order_counts = OrderCounts()

    def now_ns(self) -> int:
        return self.floor.clock.now_ns()
