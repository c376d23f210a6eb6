"""Kraken's identifiers: of orders (O...), trades (T...), ledger entries (L...). Pure.

An order's id is the engine's number, scattered so that clients cannot rely on an order of ids; the other ids are
computed from their objects, so the same trade has the same id in every answer and message.

Source: add-order, get-trade-history, balances (shape: OUF4EM-FRGI2-MQMWZD), read 2026-11-27.
"""

from __future__ import annotations

import base64
import hashlib

from ..engine.accounts import Fill

BITS = 80
_FACTOR = 0x9E3779B97F4A7C15F39D  # odd, so it has an inverse
_INVERSE = pow(_FACTOR, -1, 1 << BITS)


def order_id(number: int) -> str:
    """Return the id of an order."""
    return _written("O", (number * _FACTOR % (1 << BITS)).to_bytes(BITS // 8, "big"))


def order_number(text: object) -> int | None:
    """Return the engine's number of an order; None if the text is not an order id."""
    if not isinstance(text, str) or len(text) != 19 or text[0] != "O":
        return None
    try:
        raw = base64.b32decode(text.replace("-", "")[1:])
    except ValueError:
        return None
    return int.from_bytes(raw, "big") * _INVERSE % (1 << BITS)


def trade_id(fill: Fill) -> str:
    """Return the id of one side of a trade; two orders that trade with each other have one each."""
    return _drawn("T", f"{fill.symbol}/{fill.trade_id}/{fill.order_id}")


def ledger_id(name: str) -> str:
    """Return the id of a ledger entry."""
    return _drawn("L", name)


def amend_id(number: int) -> str:
    """Return the id of an amendment by the engine's number of the execution."""
    return _drawn("T", f"amend/{number}")


def _drawn(letter: str, name: str) -> str:
    return _written(letter, hashlib.sha256(name.encode()).digest()[: BITS // 8])


def _written(letter: str, raw: bytes) -> str:
    text = letter + base64.b32encode(raw).decode()
    return f"{text[:6]}-{text[6:11]}-{text[11:]}"
