"""What an exchange's answer says about its limits: its own counts, and whether a limit was hit.

A connector whose exchange says more than HTTP statuses do gives its own reader as `ExchangeSpec.limit_answer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .reading import plain_count

Cost = tuple[tuple[str, int], ...]
LONGEST_S = 3 * 86_400.0  # the longest pause that is believed: exchanges ban for some days at most
WAITS_S = {429: 60.0, 418: 120.0}  # where the exchange states no time; 418 is a ban, and bans grow


@dataclass(frozen=True, slots=True)
class Hit:
    """The exchange refused a request for its rate: wait `wait_s` before the next request that spends one of `limits`.

    No `limits`: before every request of the egress. A limit that has a count for each pair rests for the pair of the
    request alone. A hit of a whole account names all limits that its requests spend.
    """

    wait_s: float
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LimitAnswer:
    """What one answer says. By limit: how many units the exchange counts, and how many are left."""

    hit: Hit | None = None
    used: Mapping[str, int] = field(default_factory=dict)
    left: Mapping[str, int] = field(default_factory=dict)


def by_status(status: int, headers: Mapping[str, str], body: bytes, cost: Cost) -> LimitAnswer:
    """Read statuses alone: 429 and 418 are hits, for as long as `Retry-After` says."""
    return LimitAnswer(None if status not in WAITS_S else Hit(retry_after_s(headers, WAITS_S[status])))


def retry_after_s(headers: Mapping[str, str], otherwise: float) -> float:
    """Return the header `Retry-After` in seconds, at most three days, or `otherwise` where it states no time above
    zero."""
    after = plain_count(headers.get("retry-after", ""))
    return min(float(after), LONGEST_S) if after else otherwise
