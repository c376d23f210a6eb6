"""The shared state of the handlers of HTX's protocol."""

from __future__ import annotations

from ..floor import Floor
from .dead_man import DeadMan
from .limits import Limits, Meter
from .orders import Orders
from .pairs import Pairs
from .streams import Streams
from .user_data import UserData


class Desk:
    """The floor, and the protocol's own state."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.pairs = Pairs()
        self.limits = Limits()
        self.meter = Meter(self.limits)
        self.streams = Streams(floor, self.pairs)
        self.orders = Orders(floor)
        self.user_data = UserData(floor, self.pairs, self.orders)
        self.dead_man = DeadMan(self.orders.cancel_all)

    def now_ns(self) -> int:
        return self.floor.clock.now_ns()
