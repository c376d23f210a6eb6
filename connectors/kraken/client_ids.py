"""Converts our client order ids to the form that Kraken accepts, and back.

Kraken takes a UUID, or free text of at most 18 characters (guides/spot-clordid, read 2026-11-27); the exchange keeps
the number of a UUID, so letters may come back in another case and without dashes. An id of ours has up to 22 digits of
base 36 after its prefix, which are 114 of the 122 bits that a UUID of version 4 leaves free; the other 8 mark it as
ours.
"""

from __future__ import annotations

import re

from ...model.ids import PREFIX, base36

PATTERN = f"{PREFIX}[0-9a-z]{{0,22}}|[A-Za-z0-9_-]{{1,18}}"
_OURS = re.compile(f"{PREFIX}([0-9a-z]{{0,22}})", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}", re.ASCII)
_BITS = 114
_MARK = 0x76  # above these bits


def packed(client_order_id: str) -> str:
    """Return the `cl_ord_id` of a client order id: a UUID for an id of ours, any other id unchanged."""
    found = _OURS.fullmatch(client_order_id)
    if found is None:
        return client_order_id
    digits = found[1]
    # Texts of fewer digits have smaller numbers, so that a leading zero and a missing digit differ
    number = sum(36**length for length in range(len(digits))) + (int(digits, 36) if digits else 0)
    bits = _MARK << _BITS | number
    head, middle, tail = bits >> 74, bits >> 62 & 0xFFF, bits & (1 << 62) - 1
    text = f"{head:012x}4{middle:03x}{0b10 << 62 | tail:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def unpacked(cl_ord_id: str) -> str:
    """Return the client order id of a `cl_ord_id`; an id that `packed` did not make is returned unchanged."""
    text = cl_ord_id.lower()
    if _UUID.fullmatch(text) is None:
        return cl_ord_id
    text = text.replace("-", "")
    bits = int(text[:12], 16) << 74 | int(text[13:16], 16) << 62 | int(text[16:], 16) & (1 << 62) - 1
    number, length = bits & (1 << _BITS) - 1, 0
    if bits >> _BITS != _MARK:
        return cl_ord_id
    while number >= 36**length:
        number -= 36**length
        length += 1
    return PREFIX + (base36(number, length) if length else "") if length <= 22 else cl_ord_id
