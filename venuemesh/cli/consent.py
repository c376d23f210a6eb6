"""Asks before a command does what is costly to undo; on no terminal it refuses and says how to confirm."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from ..actors.catalog.rates import EXACT, USD_LIKE
from ..model.errors import MeshError, Rejected, UnknownInstrument
from ..model.events import Side
from ..model.order import ZERO

if TYPE_CHECKING:
    from ..market.market import Market

ASK_ABOVE = "1000"  # US dollars
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AskAbove = Annotated[
    str,
    typer.Option(
        "--ask-above",
        help="Ask before an order worth more US dollars than this; 0 asks always.",
        envvar="VENUEMESH_ASK_ABOVE",
    ),
]


def confirm(what: str, yes: bool) -> None:
    """Return when the user agrees to `what`, at the terminal or with --yes.

    Raises:
        Rejected: the user did not agree, or there is no terminal to ask at. Nothing was sent.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Rejected("not_confirmed", f"{what}; nothing was sent. Give --yes, or run it at a terminal to be asked")
    print(f"{what}. Continue? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Rejected("not_confirmed", "you did not agree; nothing was sent")


def confirm_order(
    market: Market,
    side: Side,
    pair: str,
    amount: Decimal | None,
    price: Decimal | None,
    quote_amount: Decimal | None,
    *,
    above: Decimal,
    yes: bool,
) -> None:
    """Return when an order is worth at most `above` dollars, or the user agrees to it.

    Raises as `confirm`, and as `Market.mid_price`.
    """
    if yes or (amount is None and quote_amount is None):  # `place` refuses an order without an amount
        return
    size = f"{amount:f} {pair}" if quote_amount is None else f"{pair} for {quote_amount:f}"
    order = f"{side.value} {size} {'at market' if price is None else f'at {price:f}'}"
    worth = _dollars(market, side, pair, amount, price, quote_amount)
    if worth is None:
        confirm(f"{order}: its worth in US dollars is not known now", yes)
    elif worth > above:
        confirm(f"{order} is worth about {worth:,.0f} US dollars, more than {above:,f} (--ask-above)", yes)


def _dollars(
    market: Market, side: Side, pair: str, amount: Decimal | None, price: Decimal | None, quote_amount: Decimal | None
) -> Decimal | None:
    """Return the worth of an order in dollars; None: not known. A sell is worth at least the market's price."""
    worth = quote_amount
    if worth is None:
        prices = [] if price is None else [price]
        if price is None or side is Side.SELL:
            prices += [mid] if (mid := _mid(market, pair)) is not None else []
        if not prices:
            return None
        worth = EXACT.multiply(max(prices), amount or ZERO)
    quote = pair.rpartition("-")[2]
    if quote in USD_LIKE:
        return worth
    for dollar in ("USDT", "USDC", "USD"):
        try:
            rate = _mid(market, f"{quote}-{dollar}")
        except UnknownInstrument:
            continue
        return None if rate is None else EXACT.multiply(worth, rate)
    return None


def _mid(market: Market, pair: str) -> Decimal | None:
    try:
        return market.mid_price(pair)
    except UnknownInstrument:
        raise
    except MeshError:
        return None
