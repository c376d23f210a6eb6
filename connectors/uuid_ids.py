"""Converts our client order ids to UUIDs, and back, for exchanges that take only UUIDs or shorter text than ours.

An exchange may keep the number of a UUID alone, so letters may come back in another case and without dashes. An id of
ours has up to 22 digits of base 36 after its prefix, which are 114 of the 122 bits that a UUID of version 4 leaves
free; the other 8 mark it as ours.
"""

from __future__ import annotations

import re

from ..model.ids import PREFIX, base36

OURS = f"{PREFIX}[0-9a-z]{{0,22}}"  # ids with a UUID
_OURS = re.compile(f"{PREFIX}([0-9a-z]{{0,22}})", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}", re.ASCII)
_BITS = 114
_MARK = 0x76  # above these bits


def packed(client_order_id: str) -> str:
    """Return the UUID of an id of ours; any other id is returned unchanged."""
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


def unpacked(sent_id: str) -> str:
    """Return the client order id of an id at the exchange; an id that `packed` did not make is returned unchanged."""
    text = sent_id.lower()
    if _UUID.fullmatch(text) is None:
        return sent_id
    text = text.replace("-", "")
    bits = int(text[:12], 16) << 74 | int(text[13:16], 16) << 62 | int(text[16:], 16) & (1 << 62) - 1
    number, length = bits & (1 << _BITS) - 1, 0
    if bits >> _BITS != _MARK:
        return sent_id
    while number >= 36**length:
        number -= 36**length
        length += 1
    return PREFIX + (base36(number, length) if length else "") if length <= 22 else sent_id
