"""The shared state of the handlers of Kraken's protocol."""

from __future__ import annotations

from ..floor import Floor
from .auth import Nonces, Tokens
from .limits import Limits, Meter
from .names import Pairs
from .orders import Orders
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
        self.orders = Orders(floor, self.pairs, self.meter)
        self.user_data = UserData(floor, self.pairs, self.orders, self.meter)
        self.nonces = Nonces()
        self.tokens = Tokens(self.limits, lambda token: self.user_data.uses(token) or self.streams.uses(token))

    def lists(self, symbol: str) -> bool:
        """Return whether a symbol is listed; orders of a delisted pair are not shown."""
        return symbol in self.pairs.by_symbol

    def now_ns(self) -> int:
        return self.floor.clock.now_ns()
