"""Turns the catalog's answers into rows: active markets, tickers, snapshots of books. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ..model.candle import Candle
from ..model.events import BookState
from ..model.frames import require_pandas
from ..model.plain import from_plain
from ..model.time import SECOND_NS
from ..orderbook.snapshot import BookSnapshot

if TYPE_CHECKING:
    import pandas as pd

LEVELS_MAX = 1_000_000  # levels of a snapshot: more than any exchange returns


@dataclass(frozen=True, slots=True)
class ActiveMarket:
    """One instrument that trades now, with its 24-hour statistics. Volumes are in base, quote and US dollars.

    `usd_volume` is the quote volume converted through the exchange's own rates; None when no chain of its markets leads
    from the quote asset to a dollar.
    """

    trading_pair: str
    base: str
    quote: str
    last_price: Decimal | None
    volume: Decimal
    quote_volume: Decimal
    usd_volume: Decimal | None


class ActiveMarkets(tuple[ActiveMarket, ...]):
    """Rows of `ActiveMarket`, largest dollar volume first."""

    __slots__ = ()

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a data frame indexed by trading pair, volumes as float64.

        Raises:
            Misconfigured: pandas is not installed (`pip install venuemesh[pandas]`).
        """
        require_pandas()
        import pandas as pd

        columns = ["base", "quote", "last_price", "volume", "quote_volume", "usd_volume"]
        frame = pd.DataFrame(
            [[getattr(row, column) for column in columns] for row in self],
            columns=columns,
            index=pd.Index([row.trading_pair for row in self], name="trading_pair"),
        )
        numbers = ["last_price", "volume", "quote_volume", "usd_volume"]
        return frame.astype(dict.fromkeys(numbers, "float64"))


@dataclass(frozen=True, slots=True)
class TickerRow:
    """The exchange's own ticker of one pair, of the last 24 hours. A price that the exchange does not state is None."""

    trading_pair: str
    last_price: Decimal | None
    bid: Decimal | None
    ask: Decimal | None
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    volume: Decimal
    quote_volume: Decimal


def snapshot_body(pair: str, limit: int) -> dict[str, Any]:
    """Return the body of a request for at most `limit` levels a side. Raises ValueError: not a whole number >= 1."""
    if type(limit) is not int or not 1 <= limit <= LEVELS_MAX:
        raise ValueError(f"limit is {limit!r}; it must be a whole number from 1 to {LEVELS_MAX}")
    return {"pair": pair, "limit": limit, "levels": limit}


def orders_body(pair: str, levels: int) -> dict[str, Any]:
    """Return the body of a request for the orders of `levels` a side. Raises ValueError: not a whole number >= 1."""
    if type(levels) is not int or not 1 <= levels <= LEVELS_MAX:
        raise ValueError(f"levels is {levels!r}; it must be a whole number from 1 to {LEVELS_MAX}")
    return {"pair": pair, "levels": levels}


def candles_body(
    pair: str, interval: str, start: datetime | int | None, end: datetime | int | None, limit: int | None
) -> dict[str, Any]:
    """Return the body of a request for candles. Raises ValueError: no time zone, start not before end, wrong limit."""
    times = {"start_ns": _time_ns("start", start), "end_ns": _time_ns("end", end)}
    if times["start_ns"] is not None and times["end_ns"] is not None and times["start_ns"] >= times["end_ns"]:
        raise ValueError(f"start {start} is not before end {end}")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise ValueError(f"limit is {limit!r}; it must be a whole number of at least 1")
    return {"pair": pair, "interval": interval, **times, "limit": limit}


def _time_ns(name: str, value: datetime | int | None) -> int | None:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{name} {value} has no time zone")
        since = value - datetime(1970, 1, 1, tzinfo=UTC)
        value = (since.days * 86_400 + since.seconds) * SECOND_NS + since.microseconds * 1000
    if value is not None and (type(value) is not int or value < 0):
        raise ValueError(f"{name} is {value!r}; it must be a datetime, or nanoseconds since 1970")
    return value


def read_candles(rows: Sequence[Mapping[str, Any]]) -> list[Candle]:
    return [from_plain(Candle, row) for row in rows]


def read_decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def read_snapshot(plain: Mapping[str, Any]) -> BookSnapshot:
    import numpy as np

    sides: dict[str, Any] = {}
    for side in ("bids", "asks"):
        levels = np.frombuffer(plain[side], "<i8").reshape(-1, 2)
        proven = plain.get(f"proven_{side}", len(levels))
        sides[side] = levels[:proven]
        sides[f"{side}_complete"] = plain[f"{side}_complete"] and proven >= len(levels)
    return BookSnapshot(
        address=plain["address"],
        incarnation=(plain["incarnation"][0], plain["incarnation"][1]),
        state=BookState(plain["state"]),
        version=plain.get("version", 0),
        sequence=plain["sequence"],
        ts_event_ns=plain["ts_event_ns"],
        ts_recv_ns=plain["ts_recv_ns"],
        price_scale=plain["price_scale"],
        size_scale=plain["size_scale"],
        **sides,
    )


def read_active_markets(rows: Sequence[Mapping[str, Any]]) -> ActiveMarkets:
    markets = [
        ActiveMarket(
            trading_pair=row["name"],
            base=row["base"],
            quote=row["quote"],
            last_price=read_decimal(row["last_price"]),
            volume=Decimal(row["volume"]),
            quote_volume=Decimal(row["quote_volume"]),
            usd_volume=read_decimal(row["usd_volume"]),
        )
        for row in rows
    ]
    return ActiveMarkets(sorted(markets, key=lambda row: (-(row.usd_volume or Decimal(0)), row.trading_pair)))


def read_ticker(row: Mapping[str, Any]) -> TickerRow:
    return TickerRow(
        trading_pair=row["name"],
        last_price=read_decimal(row["last_price"]),
        bid=read_decimal(row["bid"]),
        ask=read_decimal(row["ask"]),
        open=read_decimal(row["open"]),
        high=read_decimal(row["high"]),
        low=read_decimal(row["low"]),
        volume=Decimal(row["volume"]),
        quote_volume=Decimal(row["quote_volume"]),
    )
