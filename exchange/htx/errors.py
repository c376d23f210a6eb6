"""HTX's errors: a code in words and a text inside HTTP 200, and the protocol's names of the engine's refusals.

Source: public_rest_api.md and private_rest_api.md (Error Code), read 2026-11-28. The manual lists codes without their
texts, and no code for a post-only order that would take: those here are guesses.
"""

from __future__ import annotations

from ...model.errors import Rejected

SYSTEM, TIMEOUT, TOO_MANY = "base-system-error", "order-update-error", "510"
# The codes for an unknown outcome; the first is the usual one.
UNKNOWN = (SYSTEM, TIMEOUT)
BAD_PARAMETER, BAD_SIGNATURE, NO_LOGIN = "invalid-parameter", "api-signature-not-valid", "login-required"
FORBIDDEN = "base-operation-forbidden"
NOT_FOUND, WRONG_STATE = "base-record-invalid", "order-orderstate-error"
TEXTS = {
    SYSTEM: "System internal error",
    TIMEOUT: "Order update error",
    TOO_MANY: "You request too often, please try again later",
}

_REFUSED = {
    "UNKNOWN_SYMBOL": ("invalid-parameter", "invalid symbol"),
    "MARKET_CLOSED": ("base-symbol-trade-disabled", "The symbol is disabled for trading"),
    "INSUFFICIENT_BALANCE": ("order-accountbalance-error", "The account balance is insufficient"),
    "NO_LIQUIDITY": ("order-marketorder-amount-min-error", "Market order amount error"),
    "PRICE": ("order-orderprice-precision-error", "Order price precision error"),
    "SIZE": ("order-orderamount-precision-error", "Order amount precision error"),
    "NOTIONAL": ("order-value-min-error", "Order total cannot be lower than the minimum"),
    "MARKET_SIZE": ("order-marketorder-amount-min-error", "Market order amount error"),
    "PRICE_BAND": ("order-invalid-price", "The order price is invalid"),
    "OPEN_ORDERS": ("order-amount-over-limit", "The number of orders exceeds the limitation"),
    "POSITION": ("order-holding-limit-failed", "Exceed the holding limit of the currency"),
    "WOULD_TAKE": ("order-invalid-price", "A limit-maker order would be matched"),
}


class ApiError(Exception):
    """A refusal with a code and a text, in an answer with HTTP 200 unless it has another `status`."""

    def __init__(self, code: str, text: str, status: int = 200) -> None:
        super().__init__(text)
        self.code, self.text, self.status = code, text, status


def bad(name: str) -> ApiError:
    return ApiError(BAD_PARAMETER, f"invalid {name}")


def refused(rejected: Rejected) -> ApiError:
    """Return the error of an engine's refusal; never an error for an unknown outcome."""
    code, text = _REFUSED.get(rejected.code, ("base-argument-unsupported", "The specified parameter is not supported"))
    return ApiError(code, text)
