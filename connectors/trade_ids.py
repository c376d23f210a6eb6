"""Turns ids of public trades, in any form, into int64."""

from __future__ import annotations

from hashlib import blake2b

from ..model.errors import DecodeError
from ..model.fixed import INT64_MAX

MAX_TEXT = 128


def trade_id(text: str) -> tuple[int, str | None]:
    """Return a trade's id and None; or, if the id is not an int64 in plain digits, its 63-bit hash and its text.

    Raises:
        DecodeError: the text is empty or longer than `MAX_TEXT`.
    """
    if not 0 < len(text) <= MAX_TEXT:
        raise DecodeError(f"a trade id of {len(text)} characters", text[:MAX_TEXT])
    plain = text.isascii() and text.isdigit() and (len(text) == 1 or text[0] != "0")
    if plain and len(text) <= 19 and int(text) <= INT64_MAX:
        return int(text), None
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "big") >> 1, text
