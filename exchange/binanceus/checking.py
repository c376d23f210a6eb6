"""The protocol's part of the trading checks: limits that allow a short run.

Source: as `face`.
"""

from __future__ import annotations

from typing import Any

# The checks send more requests in a minute than the published limits allow. These replace the exchange's limits, and
# the mesh's by the names of its connector's limits, amount in seconds.
MANY = 100_000
LIMITS = {"weight": MANY, "raw_requests": MANY, "orders_10s": MANY}
ACCOUNT_LIMITS = {"orders_1s": [MANY, 1.0], "orders_10s": [MANY, 10.0]}
ADDRESS_LIMITS = {"weight": (MANY, 60.0), "requests": (MANY, 300.0)}


def to_client_form(account: dict[str, Any]) -> None:
    """Leave the ledger's ids and states as they are: clients see the same."""
