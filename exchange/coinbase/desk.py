"""The shared state of the handlers of Coinbase's protocol."""

from __future__ import annotations

from ..engine.market import Market
from ..floor import Floor
from .errors import ApiError
from .limits import Limits, Meter
from .orders import Orders
from .streams import Streams
from .user_data import UserData


class Desk:
    """The floor, and the protocol's own state."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.limits = Limits()
        self.meter = Meter(self.limits)
        self.streams = Streams(floor)
        self.orders = Orders(floor)
        self.user_data = UserData(floor, self.streams, self.orders)

    def market(self, product_id: object) -> Market:
        """Return the market of a product.

        Raises:
            ApiError: there is no such product.
        """
        found = self.streams.markets.get(product_id) if isinstance(product_id, str) else None
        if found is None:
            raise ApiError("Product not found" if product_id else "product_id is required", 404 if product_id else 400)
        return found

    def now_ns(self) -> int:
        return self.floor.clock.now_ns()
