"""Kraken's names of assets and pairs, and the decimals of a pair's numbers on the wire.

One pair has four names: for BTC and USDT the key XBTUSDT and the altname XBTUSDT of REST, XBT/USDT in AssetPairs'
`wsname`, and BTC/USDT in websocket v2. Old assets have a letter before them (XXBT, ZEUR), and a pair of two old assets
has both letters in its key (XETHXXBT) but not in its altname (ETHXBT).

Source: get-asset-info, get-tradable-asset-pairs (REST), instrument (websocket v2), spot-ws-intro, read 2026-11-27.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from ..engine.market import Market
from ..engine.rules import SCALE, Rules
from ..wire.numbers import to_decimals
from .errors import ApiError

COST_DECIMALS = SCALE
_OLD = {"BTC": "XXBT", "DOGE": "XXDG", "ETH": "XETH", "EUR": "ZEUR", "LTC": "XLTC", "USD": "ZUSD", "XRP": "XXRP"}
_ALTNAMES = {"BTC": "XBT", "DOGE": "XDG"}


def asset_id(asset: str) -> str:
    """Return REST's name of an asset: XXBT for BTC."""
    return _OLD.get(asset, asset)


def altname(asset: str) -> str:
    """Return the alternate name of an asset: XBT for BTC."""
    return _ALTNAMES.get(asset, asset)


def number(raw: int, decimals: int = SCALE) -> orjson.Fragment:
    """Return a JSON number with exactly `decimals` decimals, including trailing zeros."""
    return orjson.Fragment(to_decimals(raw, decimals).encode())


@dataclass(slots=True)
class Pair:
    """One listed pair.

    Its decimals grow with finer trading rules and never shrink, because old prices stay in the book.
    """

    market: Market
    key: str = field(init=False)
    altname: str = field(init=False)
    wsname: str = field(init=False)
    name: str = field(init=False)
    _rules: Rules | None = None
    _decimals: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        base, quote = self.market.rules.base, self.market.rules.quote
        self.altname = altname(base) + altname(quote)
        self.wsname = f"{altname(base)}/{altname(quote)}"
        self.name = f"{base}/{quote}"
        both_old = base in _OLD and quote in _OLD
        self.key = asset_id(base) + asset_id(quote) if both_old else self.altname

    @property
    def decimals(self) -> tuple[int, int]:
        """The numbers of decimals of prices and sizes on the wire."""
        rules = self.market.rules
        if rules is not self._rules:
            prices, sizes = self._decimals
            self._rules = rules
            self._decimals = max(prices, rules.price_decimals), max(sizes, rules.size_decimals)
        return self._decimals

    @property
    def price_decimals(self) -> int:
        return self.decimals[0]

    @property
    def size_decimals(self) -> int:
        return self.decimals[1]

    def price(self, raw: int) -> str:
        """Write a price; an average is cut to the pair's decimals."""
        unit = 10 ** (SCALE - self.price_decimals)
        return to_decimals(raw - raw % unit, self.price_decimals)

    def size(self, raw: int) -> str:
        return to_decimals(raw, self.size_decimals)


class Pairs:
    """All listed pairs, by all names that clients may use."""

    def __init__(self) -> None:
        self.by_symbol: dict[str, Pair] = {}  # the engine's symbol
        self._by_name: dict[str, Pair] = {}  # of websocket v2
        self._by_rest: dict[str, Pair] = {}

    def add(self, market: Market) -> Pair:
        pair = Pair(market)
        self.by_symbol[market.symbol] = self._by_name[pair.name] = pair
        for name in (pair.key, pair.altname, pair.wsname, pair.name):
            self._by_rest[name] = pair
        return pair

    def remove(self, market: Market) -> Pair:
        pair = self.by_symbol.pop(market.symbol)
        del self._by_name[pair.name]
        for name in {pair.key, pair.altname, pair.wsname, pair.name}:
            del self._by_rest[name]
        return pair

    def rest(self, name: object) -> Pair:
        """Return the pair with this name in REST.

        Raises:
            ApiError: there is no such pair.
        """
        found = self._by_rest.get(name) if isinstance(name, str) else None
        if found is None:
            raise ApiError("EQuery:Unknown asset pair")
        return found

    def websocket(self, name: object) -> Pair:
        """Return the pair with this name in websocket v2, which does not know XBT/USDT.

        Raises:
            ApiError: there is no such pair.
        """
        found = self._by_name.get(name) if isinstance(name, str) else None
        if found is None:
            raise ApiError(f"Currency pair not supported {name}")
        return found

    def symbol(self, name: object) -> str | None:
        """Return the engine's symbol of a pair by any of its names, for fault rules."""
        found = self._by_rest.get(name) if isinstance(name, str) else None
        return None if found is None else found.market.symbol
