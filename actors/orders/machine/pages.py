"""The keys by which pages of fills are requested and sorted. Pure."""

from __future__ import annotations

from ....connectors.reports import FillReport


def page_of(fill: FillReport) -> str:
    """Return the page key of a fill: the exchange's own number of the row, or the trade id."""
    return fill.page or fill.trade_id


def trade_key(trade_id: str) -> tuple[int, str]:
    """Return the sort key of a trade id: numbers sort by value."""
    return (int(trade_id), "") if trade_id.isdecimal() else (0, trade_id)
