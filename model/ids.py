"""Client order ids: chosen before anything is sent, never twice the same, recognisably ours.

An id is `vm`, then when its maker began (ms, base 36), who that was (random), and a counter: 22 characters or a little
more of [0-9a-z]. Exchanges take 32 to 36 characters, letters and digits everywhere.
"""

from __future__ import annotations

import itertools

PREFIX = "vm"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def base36(number: int, width: int = 0) -> str:
    """Write a whole number, not negative, in base 36, padded with zeros to `width`."""
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text.rjust(width or 1, "0")


def is_ours(client_order_id: str) -> bool:
    """Whether an id has the form of ours; another mesh's on the same account has it too."""
    return client_order_id.startswith(PREFIX) and len(client_order_id) >= 20 and client_order_id.isalnum()


class OrderIds:
    """Makes ids. `salt` is random bits (64 of them) drawn once by whoever makes this; tests give a fixed one."""

    def __init__(self, began_ns: int, salt: int) -> None:
        self._stem = f"{PREFIX}{base36(began_ns // 1_000_000, 9)}{base36(salt % 36**7, 7)}"
        self._count = itertools.count(1)

    def __call__(self) -> str:
        return f"{self._stem}{base36(next(self._count), 4)}"
