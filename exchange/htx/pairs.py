"""The listed pairs by the protocol's symbol, and numbers as the protocol writes them."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from ..engine.market import Market
from ..engine.rules import ONE, SCALE
from ..wire.numbers import short
from .errors import ApiError

LEAST, MOST = ONE // 1000, 10**7 * ONE  # numbers from here on, and up to here, have no exponent


def double(raw: int) -> orjson.Fragment:
    """Write a number as the exchange's double numbers are written: "2.0", "1.58E-4", "2.5164487E7"; exact."""
    if LEAST <= raw < MOST or not raw:
        plain = short(raw)
        return orjson.Fragment(plain if "." in plain else f"{plain}.0")
    digits = str(raw).rstrip("0")
    exponent = len(str(raw)) - 1 - SCALE
    return orjson.Fragment(f"{digits[0]}.{digits[1:] or '0'}E{exponent}")


@dataclass(frozen=True, slots=True)
class Pair:
    """One listed pair."""

    market: Market

    @property
    def symbol(self) -> str:
        return self.market.symbol.lower()


class Pairs:
    """All listed pairs by the protocol's symbol."""

    def __init__(self) -> None:
        self.by_symbol: dict[str, Pair] = {}

    def list(self, market: Market) -> None:
        self.by_symbol[market.symbol.lower()] = Pair(market)

    def delist(self, market: Market) -> None:
        del self.by_symbol[market.symbol.lower()]

    def of(self, symbol: str) -> Pair | None:
        """Return the pair of an engine's symbol."""
        return self.by_symbol.get(symbol.lower())

    def engine_symbol(self, symbol: object) -> str | None:
        """Return the engine's symbol, for fault rules; None: no such pair."""
        found = self.by_symbol.get(symbol) if isinstance(symbol, str) else None
        return None if found is None else found.market.symbol

    def find(self, symbol: object) -> Pair:
        """Return a pair.

        Raises:
            ApiError: no such symbol.
        """
        found = self.by_symbol.get(symbol) if isinstance(symbol, str) else None
        if found is None:
            raise ApiError("invalid-parameter", "invalid symbol")
        return found
