"""Client order ids: chosen before sending, unique, and recognisable as ours.

An id is `vm`, its maker's start time (ms, base 36), its maker's random number, and a counter: 24 characters of
[0-9a-z]. Exchanges accept 32 to 36 characters; all accept letters and digits.
"""

from __future__ import annotations

import itertools
import re

PREFIX = "vm"
BEGAN, SALT, COUNT = 9, 7, 6  # digits
_MADE = re.compile(f"({PREFIX}[0-9a-z]{{{BEGAN + SALT}}})([0-9a-z]{{{COUNT}}})")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def base36(number: int, width: int = 0) -> str:
    """Write a whole number, not negative, in base 36, padded with zeros to `width`."""
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text.rjust(width or 1, "0")


def is_ours(client_order_id: str) -> bool:
    """Return whether an id has the form of our ids, like those of other meshes on the same account."""
    return client_order_id.startswith(PREFIX) and len(client_order_id) >= 20 and client_order_id.isalnum()


def maker_of(client_order_id: str) -> tuple[str, int] | None:
    """Return the prefix of all ids of an id's maker, and the id's number; None for an id of another form.

    The alphabetical order of one maker's ids is the order of their numbers.
    """
    found = _MADE.fullmatch(client_order_id)
    return None if found is None else (found[1], int(found[2], 36))


def born(client_order_id: str) -> int | None:
    """Return the start time of an id's maker, ns since the Unix epoch; the id is not older. None: another form."""
    text = client_order_id.removeprefix(PREFIX)[:BEGAN]
    if not client_order_id.startswith(PREFIX) or len(text) < BEGAN:
        return None
    try:
        return int(text, 36) * 1_000_000
    except ValueError:
        return None


class OrderIds:
    """Makes ids. `salt` is 64 random bits, which the caller draws once; tests pass a fixed number."""

    def __init__(self, began_ns: int, salt: int) -> None:
        self._stem = f"{PREFIX}{base36(began_ns // 1_000_000, BEGAN)}{base36(salt % 36**SALT, SALT)}"
        self._count = itertools.count(1)

    def __call__(self) -> str:
        return f"{self._stem}{base36(next(self._count), COUNT)}"
