"""Instruments and their trading rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from decimal import Decimal
from typing import Any

from .fixed import decimals, to_decimal, to_raw
from .plain import from_plain, to_plain

TRADING = "TRADING"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One trading pair of one exchange, with the trading rules for its orders.

    `name` is ours (`BTC-USDT`: base, dash, quote), `symbol` the exchange's spelling (`BTCUSDT`). Scales are decimal
    places of the int64 fixed-point values of this instrument's books; they cover the exchange's wire precision.
    A rule that the exchange does not state is None. `market_*_size` are the size rules of orders that take any price,
    if they differ; `market_*_notional`: whether the bounds on notional apply to such orders. `percent_price` bounds a
    price by the exchange's average price (multipliers: buy low, buy high, sell low, sell high). `features` are this
    pair's features besides plain orders: "quote_amount", "amend", "replace", "order_lists". `aliases` are other
    spellings that the exchange uses in some of its interfaces; only its connector knows where each is used.
    """

    exchange: str
    name: str
    symbol: str
    base: str
    quote: str
    price_scale: int
    size_scale: int
    status: str = TRADING
    price_increment: Decimal | None = None
    size_increment: Decimal | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    min_size: Decimal | None = None
    max_size: Decimal | None = None
    min_notional: Decimal | None = None
    max_notional: Decimal | None = None
    order_types: tuple[str, ...] = ()
    market_size_increment: Decimal | None = None
    market_min_size: Decimal | None = None
    market_max_size: Decimal | None = None
    market_min_notional: bool = True
    market_max_notional: bool = True
    max_orders: int | None = None
    percent_price: tuple[Decimal, Decimal, Decimal, Decimal] | None = None
    self_trade_modes: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def is_trading(self) -> bool:
        return self.status == TRADING

    def price_raw(self, price: Decimal | str | int) -> int:
        return to_raw(price, self.price_scale)

    def size_raw(self, size: Decimal | str | int) -> int:
        return to_raw(size, self.size_scale)

    def price(self, raw: int) -> Decimal:
        return to_decimal(raw, self.price_scale)

    def size(self, raw: int) -> Decimal:
        return to_decimal(raw, self.size_scale)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values (Decimal as text), for msgpack, JSON and configuration."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Instrument:
        """Return the instrument of the values of `to_dict`; a rule that they lack is not stated.

        Raises Misconfigured: they are not an instrument's.
        """
        return from_plain(cls, {**_UNSTATED, **plain} if isinstance(plain, Mapping) else plain)


_UNSTATED = {one.name: to_plain(one.default) for one in fields(Instrument) if one.default is not MISSING}


def scale_for(wire_decimals: int, increment: Decimal | None, largest: Decimal | None) -> int:
    """Choose the scale for a price or size that the exchange writes with up to `wire_decimals` decimals, or as many as
    the `increment` has.

    The scale is the full wire precision unless a thousand times the `largest` value would exceed int64; then the scale
    is the largest that fits, but never less than the `increment` needs.
    """
    need = decimals(increment) if increment else 0
    scale = max(wire_decimals, need)
    while scale > need and largest is not None and largest * 1000 * 10**scale > 2**63 - 1:
        scale -= 1
    return scale
