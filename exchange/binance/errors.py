"""Error bodies of the Binance protocol.

Source: errors.md and rest-api.md (HTTP Return Codes), read 2026-11-22. The legal range of a symbol is not in the
manual; the pattern here accepts the manual's symbols, and no lower case.
"""

from __future__ import annotations

from typing import Any

SYMBOL_RANGE = r"^[\w\-._&&[^a-z]]{1,50}$"
NUMBER_RANGE = r"^[0-9]{1,20}$"
DECIMAL_RANGE = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
CLIENT_ID_RANGE = r"^[a-zA-Z0-9-_]{1,36}$"

# The body of a fault that answers with a status: (code, message).
STATUS_BODIES = {
    403: (0, "<html><body>403 Forbidden</body></html>"),
    429: (-1003, "Too many requests queued."),
    418: (-1003, "Way too much request weight used; IP banned. Please use WebSocket Streams for live updates."),
    500: (-1000, "An unknown error occurred while processing the request."),
    502: (-1001, "Internal error; unable to process your request. Please try again."),
    503: (-1008, "Server is currently overloaded with other requests. Please try again in a few minutes."),
    504: (-1007, "Timeout waiting for response from backend server. Send status unknown; execution status unknown."),
}

# The body of `accept_then_status`, by code; the first is the default. Source: errors.md (10xx), read 2026-11-22.
UNKNOWN = {
    -1007: "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    -1000: "An unknown error occurred while processing the request.",
    -1001: "Internal error; unable to process your request. Please try again.",
    -1006: "An unexpected response was received from the message bus. Execution status unknown.",
    -1008: "Server is currently overloaded with other requests. Please try again in a few minutes.",
}


class ApiError(Exception):
    """An error answer: HTTP status, code, message, seconds to wait, and `data` where the manual has it."""

    def __init__(
        self, code: int, msg: str, status: int = 400, retry_after_s: int | None = None, data: Any = None
    ) -> None:
        super().__init__(code, msg)
        self.code = code
        self.msg = msg
        self.status = status
        self.retry_after_s = retry_after_s
        self.data = data

    @property
    def body(self) -> dict[str, Any]:
        plain = {"code": self.code, "msg": self.msg}
        return plain if self.data is None else plain | {"data": self.data}


def bad_symbol() -> ApiError:
    return ApiError(-1121, "Invalid symbol.")


def missing(name: str) -> ApiError:
    return ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def missing_either(one: str, other: str) -> ApiError:
    return ApiError(-1102, f"Param '{one}' or '{other}' must be sent, but both were empty/null!")


def empty(name: str) -> ApiError:
    return ApiError(-1105, f"Parameter '{name}' was empty.")


def illegal(name: str, legal: str) -> ApiError:
    return ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def too_many(expected: int, received: int) -> ApiError:
    return ApiError(-1101, f"Too many parameters; expected '{expected}' and received '{received}'.")


def duplicate() -> ApiError:
    return ApiError(-1101, "Duplicate values for a parameter detected.")


def too_many_values(name: str, limit: int) -> ApiError:
    return ApiError(-1101, f"Too many values sent for parameter '{name}', maximum allowed up to {limit}.")


def overflow(name: str) -> ApiError:
    return ApiError(-1108, f"Parameter '{name}' overflowed.")


def bad_interval() -> ApiError:
    return ApiError(-1120, "Invalid interval.")


def bad_status() -> ApiError:
    return ApiError(-1122, "Invalid symbolStatus.")


def bad_combination() -> ApiError:
    return ApiError(-1128, "Combination of optional parameters invalid.")


def invalid(name: str) -> ApiError:
    return ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")


def bad_json(name: str | None = None) -> ApiError:
    return ApiError(-1135, f"JSON sent for parameter '{name}' is not valid" if name else "Invalid JSON Request")


def bad_ticker_type() -> ApiError:
    return ApiError(-1139, "Invalid ticker type.")


def duplicate_symbols() -> ApiError:
    return ApiError(-1151, "Symbol is present multiple times in the list.")


def bad_time_unit() -> ApiError:
    return ApiError(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")


def status_mismatch() -> ApiError:
    return ApiError(-1220, "The symbol's status does not match the requested symbolStatus.")


def no_reference_price() -> ApiError:
    return ApiError(-2043, "This symbol doesn't have a reference price.")


def too_much_weight(limit: int, retry_after_s: int) -> ApiError:
    return ApiError(
        -1003,
        f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API.",
        429,
        retry_after_s,
    )


def banned(until_ms: int, retry_after_s: int) -> ApiError:
    return ApiError(
        -1003,
        f"Way too much request weight used; IP banned until {until_ms}. "
        "Please use WebSocket Streams for live updates to avoid bans.",
        418,
        retry_after_s,
    )


# ------------------------------------------------------------------------------------------------- signed requests


def too_many_orders(limit: int, interval: str, retry_after_s: int) -> ApiError:
    return ApiError(-1015, f"Too many new orders; current limit is {limit} orders per {interval}.", 429, retry_after_s)


def late() -> ApiError:
    return ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


def early() -> ApiError:
    return ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")


def bad_signature() -> ApiError:
    return ApiError(-1022, "Signature for this request is not valid.")


def unread(read: int, sent: int) -> ApiError:
    return ApiError(-1104, f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'.")


def not_required(name: str) -> ApiError:
    return ApiError(-1106, f"Parameter '{name}' sent when not required.")


def too_large(name: str, limit: int) -> ApiError:
    return ApiError(-1102, f"'{name}' contains unexpected value. Cannot be greater than {limit}.")


def precision(name: str) -> ApiError:
    return ApiError(-1111, f"Parameter '{name}' has too much precision.")


def empty_client_id(name: str) -> ApiError:
    if "orig" in name.lower():
        return ApiError(-1119, "Original client order ID was empty.")
    return ApiError(-1118, "New client order ID was empty.")


def bad_strategy_type() -> ApiError:
    return ApiError(-1134, "strategyType was less than 1000000.")


def bad_enum(kind: str, name: str) -> ApiError:
    """A value outside its enumeration; `params.ENUMS` has the enumeration by `kind`."""
    code, msg = {
        "side": (-1117, "Invalid side."),
        "order_type": (-1116, "Invalid orderType."),
        "time_in_force": (-1115, "Invalid timeInForce."),
        "restrictions": (-1145, "Invalid cancelRestrictions"),
        "peg": (-1210, "Invalid pegPriceType."),
        "peg_offset": (-1211, "Invalid pegOffsetType."),
    }.get(kind, (-1130, f"Data sent for parameter '{name}' is not valid."))
    return ApiError(code, msg)


def lookup_too_long(hours: int) -> ApiError:
    return ApiError(-1127, f"More than {hours} hours between startTime and endTime.")


def bad_key_format() -> ApiError:
    return ApiError(-2014, "API-key format invalid.", 401)


def bad_key() -> ApiError:
    return ApiError(-2015, "Invalid API-key, IP, or permissions for action.", 401)


def no_such_order() -> ApiError:
    return ApiError(-2013, "Order does not exist.")


def wrong_client_id() -> ApiError:
    return ApiError(-2039, "Client order ID is not correct for this order ID.")
