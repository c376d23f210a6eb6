"""Ids of orders and bills. Bill ids are above 2**53, so a client that reads them as floats confuses them."""

from __future__ import annotations

from ..engine.accounts import Account, Fill
from ..wire.numbers import BadNumber, read_whole

FIRST_BILL = 2_005_880_000_000_000_000


def order_id(number: int) -> str:
    return str(number)


def order_number(text: object) -> int | None:
    """Return the engine's number of an order; None if the text is not an `ordId`."""
    try:
        return read_whole(text)
    except BadNumber:
        return None


def bills(account: Account) -> list[tuple[int, Fill]]:
    """Return the account's fills, oldest first, each with its `billId`: it rises over all instruments."""
    first = FIRST_BILL + account.fill_count - len(account.fills)
    return list(enumerate(account.fills, first))
