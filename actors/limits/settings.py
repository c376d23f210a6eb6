"""The settings of a limits role."""

from __future__ import annotations

from dataclasses import dataclass

from ...connectors.settings import ConnectorSettings


@dataclass(frozen=True, slots=True)
class LimitsSettings:
    """The rate budget of one exchange from one egress. The connector's spec names the limits."""

    connector: ConnectorSettings
