"""Tables and live views of the command line: trees, books, orders, replays. It only formats."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..market.sync.ticks import every
from ..model.fixed import decimals, to_text
from ..model.instrument import Instrument
from ..model.order import Balance, Fill, Order
from ..model.shown import shown as shown_text
from ..model.time import SECOND_NS
from ..orderbook.snapshot import BookSnapshot
from ..orderbook.view import BookReading
from .grid import Cell, Column, Grid

if TYPE_CHECKING:
    from .connect import Checked

STATE_STYLE = {
    "UP": "green",
    "LIVE": "green",
    "SERVING": "green",
    "SYNCING": "yellow",
    "CONNECTING": "yellow",
    "STARTING": "yellow",
}


def state_text(state: str) -> Text:
    return Text(state, STATE_STYLE.get(state, "red"))


def mebibytes(size: int | None) -> str:
    return "" if size is None else f"{size / 2**20:.0f} MiB"


def incarnation_text(incarnation: Any) -> str:
    return f"{incarnation[0]}.{incarnation[1]}" if incarnation else ""


def price_text(price: Decimal, instrument: Instrument) -> str:
    """Format a price with the decimals of its increment, or more where the price needs them."""
    return f"{price:.{max(decimals(instrument.price_increment or '0'), decimals(price))}f}"


def nodes_table(tree: Mapping[str, Any]) -> Grid:
    """Return the nodes of a mesh as a table; the operator's labels without those of Ray."""
    columns = (
        Column("host"),
        Column("state"),
        Column("node", rank=1),
        Column("egress", rank=2),
        Column("labels", rank=3, folds=True),
    )
    grid = Grid(columns, title="nodes")
    for row in sorted(tree["nodes"], key=lambda row: (row.get("host") or "", row["node"])):
        state = row["state"] if row["silent_s"] is None else f"{row['state']} for {row['silent_s']:.0f} s"
        labels = ", ".join(f"{key}={value}" for key, value in row["labels"].items() if not key.startswith("ray.io/"))
        grid.add(row["host"] or "", state_text(state), row["node"][:8], ", ".join(row["egress"]), labels)
    return grid


def node_names(tree: Mapping[str, Any]) -> dict[str, str]:
    """Name each node by its host; with a part of its id where a host has several nodes."""
    hosts = [row.get("host") for row in tree["nodes"]]
    return {
        row["node"]: row["node"][:8]
        if not row.get("host")
        else row["host"]
        if hosts.count(row["host"]) == 1
        else f"{row['host']}/{row['node'][:8]}"
        for row in tree["nodes"]
        if "node" in row
    }


def status_table(tree: Mapping[str, Any]) -> Grid:
    """Return the supervisor's tree as a table, a row per actor."""
    title = f"mesh {tree['mesh']}: {len(tree['nodes'])} nodes, {tree['spares']} spares, epoch {tree['epoch']}"
    if tree["stopped"]:
        title += f"; feeds stopped: {', '.join(tree['stopped'])}"
    if (isolated_s := tree.get("isolated_s")) is not None:
        title += f"; ISOLATED for {isolated_s:.0f} s: most nodes do not answer, so the supervisor decides nothing"
    names = node_names(tree)
    columns = (
        Column("address"),
        Column("state"),
        Column("restarts", right=True, rank=1),
        Column("pid", right=True, rank=2),
        Column("memory", right=True, rank=3),
        Column("node", rank=4),
        Column("incarnation", rank=5),
        Column("pairs", rank=6, folds=True),
        Column("why", folds=True),
    )
    grid = Grid(columns, title=title)
    for child in tree["children"]:
        grid.add(
            child["address"],
            role_state(child),
            str(child["restarts"]),
            str(child["pid"] or ""),
            mebibytes(child.get("rss")),
            names.get(child["node"] or "") or child.get("host") or (child["node"] or "")[:8],
            incarnation_text(child["incarnation"]),
            role_pairs(child),
            child["why"] or (f"restarted: {child['last_error']}" if child["last_error"] else ""),
        )
    return grid


def role_state(child: Mapping[str, Any]) -> Text:
    """Return the state of an actor: its role's, if the actor serves."""
    role = (child.get("status") or {}).get("state")
    return state_text(role if role and child["state"] == "SERVING" else child["state"])


def role_pairs(child: Mapping[str, Any]) -> str:
    """Return the pairs of a group of books; empty for a single book and for other actors."""
    pairs = sorted((child.get("status") or {}).get("pairs", ()))
    return ", ".join(pairs) if len(pairs) > 1 else ""


def record_lines(recorded: Mapping[str, Any]) -> list[str]:
    """Describe the content of a recording, a line per pair."""
    lines = [
        f"{recorded['file']}: {recorded['frames']} frames, {recorded['bytes']} bytes in {recorded['seconds']:.1f} s"
    ]
    for pair, row in recorded["pairs"].items():
        counted = ("applied", "gaps", "snapshots", "trades", *(["orders"] if "orders" in row else []))
        counts = ", ".join(f"{row[key]} {key}" for key in counted)
        lines.append(f"  {pair}: {row['state']} at {row['sequence']}; {counts}")
    return lines


def book_table(view: BookReading, snapshot: BookSnapshot, depth: int) -> Table:
    """Return a book as exchanges show it: asks above, bids below, the best levels in the middle."""
    state = snapshot.state.name
    title = Text.assemble(f"{shown_text(view.address)}  ", state_text(state), f"  sequence {snapshot.sequence}")
    table = Table(title=title, title_justify="left")
    table.add_column("side")
    table.add_column("price", justify="right")
    table.add_column("size", justify="right")
    instrument = view.instrument
    for price, size in reversed(snapshot.asks[:depth].tolist()):
        table.add_row(Text("ask", "red"), price_text(instrument.price(price), instrument), f"{instrument.size(size):f}")
    table.add_section()
    for price, size in snapshot.bids[:depth].tolist():
        table.add_row(
            Text("bid", "green"), price_text(instrument.price(price), instrument), f"{instrument.size(size):f}"
        )
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


def replay_table(result: Mapping[str, Any]) -> Grid:
    """Return the final books of a replay, a row per instrument."""
    ranks = {"dropped": 3, "last id": 2, "bids": 4, "asks": 4}
    names = ("applied", "dropped", "gaps", "last id", "bids", "asks", "best bid", "best ask", "trades")
    columns = [Column(name, right=True, rank=ranks.get(name, 0)) for name in names]
    grid = Grid((Column("instrument"), *columns), title="replay")
    for symbol, row in result.items():
        book = row["book"]
        best = [book[side][0] if book[side] else ["", ""] for side in ("bids", "asks")]
        grid.add(
            symbol,
            *(str(book[key]) for key in ("applied", "dropped", "gaps", "last_id", "n_bids", "n_asks")),
            *(price or "none" for price, _ in best),
            str(row["trades"]["count"]),
        )
    return grid


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


WATCHED = (
    Column("state"),
    Column("best bid", right=True),
    Column("best ask", right=True),
    Column("spread", right=True, rank=2),
    Column("updates/s", right=True, rank=3),
    Column("age", right=True, rank=1),
    Column("incarnation", right=True, rank=4),
)  # of `watch_cells`


def watch_table(views: Mapping[str, BookReading], rates: Rates, now_ns: int) -> Grid:
    grid = Grid((Column("pair"), *WATCHED))
    for pair, view in views.items():
        grid.add(pair, *watch_cells(view, rates, pair, now_ns))
    return grid


def watch_cells(view: BookReading, rates: Rates, name: str, now_ns: int) -> list[Cell]:
    """Return the row of one book, as `WATCHED` names its columns."""
    top = view.peek()
    if view.incarnation is None:
        return [state_text(top.state.name), "", "", "", "", "", ""]
    bid, ask = top.best_bid, top.best_ask
    return [
        state_text(top.state.name),
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


def watch_lines(say: Callable[[dict[str, Any]], None], views: Mapping[str, BookReading], seconds: float | None) -> None:
    """Pass every book that has changed to `say`, at most four times a second, for `seconds` or until Ctrl-C."""
    before: dict[str, Any] = {}
    for tick in every(0.25):
        for pair, view in views.items():
            top = view.peek()
            sides = ((name, getattr(top, name)) for name in ("best_bid", "best_ask"))
            row: dict[str, Any] = {"state": top.state.name, "ts_recv_ns": top.ts_recv_ns}
            row |= {name: None if side is None else [f"{side.price:f}", f"{side.size:f}"] for name, side in sides}
            if before.get(pair) != row:
                before[pair] = row
                say({"pair": pair, **row})
        if seconds is not None and tick * 0.25 >= seconds:
            return


def checked_table(exchange: str, checked: Sequence[Checked]) -> Grid:
    """Return the steps of a probe: name, duration, result."""
    grid = Grid((Column("step"), Column("ms", right=True), Column("seen", folds=True)), title=exchange)
    for step in checked:
        grid.add(step.what, f"{step.ms:.1f}", step.result)
    return grid


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


def status_text(status: str) -> Text:
    return Text(status, "green" if status in GOOD else "red" if status in BAD else "yellow")


def orders_table(orders: Iterable[Order]) -> Grid:
    columns = (
        Column("id"),
        Column("pair"),
        Column("side"),
        Column("amount", right=True),
        Column("price", right=True),
        Column("filled", right=True),
        Column("average", right=True, rank=3),
        Column("status"),
        Column("type", rank=1),
        Column("created (UTC)", rank=2),
        Column("owner", rank=4),
        Column("why", folds=True),
    )
    grid = Grid(columns)
    for order in orders:
        kind = order.order_type.value + (f" {order.time_in_force.value}" if order.time_in_force else "")
        in_quote = f"{plain_number(order.quote_amount)} {order.pair.rpartition('-')[2]}"
        average = order.average_price
        grid.add(
            order.client_order_id,
            order.pair,
            order.side.value,
            plain_number(order.amount) if order.amount is not None else in_quote,
            order_price(order),
            plain_number(order.filled),
            "" if average is None else plain_number(average.quantize(Decimal("0.00000001"))),
            status_text(order.status.value),
            kind,
            time_text(order.created_ns),
            "(external)" if order.external else order.owner,
            order.reason or "",
        )
    return grid


def order_price(order: Order) -> str:
    """Return the price of an order in words: its limit and stop price, or that it has none."""
    price = "market" if order.price is None else plain_number(order.price)
    return price if order.stop_price is None else f"{price} stop {plain_number(order.stop_price)}"


def fills_table(fills: Iterable[Fill]) -> Grid:
    columns = (
        Column("order"),
        Column("pair"),
        Column("side"),
        Column("amount", right=True),
        Column("price", right=True),
        Column("fee", right=True, rank=1),
        Column("time (UTC)", rank=2),
        Column("trade", rank=3),
        Column("liquidity", rank=4),
    )
    grid = Grid(columns)
    for fill in fills:
        grid.add(
            fill.client_order_id,
            fill.pair,
            fill.side.value,
            plain_number(fill.amount),
            plain_number(fill.price),
            ", ".join(f"{plain_number(amount)} {asset}" for asset, amount in fill.fees),
            time_text(fill.ts_event_ns),
            fill.trade_id,
            fill.liquidity,
        )
    return grid


def balances_table(balances: Mapping[str, Balance]) -> Grid:
    names = ("total", "free", "locked", "available")
    grid = Grid((Column("asset"), *(Column(name, right=True) for name in names)))
    for asset in sorted(balances):
        held = balances[asset]
        grid.add(asset, *(plain_number(number) for number in (held.total, held.free, held.locked, held.available)))
    return grid


def order_line(order: Order) -> str:
    """Describe an order in a line."""
    filled = f", filled {plain_number(order.filled)}" if order.filled else ""
    average = f" at {plain_number(order.average_price.quantize(Decimal('0.00000001')))}" if order.average_price else ""
    why = f": {order.reason}" if order.reason else ""
    return shown_text(f"{order.client_order_id}: {order.status.value}{filled}{average}{why}")
