"""Tables and live views of the command line: trees, books, orders, replays. It only formats."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from ..market.sync.ticks import every
from ..model.events import BookState
from ..model.fixed import decimals, to_text
from ..model.instrument import Instrument
from ..model.order import Balance, Fill, Order
from ..model.time import SECOND_NS
from ..orderbook.snapshot import BookSnapshot
from ..orderbook.view import BookReading

if TYPE_CHECKING:
    from .connect import Checked

STATE_STYLE = {"LIVE": "green", "SERVING": "green", "SYNCING": "yellow", "CONNECTING": "yellow", "STARTING": "yellow"}


def styled(state: str) -> str:
    return f"[{STATE_STYLE.get(state, 'red')}]{state}[/]"


def mebibytes(size: int | None) -> str:
    return "" if size is None else f"{size / 2**20:.0f} MiB"


def incarnation_text(incarnation: Any) -> str:
    return f"{incarnation[0]}.{incarnation[1]}" if incarnation else ""


def price_text(price: Decimal, instrument: Instrument) -> str:
    """Format a price with the decimals of its increment, or more where the price needs them."""
    return f"{price:.{max(decimals(instrument.price_increment or '0'), decimals(price))}f}"


def status_table(tree: Mapping[str, Any]) -> Table:
    """Return the supervisor's tree as a table, a row per actor."""
    title = f"mesh {tree['mesh']}: {len(tree['nodes'])} nodes, {tree['spares']} spares, epoch {tree['epoch']}"
    if tree["stopped"]:
        title += f"; feeds stopped: {', '.join(tree['stopped'])}"
    table = Table(title=title, title_justify="left")
    for column in ("address", "state", "status", "node", "pid", "incarnation", "restarts", "memory", "last error"):
        table.add_column(column, justify="right" if column in ("pid", "restarts", "memory") else "left")
    for child in tree["children"]:
        table.add_row(
            child["address"],
            styled(child["state"]),
            role_status(child),
            (child["node"] or "")[:8],
            str(child["pid"] or ""),
            incarnation_text(child["incarnation"]),
            str(child["restarts"]),
            mebibytes(child.get("rss")),
            (child.get("last_error") or "")[:80],
        )
    return table


def role_status(child: Mapping[str, Any]) -> str:
    """Describe a role's status: its state, and the pairs of a group of books."""
    status = child.get("status") or {}
    state = status.get("state", "")
    text = styled(state) if state in BookState.__members__ else state
    pairs = sorted(status.get("pairs", ()))
    if len(pairs) <= 1:
        return text
    return f"{text}: {', '.join(pairs[:4])}{f' and {len(pairs) - 4} more' if len(pairs) > 4 else ''}"


def record_lines(recorded: Mapping[str, Any]) -> list[str]:
    """Describe the content of a recording, a line per pair."""
    lines = [
        f"{recorded['file']}: {recorded['frames']} frames, {recorded['bytes']} bytes in {recorded['seconds']:.1f} s"
    ]
    for pair, row in recorded["pairs"].items():
        counts = ", ".join(f"{row[key]} {key}" for key in ("applied", "gaps", "snapshots", "trades"))
        lines.append(f"  {pair}: {row['state']} at {row['sequence']}; {counts}")
    return lines


def book_table(view: BookReading, snapshot: BookSnapshot, depth: int) -> Table:
    """Return a book as exchanges show it: asks above, bids below, the best levels in the middle."""
    table = Table(
        title=f"{view.address}  {styled(snapshot.state.name)}  sequence {snapshot.sequence}", title_justify="left"
    )
    table.add_column("side")
    table.add_column("price", justify="right")
    table.add_column("size", justify="right")
    instrument = view.instrument
    for price, size in reversed(snapshot.asks[:depth].tolist()):
        table.add_row("[red]ask[/]", price_text(instrument.price(price), instrument), f"{instrument.size(size):f}")
    table.add_section()
    for price, size in snapshot.bids[:depth].tolist():
        table.add_row("[green]bid[/]", price_text(instrument.price(price), instrument), f"{instrument.size(size):f}")
    return table


def shown(snapshot: BookSnapshot, side: str, depth: int) -> tuple[int, bool]:
    """Return how many levels of a side ("bids", "asks") the table shows at this depth, and whether these are all."""
    held = len(getattr(snapshot, side))
    return min(held, depth), held <= depth and bool(getattr(snapshot, f"{side}_complete"))


def side_text(snapshot: BookSnapshot, side: str, depth: int) -> str:
    """Say in words whether the table shows a whole side of the book or its best levels."""
    levels, is_all = shown(snapshot, side, depth)
    if is_all:
        return f"{levels} {side}, the whole side"
    if levels < depth:
        return f"{levels} {side} of {depth} requested; deeper levels are not known"
    return f"the best {levels} {side}"


def book_json(view: BookReading, snapshot: BookSnapshot, depth: int) -> dict[str, Any]:
    """Return a book as plain data: numbers as exact decimal text; a side is complete when no level is missing."""
    instrument = view.instrument

    def rows(levels: Any) -> list[list[str]]:
        return [
            [to_text(price, instrument.price_scale), to_text(size, instrument.size_scale)]
            for price, size in levels[:depth].tolist()
        ]

    sides: dict[str, Any] = {}
    for side in ("bids", "asks"):
        sides[f"{side}_shown"], sides[f"{side}_complete"] = shown(snapshot, side, depth)

    return {
        "address": view.address,
        "state": snapshot.state.name,
        "sequence": snapshot.sequence,
        "ts_event_ns": snapshot.ts_event_ns,
        "ts_recv_ns": snapshot.ts_recv_ns,
        "bids": rows(snapshot.bids),
        "asks": rows(snapshot.asks),
        **sides,
    }


def replay_table(result: Mapping[str, Any]) -> Table:
    """Return the final books of a replay, a row per instrument."""
    table = Table(title="replay", title_justify="left")
    for column in (
        "instrument",
        "applied",
        "dropped",
        "gaps",
        "last id",
        "bids",
        "asks",
        "best bid",
        "best ask",
        "trades",
    ):
        table.add_column(column, justify="left" if column == "instrument" else "right")
    for symbol, row in result.items():
        book = row["book"]
        best = [book[side][0] if book[side] else ["", ""] for side in ("bids", "asks")]
        table.add_row(
            symbol,
            *(str(book[key]) for key in ("applied", "dropped", "gaps", "last_id", "n_bids", "n_asks")),
            *(price or "none" for price, _ in best),
            str(row["trades"]["count"]),
        )
    return table


class Rates:
    """Updates per second of several books, between two calls."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}
        self._rate: dict[str, float] = {}

    def of(self, name: str, count: int, now_ns: int) -> float:
        last_count, last_ns = self._seen.get(name, (count, now_ns))
        if now_ns - last_ns > 400_000_000 or name not in self._seen:
            elapsed = (now_ns - last_ns) / SECOND_NS
            self._rate[name] = max(0, count - last_count) / elapsed if elapsed else 0.0
            self._seen[name] = (count, now_ns)
        return self._rate.get(name, 0.0)


def watch_table(views: Mapping[str, BookReading], rates: Rates, now_ns: int) -> Table:
    table = Table()
    for column in ("pair", "state", "best bid", "best ask", "spread", "updates/s", "age", "incarnation"):
        table.add_column(column, justify="left" if column in ("pair", "state") else "right")
    for pair, view in views.items():
        table.add_row(pair, *watch_cells(view, rates, pair, now_ns))
    return table


def watch_cells(view: BookReading, rates: Rates, name: str, now_ns: int) -> list[str]:
    """Return the row of one book: state, best bid, best ask, spread, updates/s, age, incarnation."""
    top = view.peek()
    if view.incarnation is None:
        return [styled(top.state.name), "", "", "", "", "", ""]
    bid, ask = top.best_bid, top.best_ask
    return [
        styled(top.state.name),
        price_text(bid.price, view.instrument) if bid else "none",
        price_text(ask.price, view.instrument) if ask else "none",
        price_text(ask.price - bid.price, view.instrument) if bid and ask else "",
        f"{rates.of(name, view.statistics.updates, now_ns):.0f}",
        f"{(time.time_ns() - top.ts_recv_ns) / 1e6:.0f} ms" if top.ts_recv_ns else "",
        incarnation_text(view.incarnation),
    ]


def watch_books(console: Console, views: Mapping[str, BookReading], seconds: float | None) -> None:
    """Redraw the table of these books four times a second, for `seconds` or until Ctrl-C."""
    rates = Rates()
    with Live(watch_table(views, rates, time.monotonic_ns()), console=console, auto_refresh=False) as live:
        for tick in every(0.25):
            live.update(watch_table(views, rates, time.monotonic_ns()), refresh=True)
            if seconds is not None and tick * 0.25 >= seconds:
                return


def checked_table(exchange: str, checked: Sequence[Checked]) -> Table:
    """Return the steps of a probe: name, duration, result."""
    table = Table(title=exchange, title_justify="left")
    table.add_column("step")
    table.add_column("ms", justify="right")
    table.add_column("seen", overflow="fold")
    for step in checked:
        table.add_row(step.what, f"{step.ms:.1f}", escape(step.result))
    return table


GOOD, BAD = {"OPEN", "PARTIALLY_FILLED", "FILLED"}, {"REJECTED", "FAILED", "UNKNOWN"}


def plain_number(value: Decimal | None) -> str:
    """Format a number without exponent and trailing zeros."""
    if value is None:
        return ""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def time_text(ns: int) -> str:
    """Format a time in UTC, to the millisecond."""
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def status_text(status: str) -> str:
    colour = "green" if status in GOOD else "red" if status in BAD else "yellow"
    return f"[{colour}]{status}[/]"


def orders_table(orders: Iterable[Order]) -> Table:
    table = Table()
    right = ("amount", "price", "filled", "average")
    for name in ("created (UTC)", "id", "owner", "pair", "side", "type", *right, "status", "why"):
        table.add_column(name, justify="right" if name in right else "left")
    for order in orders:
        kind = order.order_type.value + (f" {order.time_in_force.value}" if order.time_in_force else "")
        amount = plain_number(order.amount) if order.amount is not None else f"{plain_number(order.quote_amount)} quote"
        average = order.average_price
        table.add_row(
            time_text(order.created_ns),
            order.client_order_id + (" (external)" if order.external else ""),
            order.owner,
            order.pair,
            order.side.value,
            kind,
            amount,
            plain_number(order.price),
            plain_number(order.filled),
            "" if average is None else plain_number(average.quantize(Decimal("0.00000001"))),
            status_text(order.status.value),
            order.reason or "",
        )
    return table


def fills_table(fills: Iterable[Fill]) -> Table:
    table = Table()
    right = ("amount", "price", "fee")
    for name in ("time (UTC)", "order", "trade", "pair", "side", *right, "liquidity"):
        table.add_column(name, justify="right" if name in right else "left")
    for fill in fills:
        fee = ", ".join(f"{plain_number(amount)} {asset}" for asset, amount in fill.fees)
        table.add_row(
            time_text(fill.ts_event_ns),
            fill.client_order_id,
            fill.trade_id,
            fill.pair,
            fill.side.value,
            plain_number(fill.amount),
            plain_number(fill.price),
            fee,
            fill.liquidity,
        )
    return table


def balances_table(balances: Mapping[str, Balance]) -> Table:
    table = Table()
    for name in ("asset", "total", "free", "locked", "available"):
        table.add_column(name, justify="left" if name == "asset" else "right")
    for asset in sorted(balances):
        held = balances[asset]
        table.add_row(asset, *(plain_number(number) for number in (held.total, held.free, held.locked, held.available)))
    return table


def order_line(order: Order) -> str:
    """Describe an order in a line."""
    filled = f", filled {plain_number(order.filled)}" if order.filled else ""
    average = f" at {plain_number(order.average_price.quantize(Decimal('0.00000001')))}" if order.average_price else ""
    why = f": {order.reason}" if order.reason else ""
    return f"{order.client_order_id}: {order.status.value}{filled}{average}{why}"
