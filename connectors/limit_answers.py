"""Reads what an exchange's answer states about its limits: its own counts, and whether a limit was hit.

If an exchange states more than HTTP statuses do, its connector has its own reader in `ExchangeSpec.limit_answer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..model.shown import storable
from ..model.time import SECOND_NS
from .reading import COUNT_DIGITS, plain_count

Cost = tuple[tuple[str, int], ...]
LONGEST_S = 600.0  # longest accepted pause: exchanges count by minutes
LONGEST_BAN_S = 3 * 86_400.0  # exchanges ban for a few days at most
BAN = 418
CAUSE_BYTES = 120  # of a body
CLOCK_DOUBT_S = 2.0  # between the exchange's clock and ours
WAITS_S = {429: 60.0, 418: 120.0}  # if the exchange states no time; 418 is a ban, and repeated bans get longer


@dataclass(frozen=True, slots=True)
class Hit:
    """The exchange refused a request for its rate: wait `wait_s` before the next request that uses one of `limits`.

    `until_ns` overrides `wait_s` by the end of the pause, in ns since the Unix epoch, if the exchange states only that.

    Without `limits`, wait before every request of the egress. A limit with a count per pair pauses only for the pair of
    the request, or for every pair if the hit is `of_account`: then `limits` are all that the account's requests use.
    `cause` describes the answer; who receives the answer sets it.
    """

    wait_s: float
    limits: tuple[str, ...] = ()
    of_account: bool = False
    until_ns: int | None = None
    cause: str = field(default="", compare=False)

    def at(self, now_ns: int) -> Hit:
        """Return the hit with `wait_s` from `now_ns` of the wall clock, without `until_ns`."""
        if self.until_ns is None:
            return self
        return replace(self, wait_s=wait_until_s(self.until_ns, now_ns, self.wait_s), until_ns=None)


@dataclass(frozen=True, slots=True)
class LimitAnswer:
    """The content of one answer. By limit: the units that the exchange counts as used, and those that remain."""

    hit: Hit | None = None
    used: Mapping[str, int] = field(default_factory=dict)
    remaining: Mapping[str, int] = field(default_factory=dict)


def by_status(status: int, headers: Mapping[str, str], body: bytes, cost: Cost) -> LimitAnswer:
    """Read only statuses: 429 and 418 are hits, with the pause of `Retry-After`; 418 is a ban."""
    if status not in WAITS_S:
        return LimitAnswer()
    longest_s = LONGEST_BAN_S if status == BAN else LONGEST_S
    return LimitAnswer(Hit(retry_after_s(headers, WAITS_S[status], longest_s)))


def wait_until_s(until_ns: int, now_ns: int, otherwise: float) -> float:
    """Return the pause until a ban ends, at most three days; or `otherwise` if that time has passed."""
    wait_s = (until_ns - now_ns) / SECOND_NS
    return min(wait_s + CLOCK_DOUBT_S, LONGEST_BAN_S) if wait_s > 0 else otherwise


def cause_of(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """Describe the answer that stated a hit: its status, its `Retry-After` and the first bytes of its body."""
    after = storable(headers.get("retry-after", "")[:COUNT_DIGITS])
    words = storable(" ".join(body[:CAUSE_BYTES].decode("utf-8", "replace").split()))
    return f"HTTP {status}" + (f", Retry-After: {after}" if after else "") + (f": {words}" if words else "")


def retry_after_s(headers: Mapping[str, str], otherwise: float, longest_s: float = LONGEST_S) -> float:
    """Return the header `Retry-After` in seconds, at most `longest_s`; or `otherwise` if it states no time above zero.

    The only reader of this header. More than 18 digits state no time.
    """
    after = plain_count(headers.get("retry-after", ""))
    return min(float(after), longest_s) if after else otherwise
