"""OKX's errors: a code and a text, mostly inside HTTP 200.

Source: error/code.md and error/code/websocket.md, read 2026-11-27.
"""

from __future__ import annotations

# The codes after which nobody knows whether a request was carried out; the first is the usual one.
UNKNOWN = ("50004", "50026", "51149")
NO_SUCH_CHANNEL = (
    "Wrong URL or {} doesn't exist. Please use the correct URL, channel and parameters referring to API document."
)


class ApiError(Exception):
    """A request is refused with a code, a text and an HTTP status."""

    def __init__(self, code: str, text: str, status: int = 200) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.status = status


def invalid(parameter: str) -> ApiError:
    """The error of a parameter that is malformed."""
    return ApiError("51000", f"Parameter {parameter} error", 400)


def missing(parameter: str) -> ApiError:
    """The error of a parameter that is required."""
    return ApiError("50014", f"Parameter {parameter} can not be empty.", 400)
