"""Refusals of the Coinbase protocol: an HTTP status and a text.

Source: rest, REST API Requests (Errors), Create a new order, Cancel an order. The manual lists few texts: the others
are those that public clients know, or guesses.
"""

from __future__ import annotations

from ...model.errors import Rejected

# The texts for an unknown outcome; the first is the usual one. The status of the fault counts, not the text.
UNKNOWN = ("Internal server error",)
NOT_FOUND = "NotFound"

_REFUSED = {
    "UNKNOWN_SYMBOL": ("Product not found", 404),
    "MARKET_CLOSED": ("Trading is disabled for this product", 400),
    "DUPLICATE_ORDER": ("duplicate client_oid", 400),
    "INSUFFICIENT_BALANCE": ("Insufficient funds", 400),
    "NO_LIQUIDITY": ("Insufficient liquidity", 400),
    "PRICE": ("price is too precise", 400),
    "PRICE_BAND": ("price is out of bounds", 400),
    "SIZE": ("size is too precise", 400),
    "NOTIONAL": ("notional value is too small", 400),
    "MARKET_SIZE": ("size is too large", 400),
    "OPEN_ORDERS": ("Too many open orders on this product", 400),
    "POSITION": ("position is too large", 400),
    "UNKNOWN_ORDER": ("order not found", 404),
}


class ApiError(Exception):
    """A refusal with a text and an HTTP status."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


def refused(rejected: Rejected) -> ApiError:
    """Return the error of an engine's refusal."""
    return ApiError(*_REFUSED.get(rejected.code, (f"invalid order: {rejected.code.lower()}", 400)))
