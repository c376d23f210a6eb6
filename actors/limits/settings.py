"""The settings of a limits role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ...connectors.settings import ConnectorSettings
from ...connectors.spec import Limit


@dataclass(frozen=True, slots=True)
class LimitsSettings:
    """The rate budget of one exchange from one egress. The connector's spec names the limits.

    `granted`: limits that the exchange grants this address instead of the published limits, by name.
    """

    connector: ConnectorSettings
    granted: Mapping[str, tuple[int, float]] = field(default_factory=dict)  # amount, seconds

    def limits(self) -> dict[str, Limit]:
        """Return the limits of the spec, with the granted ones applied."""
        limits = dict(self.connector.spec.limits)
        return limits | {
            name: replace(limits[name], amount=amount, per_s=per_s) for name, (amount, per_s) in self.granted.items()
        }


@dataclass(frozen=True, slots=True)
class GrantSettings:
    """How the units of limits are granted.

    In the long run a limit grants (1 - reserve) * (1 - burst) * amount / (period + lease) units a second. Of 6,000
    units in 60 s, 100 a second, that is 46: `reserve` costs 10, `burst` 36, `lease_s` 8. This is the price for keeping
    the limit in every window, however the exchange's windows lie, without a memory that dies with the role (see
    `bucket`): what may be granted at once may be granted at the beginning and at the end of a window. A smaller burst
    grants more in the long run (0.2: 62 units a second), and less to many books that start together: 60 snapshots of 50
    units take 18 s with 0.4 and 31 s with 0.2. While no promise is acknowledged, it is half (see `promises`).
    """

    reserve: float = 0.1  # share of each limit that is never granted: clocks differ, answers are late
    burst: float = 0.4  # share of `usable` that may be granted at once
    lease_s: float = 10.0  # how long a grant is valid
    exact_s: float = 5.0  # limits with a period up to this are counted exactly
    step_s: float = 2.0  # see Priority
    first_s: float = 600.0  # longer than any request waits
    orders: float = 0.1  # share of `usable` that is kept for cancels and orders, where there are any
    reads: float = 0.5  # share of the refill that reads of accounts may take from orders
    spare: float = 0.3  # share of `usable` that may be in use after a grant of priority SPARE
    max_waiting: int = 1000
    max_waiting_per_holder: int = 200
    max_leases: int = 10_000
