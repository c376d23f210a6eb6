"""The listed pairs, and the decimals of a pair's numbers on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import NAMESPACE_OID, uuid5

from ..engine.market import Market
from ..engine.rules import SCALE
from ..wire.numbers import to_decimals
from .errors import ApiError

SPOT = "spot"
CATEGORIES = (SPOT, "linear", "inverse", "option")


@dataclass(slots=True)
class Pair:
    """One listed pair.

    Its decimals grow with finer trading rules and never shrink, because old prices stay in the book.
    """

    market: Market
    price_decimals: int = 0
    size_decimals: int = 0

    def __post_init__(self) -> None:
        self.learn()

    @property
    def symbol(self) -> str:
        return self.market.symbol

    def learn(self) -> None:
        """Apply the decimals of the current trading rules."""
        rules = self.market.rules
        self.price_decimals = max(self.price_decimals, rules.price_decimals)
        self.size_decimals = max(self.size_decimals, rules.size_decimals)

    def price(self, raw: int) -> str:
        """Write a price; an average is cut to the pair's decimals."""
        unit = 10 ** (SCALE - self.price_decimals)
        return to_decimals(raw - raw % unit, self.price_decimals)

    def size(self, raw: int) -> str:
        return to_decimals(raw, self.size_decimals) if raw else "0"

    def trade_id(self, number: int) -> str:
        """Return the id of a trade: a UUID."""
        return trade_uuid(self.symbol, number)


def trade_uuid(symbol: str, number: int) -> str:
    """Return the id of a trade by its symbol and the engine's number."""
    return str(uuid5(NAMESPACE_OID, f"{symbol} {number}"))


class Pairs:
    """All listed pairs by symbol."""

    def __init__(self) -> None:
        self.by_symbol: dict[str, Pair] = {}

    def find(self, symbol: object) -> Pair:
        """Return a pair.

        Raises:
            ApiError: no such symbol.
        """
        found = self.by_symbol.get(symbol) if isinstance(symbol, str) else None
        if found is None:
            raise ApiError("Not supported symbols")
        found.learn()
        return found
