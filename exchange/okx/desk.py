"""The shared state of the handlers of OKX's protocol: the floor, the instruments by id, limits, streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..engine.market import Market
from ..floor import Floor
from .errors import ApiError, missing
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
        self.user_data = UserData(floor, self.orders)

    def market(self, inst_id: object) -> Market:
        """Return the market of an instrument.

        Raises:
            ApiError: no instrument is named, or it does not exist.
        """
        if inst_id is None or inst_id == "":
            raise missing("instId")
        found = self.streams.markets.get(inst_id) if isinstance(inst_id, str) else None
        if found is None:
            raise ApiError("51001", "Instrument ID, Instrument ID code or Spread ID doesn't exist.")
        return found

    def market_by_code(self, code: object) -> Market:
        """Return the market of an `instIdCode`, the websocket's name of an instrument.

        Raises:
            ApiError: there is no such instrument.
        """
        if code is None or code == "":
            raise missing("instIdCode")
        for market in self.streams.markets.values():
            if type(code) is int and self.streams.code(market) == code:
                return market
        raise ApiError("51001", "Instrument ID, Instrument ID code or Spread ID doesn't exist.")

    def symbol_of(self, rows: Sequence[Mapping[str, Any]]) -> str | None:
        """Return the engine's symbol of the instrument that all rows of a request name, for fault rules."""
        codes = {self.streams.code(market): market.symbol for market in self.streams.markets.values()}
        named = {
            codes.get(row["instIdCode"]) if "instIdCode" in row else self.symbol(row.get("instId")) for row in rows
        }
        return named.pop() if len(named) == 1 else None

    def symbol(self, inst_id: object) -> str | None:
        """Return the engine's symbol of an instrument, for fault rules."""
        found = self.streams.markets.get(inst_id) if isinstance(inst_id, str) else None
        return None if found is None else found.symbol

    def now_ns(self) -> int:
        return self.floor.clock.now_ns()
