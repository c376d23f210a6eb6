"""OKX's errors: a code and a text, mostly inside HTTP 200.

Source: error/code.md and error/code/websocket.md, read 2026-11-27.
"""

from __future__ import annotations

from ...model.errors import Rejected

# The codes for an unknown outcome; the first is the usual one.
UNKNOWN = ("50004", "50026", "51149")
NO_SUCH_CHANNEL = (
    "Wrong URL or {} doesn't exist. Please use the correct URL, channel and parameters referring to API document."
)


class ApiError(Exception):
    """The refusal of a request or an order with a code, a text and an HTTP status; an order's also has a `sub` code."""

    def __init__(self, code: str, text: str, status: int = 200, sub: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.status = status
        self.sub = sub


def invalid(parameter: str) -> ApiError:
    """Return the error of a malformed parameter."""
    return ApiError("51000", f"Parameter {parameter} error", 400)


def missing(parameter: str) -> ApiError:
    """Return the error of a missing parameter."""
    return ApiError("50014", f"Parameter {parameter} can not be empty.", 400)


_REFUSED = {
    "UNKNOWN_SYMBOL": ("51001", "Instrument ID, Instrument ID code or Spread ID doesn't exist."),
    "MARKET_CLOSED": ("51021", "The pair or contract is not yet listed"),
    "DUPLICATE_ORDER": ("51016", "Client order ID already exists."),
    "NO_LIQUIDITY": ("51140", "Purchase failed due to insufficient sell orders, please try later."),
    "PRICE": ("51006", "Order price is not within the price limit"),
    "PRICE_BAND": ("51006", "Order price is not within the price limit"),
    "SIZE": ("51121", "Order quantity must be a multiple of the lot size."),
    "NOTIONAL": ("51020", "Your order should meet or exceed the minimum order amount."),
    "MARKET_SIZE": ("51005", "Your order amount exceeds the max order amount."),
    "OPEN_ORDERS": ("51025", "Order count exceeds the limit."),
    "POSITION": ("51129", "The value of the position and buy order has reached the position limit."),
    "AMEND_UNSUPPORTED": ("51506", "Order modification unavailable for the order type."),
}


def refused(rejected: Rejected, paid: str, funds: str = "51008") -> ApiError:
    """Return the error of an engine's refusal of an order that pays with `paid`; `funds`: the code for a balance that
    is too low."""
    if rejected.code == "INSUFFICIENT_BALANCE":
        text = f"Order failed. Insufficient {paid} balance in account"
        if funds == "51502":
            return ApiError(funds, "Unable to edit order: insufficient balance or margin.", sub="1030")
        return ApiError(funds, text, sub="1000")
    code, text = _REFUSED.get(rejected.code, ("51000", f"Parameter {rejected.code.lower()} error"))
    return ApiError(code, text)
