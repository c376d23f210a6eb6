"""The symbols of the local exchange, their trading rules and their first prices."""

from __future__ import annotations

import random
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ...model.errors import Misconfigured
from ...model.fixed import to_raw

SCALE = 8  # decimals of every price, size and balance in the engine; a protocol may write fewer
ONE = 10**SCALE
QUOTES = ("USDT", "USDC", "BTC", "ETH", "BNB", "EUR")
DEFAULT_SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "ETHBTC")
STATUSES = ("TRADING", "HALT", "BREAK", "END_OF_DAY", "CANCEL_ONLY")

_SYMBOL = re.compile(r"[^\W_]{2,20}")  # letters and digits of any script


@dataclass(frozen=True, slots=True)
class Rules:
    """Trading rules of one symbol. Prices and sizes are int64 fixed-point at scale 8; fees are parts of 10**8."""

    symbol: str
    base: str
    quote: str
    start_price: int
    tick: int
    min_price: int
    max_price: int
    step: int
    min_size: int
    max_size: int
    min_notional: int
    max_notional: int = 9_000_000 * ONE
    status: str = "TRADING"
    maker_fee: int = 100_000
    taker_fee: int = 100_000
    max_orders: int = 200
    market_min: int = 0  # of market orders; 0: no limit
    market_max: int = 0
    market_step: int = 0
    min_applies_to_market: bool = True
    max_applies_to_market: bool = False
    average_mins: int = 5  # of the average for notional and price band; 0: the last price
    bid_up: int = 5 * ONE  # the price band around the average, as multipliers
    bid_down: int = ONE // 5
    ask_up: int = 5 * ONE
    ask_down: int = ONE // 5
    max_position: int = 0  # of the base asset; 0: no limit
    max_algo_orders: int = 5
    max_lists: int = 20
    max_amends: int = 10
    self_trade: str = "EXPIRE_MAKER"  # for an order without a mode
    self_trades: tuple[str, ...] = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT")
    permissions: tuple[str, ...] = ("SPOT",)
    levels: int = 1000  # levels a side that the participants maintain

    @property
    def price_decimals(self) -> int:
        """The number of decimals of a price of this symbol, for protocols that write exactly that many."""
        return decimals_of(self.tick)

    @property
    def size_decimals(self) -> int:
        """The number of decimals of a size of this symbol."""
        return decimals_of(self.step)


def decimals_of(raw: int) -> int:
    """Return the number of decimals that a raw number needs."""
    decimals = SCALE
    while decimals and not raw % 10:
        raw, decimals = raw // 10, decimals - 1
    return decimals


def _listed(base: str, quote: str, price: str, tick: str, step: str, notional: str, levels: int = 1000) -> Rules:
    return Rules(
        symbol=base + quote,
        base=base,
        quote=quote,
        start_price=to_raw(price, SCALE),
        tick=to_raw(tick, SCALE),
        min_price=to_raw(tick, SCALE),
        max_price=1_000_000 * ONE,
        step=to_raw(step, SCALE),
        min_size=to_raw(step, SCALE),
        max_size=9_000 * ONE if to_raw(step, SCALE) < 10_000 else 90_000_000 * ONE,
        min_notional=to_raw(notional, SCALE),
        market_max=(9_000 * ONE if to_raw(step, SCALE) < 10_000 else 90_000_000 * ONE) // 10,
        levels=levels,
    )


KNOWN = {
    rules.symbol: rules
    for rules in (
        _listed("BTC", "USDT", "64250.00", "0.01", "0.00001", "5"),
        _listed("ETH", "USDT", "3140.00", "0.01", "0.0001", "5"),
        _listed("SOL", "USDT", "142.00", "0.01", "0.001", "5"),
        _listed("BNB", "USDT", "588.00", "0.01", "0.001", "5"),
        _listed("ETH", "BTC", "0.04887", "0.00001", "0.0001", "0.0001"),
        _listed("XRP", "USDT", "0.5240", "0.0001", "0.1", "5"),
        _listed("ADA", "USDT", "0.4410", "0.0001", "0.1", "5"),
        _listed("DOGE", "USDT", "0.12340", "0.00001", "1", "1"),
        _listed("LTC", "BTC", "0.001290", "0.000001", "0.001", "0.0001"),
        _listed("BTC", "EUR", "59300.00", "0.01", "0.00001", "5"),
        _listed("ETH", "USDC", "3139.50", "0.01", "0.0001", "5"),
        _listed("NKN", "USDT", "0.35210", "0.0001", "1", "5"),
    )
}


def rules_for(symbol: str) -> Rules:
    """Return the rules of a well-known symbol, or invented rules, always the same for the same symbol.

    Raises:
        Misconfigured: not a symbol, or its quote asset is not in `QUOTES`.
    """
    if symbol in KNOWN:
        return KNOWN[symbol]
    quote = next((q for q in QUOTES if symbol.endswith(q) and len(symbol) > len(q)), None)
    if quote is None or _SYMBOL.fullmatch(symbol) is None or symbol != symbol.upper():
        raise Misconfigured("symbols", f"{symbol!r} is not a symbol with one of the quotes {', '.join(QUOTES)}")
    draw = random.Random(zlib.crc32(symbol.encode()))
    in_btc = quote in ("BTC", "ETH", "BNB")
    exponent = draw.uniform(-4.5, -1.5) if in_btc else draw.uniform(-2, 2.5)
    price = 10**exponent
    tick_exponent = max(-SCALE, int(exponent // 1) - 4)
    tick = f"{10.0**tick_exponent:.8f}"
    price_text = f"{round(price / 10.0**tick_exponent) * 10.0**tick_exponent:.8f}"
    step = "0.01" if price > 1 or in_btc else "1"
    return _listed(symbol[: -len(quote)], quote, price_text, tick, step, "0.0001" if in_btc else "5", levels=250)


def tail(count: int) -> list[str]:
    """Return the names of `count` invented long-tail symbols: T001USDT, T002USDT, ..."""
    return [f"T{n:03d}USDT" for n in range(1, count + 1)]


def listing(symbols: Iterable[str]) -> list[Rules]:
    """Return the rules of `symbols` in order. A name such as `+300` stands for 300 invented long-tail symbols.

    Raises:
        Misconfigured: not a symbol, or one given twice.
    """
    names: list[str] = []
    for symbol in symbols:
        if re.fullmatch(r"\+[0-9]{1,4}", symbol):
            names += tail(int(symbol[1:]))
        else:
            names.append(symbol)
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise Misconfigured("symbols", f"{', '.join(twice)} given twice")
    return [rules_for(name) for name in names]
