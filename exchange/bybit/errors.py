"""Bybit's errors: a code and a text inside HTTP 200.

Source: error.mdx, read 2026-11-27. The manual has no text for a symbol that there is not, and none for a subscription
that is refused: those here are guesses.
"""

from __future__ import annotations

SERVER_ERROR, TIMEOUT, TOO_MANY = 10016, 10000, 10006
# The codes after which nobody knows whether a request was carried out; the first is the usual one.
UNKNOWN = (TIMEOUT, SERVER_ERROR)
TEXTS = {TIMEOUT: "Server Timeout", SERVER_ERROR: "Server error.", TOO_MANY: "Too many visits!"}
BAD_PARAMETER = 10001


class ApiError(Exception):
    """A request is refused with one code and text."""

    def __init__(self, text: str, code: int = BAD_PARAMETER) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
