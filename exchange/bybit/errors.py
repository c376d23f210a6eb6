"""Bybit's errors: a code and a text inside HTTP 200, and the protocol's names of the engine's refusals.

Source: error.mdx, read 2026-11-27. The manual has no text for an unknown symbol and none for a refused subscription:
the texts here are guesses.
"""

from __future__ import annotations

from ...model.errors import Rejected

SERVER_ERROR, TIMEOUT, TOO_MANY = 10016, 10000, 10006
# The codes for an unknown outcome; the first is the usual one.
UNKNOWN = (TIMEOUT, SERVER_ERROR)
TEXTS = {TIMEOUT: "Server Timeout", SERVER_ERROR: "Server error.", TOO_MANY: "Too many visits!"}
BAD_PARAMETER, BAD_TIME, BAD_KEY, BAD_SIGNATURE, NOT_PERMITTED = 10001, 10002, 10003, 10004, 10005

_REFUSED = {
    "UNKNOWN_SYMBOL": (170121, "Invalid symbol."),
    "MARKET_CLOSED": (170151, "The trading pair is not open yet"),
    "DUPLICATE_ORDER": (170141, "Duplicate clientOrderId"),
    "INSUFFICIENT_BALANCE": (170131, "Balance insufficient"),
    "NO_LIQUIDITY": (170210, "New order rejected."),
    "UNKNOWN_ORDER": (170213, "Order does not exist."),
    "PRICE": (170134, "Order price decimal too long."),
    "SIZE": (170137, "Order volume decimal too long"),
    "NOTIONAL": (170140, "Order value exceeded lower limit"),
    "MARKET_SIZE": (170124, "Order amount too large."),
    "PRICE_BAND": (170132, "Order price too high."),
    "OPEN_ORDERS": (170810, "Cannot exceed maximum of 500 conditional, TP/SL and active orders."),
    "POSITION": (170228, "The purchase amount of each order exceeds the estimated maximum purchase amount."),
    "AMEND_UNSUPPORTED": (170312, "The current order does not support modification"),
}


class ApiError(Exception):
    """A refusal with a code and a text, in an answer with HTTP 200 unless it has another `status`."""

    def __init__(self, text: str, code: int = BAD_PARAMETER, status: int = 200) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.status = status


def refused(rejected: Rejected) -> ApiError:
    """Return the error of an engine's refusal; never an error for an unknown outcome."""
    code, text = _REFUSED.get(rejected.code, (170210, "New order rejected."))
    return ApiError(text, code)
