"""The protocol's part of the trading checks: its ids, its states, and limits that allow a short run.

Source: as `ids` and `limits`.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from . import ids

# The checks send more requests in a minute than the published limits allow. These replace the exchange's limits, and
# the mesh's by the names of its connector's limits, amount in seconds.
LIMITS = {"calls": 100_000, "transactions": 100_000}
ACCOUNT_LIMITS = {"key_calls": [100_000, 1.0], "transactions": [100_000, 1.0]}
ADDRESS_LIMITS = {"calls": (100_000, 1.0)}


def to_client_form(account: dict[str, Any]) -> None:
    """Convert the ledger's ids and states to the form that clients see."""
    for row in account["orders"]:
        row["order_id"] = ids.order_id(int(row["order_id"]))
        row["status"] = "CANCELED" if row["status"].startswith("EXPIRED") else row["status"]
    for row in account["fills"]:
        row["trade_id"] = ids.trade_id(SimpleNamespace(**row))  # type: ignore[arg-type]
        row["order_id"] = ids.order_id(int(row["order_id"]))
