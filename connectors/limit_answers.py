"""What an exchange's answer says about its limits: its own counts, and whether a limit was hit.

A connector whose exchange says more than HTTP statuses do gives its own reader as `ExchangeSpec.limit_answer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Cost = tuple[tuple[str, int], ...]
WAITS_S = {429: 60.0, 418: 120.0}  # where the exchange states no time; 418 is a ban, and bans grow


@dataclass(frozen=True, slots=True)
class Hit:
    """The exchange refused a request for its rate: wait `wait_s` before the next request that spends one of `limits`.

    No `limits`: before every request of the egress.
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
    """Return the header `Retry-After` in seconds, or `otherwise` where it states no time above zero."""
    after = headers.get("retry-after", "")
    return float(after) if after.isascii() and after.isdigit() and int(after) else otherwise
