"""Computes the value of assets in US dollars from the exchange's own tickers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal

USD_LIKE = frozenset(
    {"USD", "USDT", "USDC", "FDUSD", "TUSD", "BUSD", "DAI", "USDP", "PYUSD", "USD1", "RLUSD", "USDE", "GUSD"}
)
EXACT = Context(prec=60)  # wide enough for products of prices and volumes; only quotients are rounded


@dataclass(frozen=True, slots=True)
class Market:
    """One pair with the values of its ticker. A price that the exchange does not state is None."""

    base: str
    quote: str
    quote_volume: Decimal
    last: Decimal | None = None
    bid: Decimal | None = None
    ask: Decimal | None = None

    @property
    def price(self) -> Decimal | None:
        """The mid price if both sides are known, else the last price; None if that is unknown or zero."""
        if self.bid and self.ask:
            return EXACT.multiply(EXACT.add(self.bid, self.ask), Decimal("0.5"))
        return self.last or None


def usd_rates(markets: Iterable[Market]) -> dict[str, Decimal]:
    """Return the dollars that one unit of each asset is worth, for the assets that have a path to a dollar.

    Dollars and dollar stablecoins are worth one. The shortest path counts; among paths of equal length, the one whose
    last pair has the most volume in dollars, so that an inactive market does not price an active one.
    """
    pairs = [(market, price) for market in markets if (price := market.price) is not None]
    rates: dict[str, Decimal] = dict.fromkeys(USD_LIKE, Decimal(1))
    while True:
        found: dict[str, tuple[Decimal, Decimal]] = {}  # asset: dollar volume of the pair, rate
        for market, price in pairs:
            known, unknown = (market.quote, market.base), (market.base, market.quote)
            if known[0] in rates and known[1] not in rates:
                asset, rate = market.base, EXACT.multiply(price, rates[market.quote])
                volume = EXACT.multiply(market.quote_volume, rates[market.quote])
            elif unknown[0] in rates and unknown[1] not in rates:
                asset, rate = market.quote, EXACT.divide(rates[market.base], price)
                volume = EXACT.multiply(market.quote_volume, rate)
            else:
                continue
            if asset not in found or volume > found[asset][0]:
                found[asset] = (volume, rate)
        if not found:
            return rates
        rates |= {asset: rate for asset, (_, rate) in found.items()}


def usd_volume(market: Market, rates: Mapping[str, Decimal]) -> Decimal | None:
    """Return the volume of `market` in dollars; None when its quote asset has no path to a dollar."""
    rate = rates.get(market.quote)
    return None if rate is None else EXACT.multiply(market.quote_volume, rate)
