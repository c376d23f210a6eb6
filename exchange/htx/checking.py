"""The protocol's part of the trading checks: its ids. The checks keep its limits."""

from __future__ import annotations

from typing import Any

from .orders import order_id

LIMITS: dict[str, Any] = {}
ACCOUNT_LIMITS: dict[str, Any] = {}
ADDRESS_LIMITS: dict[str, Any] = {}


def to_client_form(account: dict[str, Any]) -> None:
    """Convert the ledger's ids to the form that clients see."""
    for row in (*account["orders"], *account["fills"]):
        row["order_id"] = str(order_id(int(row["order_id"])))
