"""Decides which pages of candles to request from an exchange. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ...connectors.spec import CandleOffer
from ...model.candle import Candle, longest_ns, shortest_ns
from ...model.errors import NotOffered, Rejected
from ...model.fixed import INT64_MAX
from ...model.time import SECOND_NS
from ..cell.role import whole_number

DEFAULT = 500  # candles, when neither a start nor a limit is given
MOST = 10_000  # candles of one answer


@dataclass(frozen=True, slots=True)
class CandleQuery:
    """The first or the last `limit` candles of `interval` that open from `start_ns` until before `end_ns`.

    `pages` are the windows to request, oldest first; a window holds at most as many candles as one answer.
    """

    interval: str
    start_ns: int
    end_ns: int
    limit: int
    from_start: bool
    pages: tuple[tuple[int, int], ...]

    def before(self, end_ns: int) -> tuple[tuple[int, int], ...]:
        """Return the windows, or parts of them, that end by `end_ns`."""
        return tuple((first, min(end, end_ns)) for first, end in self.pages if first < end_ns)

    def chosen(self, found: list[Candle]) -> list[Candle]:
        """Return the query's candles from the candles of all pages, oldest first; of a repeated candle the later
        one."""
        by_time = {each.open_ns: each for each in found if self.start_ns <= each.open_ns < self.end_ns}
        ordered = [by_time[open_ns] for open_ns in sorted(by_time)]
        return ordered[: self.limit] if self.from_start else ordered[-self.limit :]


def read_query(exchange: str, offer: CandleOffer | None, body: Any, now_ns: int) -> CandleQuery:
    """Read {"interval", "start_ns", "end_ns", "limit"}; all but the first may be None.

    Raises:
        NotOffered: the exchange has no candles, or none of this interval; the error lists its intervals.
        Rejected: the query is for more than `MOST` candles, or for candles older than the exchange keeps.
    """
    offer, interval = _offered(exchange, offer, body)
    start_ns, end_ns, limit = _time_ns(body, "start_ns"), _time_ns(body, "end_ns"), whole_number(body, "limit")
    longest, shortest = longest_ns(interval), shortest_ns(interval)
    end_ns = now_ns + 1 if end_ns is None else min(end_ns, now_ns + 1)
    from_start = start_ns is not None
    if start_ns is None:
        start_ns = max(0, end_ns - (limit or DEFAULT) * longest)
    elif limit:
        end_ns = min(end_ns, start_ns + limit * longest)
    if offer.kept is not None and start_ns < now_ns - offer.kept * longest and end_ns > start_ns:
        oldest = datetime.fromtimestamp((now_ns - offer.kept * longest) // SECOND_NS, UTC)
        raise Rejected(
            "too_old",
            f"{exchange} has only the newest {offer.kept} candles of an interval: those of {interval} from about "
            f"{oldest:%Y-%m-%d %H:%M} UTC on",
        )
    count = -(-(end_ns - start_ns) // shortest)
    if min(count, limit or count) > MOST:
        raise Rejected("too_many", f"about {count} candles; request at most {MOST} at a time, by `limit` or `end`")
    width = offer.page * shortest
    pages = tuple((first, min(first + width, end_ns)) for first in range(start_ns, end_ns, width))
    return CandleQuery(interval, start_ns, end_ns, min(limit or MOST, MOST), from_start, pages)


def _time_ns(body: Any, key: str) -> int | None:
    value: Any = body.get(key)
    if value is not None and (type(value) is not int or not 0 <= value <= INT64_MAX):
        raise Rejected("bad_request", f"{key} is {value!r}; it must be nanoseconds since 1970")
    found: int | None = value
    return found


def read_position(exchange: str, offer: CandleOffer | None, body: Any) -> tuple[str, int | None, int]:
    """Read {"interval", "start_ns", "after"} of a poll; both numbers may be None.

    Raises NotOffered as `read_query`.
    """
    _, interval = _offered(exchange, offer, body)
    return interval, _time_ns(body, "start_ns"), _time_ns(body, "after") or 0


def _offered(exchange: str, offer: CandleOffer | None, body: Any) -> tuple[CandleOffer, str]:
    if offer is None:
        raise NotOffered(exchange, "candles")
    interval = body.get("interval")
    if not isinstance(interval, str) or interval not in offer.intervals:
        names = ", ".join(offer.intervals)
        raise NotOffered(exchange, f"candles of the interval {interval!r}; its intervals are {names}")
    return offer, interval
