"""The shared state of the handlers of Binance's protocol."""

from __future__ import annotations

from ..floor import Floor
from .limits import Limits, Meter
from .order_count import OrderCounts
from .streams import Streams
from .user_data import UserData


class Desk:
    """The floor, and the protocol's own limits, streams, user data and order counts."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.limits = Limits()
        self.meter = Meter(self.limits)
        self.streams = Streams(floor)
        self.user_data = UserData(floor)
        self.order_counts = OrderCounts()

    def now_ns(self) -> int:
        return self.floor.clock.now_ns()
