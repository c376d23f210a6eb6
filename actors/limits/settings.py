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
