"""Kraken's errors: texts inside HTTP 200, and the protocol's names of the engine's refusals.

Source: spot-errors (guide), spot-rest-ratelimits, spot-ratelimits, error-handling.md of krakenfx/kraken-api-sdk, read
2026-11-27. The manual has no text for a `cl_ord_id` of another open order: `EOrder:Duplicate order` is a guess.
"""

from __future__ import annotations

from ...model.errors import Rejected

# The texts for an unknown outcome; the first is the usual one.
UNKNOWN = ("EGeneral:Internal error", "EService:Unavailable", "EService:Busy", "EService:Timeout")

_REFUSED = {
    "UNKNOWN_SYMBOL": "EQuery:Unknown asset pair",
    "BAD_ORDER": "EGeneral:Invalid arguments",
    "WOULD_TAKE": "EOrder:Post only order",
    "WOULD_TRIGGER": "EOrder:Invalid price",  # a guess: the manual is silent
    "DUPLICATE_ORDER": "EOrder:Duplicate order",
    "INSUFFICIENT_BALANCE": "EOrder:Insufficient funds",
    "NO_LIQUIDITY": "EOrder:Order minimum not met",
    "UNKNOWN_ORDER": "EOrder:Invalid order",
    "PRICE": "EOrder:Tick size check failed",
    "SIZE": "EGeneral:Invalid arguments:volume",
    "NOTIONAL": "EOrder:Cost minimum not met",
    "MARKET_SIZE": "EGeneral:Invalid arguments:volume",
    "PRICE_BAND": "EOrder:Invalid price",
    "OPEN_ORDERS": "EOrder:Orders limit exceeded",
    "POSITION": "EOrder:Positions limit exceeded",
}


class ApiError(Exception):
    """A refusal with a text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def invalid(argument: str) -> ApiError:
    """The error of an argument that is missing or malformed."""
    return ApiError(f"EGeneral:Invalid arguments:{argument}")


def refused(rejected: Rejected) -> ApiError:
    """Return the error of an engine's refusal; never an error for an unknown outcome."""
    return ApiError(_REFUSED.get(rejected.code, "EGeneral:Invalid arguments"))
