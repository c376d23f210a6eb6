"""Commands on an account: place, cancel, list, follow, pause, export. A thin layer over `Market`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..model.errors import Misconfigured, OutcomeUnknown, Rejected, RetryLater
from ..model.order import CancelResult, Order, OrderStatus
from . import completion
from .arguments import Address, AnyExchange, AsJson, AsJsonLines, Exchange, MeshName, TradingPair
from .consent import ASK_ABOVE, AskAbove, Yes
from .output import out

if TYPE_CHECKING:
    from ..market.market import AsyncMarket, Market

AccountName = Annotated[
    str | None,
    typer.Option(
        "--account", "-a", help="Account; default: the exchange's only account.", autocompletion=completion.accounts
    ),
]
Pair = Annotated[str | None, typer.Option("--pair", help="Only of this trading pair.", autocompletion=completion.pairs)]
Owner = Annotated[str | None, typer.Option("--owner", help="Only of this owner.")]
CLI_OWNER = "cli"

app = typer.Typer()


def _market(mesh: str, address: str | None, exchange: str, account: str | None, owner: str = CLI_OWNER) -> Market:
    from .running import attach

    return attach(mesh, address=address).market(exchange, account, owner=owner)


@app.command()
def orders(
    exchange: Exchange,
    account: AccountName = None,
    every: Annotated[bool, typer.Option("--all", help="Also list done orders, newest last.")] = False,
    pair: Pair = None,
    owner: Owner = None,
    limit: Annotated[int, typer.Option(help="Largest number of orders to list with --all.", min=1, max=10_000)] = 100,
    mesh: MeshName = "mesh",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """List an account's orders that are not done; with --all, every order in its journal."""
    from .tables import orders_table

    market = _market(mesh, address, exchange, account)
    found: Sequence[Order]
    more = False
    if every:
        found = page = market.orders(pair=pair, owner=owner, limit=limit, newest=True)
        more = page.next is not None
    else:
        found = list(market.in_flight_orders(owner=owner, external=True, pair=pair).values())
    if as_json:
        print(json.dumps({"orders": [order.to_dict() for order in found], "more": more}))
    else:
        out.print(orders_table(found))
        _print_cut("orders", limit, more)


@app.command()
def trades(
    exchange: Exchange,
    account: AccountName = None,
    pair: Pair = None,
    order: Annotated[str | None, typer.Option("--order", help="Only of this client order id.")] = None,
    limit: Annotated[int, typer.Option(help="Largest number of fills to list, newest last.", min=1, max=10_000)] = 100,
    mesh: MeshName = "mesh",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """List the fills of an account, with the fees paid."""
    from .tables import fills_table

    market = _market(mesh, address, exchange, account)
    found = market.fills(pair=pair, client_order_id=order, limit=limit, newest=True)
    more = found.next is not None
    if as_json:
        print(json.dumps({"trades": [fill.to_dict() for fill in found], "more": more}))
    else:
        out.print(fills_table(found))
        _print_cut("fills", limit, more)


def _print_cut(what: str, limit: int, more: bool) -> None:
    """Say that a list has only its newest rows."""
    if more:
        out.print(f"Only the {limit} newest {what} are listed. Use --limit for more, or `venuemesh export` for all.")


@app.command()
def balances(
    exchange: Exchange,
    account: AccountName = None,
    mesh: MeshName = "mesh",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Show an account's balances: total, free, locked at the exchange, and available to new orders."""
    from .tables import balances_table

    found = _market(mesh, address, exchange, account).balances()
    if as_json:
        print(json.dumps({asset: balance.to_dict() for asset, balance in found.items()}))
    else:
        out.print(balances_table(found))


@app.command("account")
def account_command(
    exchange: Exchange,
    account: AccountName = None,
    mesh: MeshName = "mesh",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Show an account's state as JSON: whether it is ready, clock offset, guards, pauses, unresolved requests."""
    found = _market(mesh, address, exchange, account).account_status()
    print(json.dumps(found, indent=None if as_json else 2))


@app.command()
def cancel(
    exchange: Exchange,
    ids: Annotated[list[str], typer.Argument(help="Client order ids.", metavar="ID...")],
    account: AccountName = None,
    mesh: MeshName = "mesh",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Cancel orders by client order id. Exit status 1 when one may still be open."""
    market = _market(mesh, address, exchange, account).aio

    async def cancel_them() -> list[CancelResult | BaseException]:
        return await asyncio.gather(*(market.cancel_and_wait(name) for name in ids), return_exceptions=True)

    answers = asyncio.run(cancel_them())
    failed = [answer for answer in answers if isinstance(answer, BaseException)]
    results = [answer for answer in answers if not isinstance(answer, BaseException)]
    if results or as_json:
        _print_cancelled(results, as_json)
    if failed:
        raise failed[0]


@app.command("cancel-all")
def cancel_all(
    exchange: Exchange,
    account: AccountName = None,
    pair: Pair = None,
    owner: Owner = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait for the outcome, also of orders in doubt.", min=0.1)
    ] = 15.0,
    external: Annotated[
        bool,
        typer.Option("--external", help="Also cancel orders of the account that were placed elsewhere; asks first."),
    ] = False,
    yes: Yes = False,
    mesh: MeshName = "mesh",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Cancel every order of an account that is not done. Exit status 1 when one may still be open."""
    if external and owner is not None:
        raise Misconfigured("--external", "orders placed elsewhere have no owner; leave --owner out")
    market = _market(mesh, address, exchange, account)
    elsewhere: list[str] = []
    if external:
        from .consent import confirm

        found = market.in_flight_orders(external=True, pair=pair)
        elsewhere = [name for name, order in found.items() if order.external]
        if elsewhere:
            confirm(f"cancel {len(elsewhere)} orders that were placed elsewhere: {', '.join(elsewhere)}", yes)
    results = market.cancel_all(timeout, pair=pair, owner=owner)
    _print_cancelled([*results, *(market.cancel_external(name) for name in elsewhere)], as_json)


@app.command()
def stream(
    exchange: Exchange,
    account: Annotated[
        str | None,
        typer.Argument(help="Account; default: the exchange's only account.", autocompletion=completion.accounts),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Also print the exchange's frames, with secrets masked.")] = False,
    seconds: Annotated[float | None, typer.Option(help="Seconds to run; default: until Ctrl-C.")] = None,
    mesh: MeshName = "mesh",
    address: Address = None,
    as_json: AsJsonLines = False,
) -> None:
    """Follow an account's user stream, from the last frames on; print each decoded frame as a line of JSON."""
    _follow_stream(_market(mesh, address, exchange, account).aio, raw, seconds)


@app.command()
def events(
    exchange: Exchange,
    account: AccountName = None,
    after: Annotated[
        int | None, typer.Option(help="Begin after this event number, 0 for all events; default: from now.")
    ] = None,
    owner: Owner = None,
    seconds: Annotated[float | None, typer.Option(help="Seconds to run; default: until Ctrl-C.")] = None,
    mesh: MeshName = "mesh",
    address: Address = None,
    as_json: AsJsonLines = False,
) -> None:
    """Follow an account's numbered events; print each as a line of JSON."""
    market = _market(mesh, address, exchange, account).aio

    async def follow() -> None:
        async for event in market.events(after=after, owner=owner):
            print(json.dumps(event.to_dict()), flush=True)

    _for_a_while(follow, seconds)


@app.command()
def pause(
    exchange: AnyExchange = None,
    account: AccountName = None,
    pair: Pair = None,
    reason: Annotated[
        str, typer.Option(help="Reason of the pause; every refused order repeats it.")
    ] = "paused from the command line",
    mesh: MeshName = "mesh",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Refuse new orders on the mesh, an exchange, an account or a pair, until `resume`. Cancels still work."""
    from .running import attach

    found = attach(mesh, address=address).pause(exchange, account, pair, reason=reason)
    if as_json:
        print(json.dumps({"paused": found, "pair": pair}))
        return
    for name in found:
        out.print(f"{name}: paused{f' for {pair}' if pair else ''}")


@app.command()
def resume(
    exchange: AnyExchange = None,
    account: AccountName = None,
    pair: Pair = None,
    mesh: MeshName = "mesh",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Accept new orders again."""
    from .running import attach

    found = attach(mesh, address=address).resume(exchange, account, pair)
    if as_json:
        print(json.dumps({"resumed": found, "pair": pair}))
        return
    for name in found:
        out.print(f"{name}: resumed{f' for {pair}' if pair else ''}")


@app.command()
def export(
    what: Annotated[str, typer.Argument(help="What to export: orders, trades or events.")],
    to: Annotated[Path, typer.Option("--out", "-o", help="File to write.")],
    form: Annotated[
        str | None, typer.Option("--format", "-f", help="csv or parquet; default: by the ending of the file's name.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    config: Annotated[Path | None, typer.Option(help="The mesh's configuration file, which names its journal.")] = None,
    journal: Annotated[str | None, typer.Option(help="The journal's URL, instead of a configuration.")] = None,
    exchange: Annotated[
        str | None,
        typer.Option("--exchange", "-e", help="Only of this exchange.", autocompletion=completion.exchanges),
    ] = None,
    account: Annotated[
        str | None,
        typer.Option("--account", "-a", help="Only of this account.", autocompletion=completion.accounts),
    ] = None,
    pair: Pair = None,
    since: Annotated[str | None, typer.Option(help="Only rows from this time on, ISO 8601, UTC.")] = None,
    until: Annotated[str | None, typer.Option(help="Only rows before this time, ISO 8601, UTC.")] = None,
    mesh: MeshName = "mesh",
    as_json: AsJson = False,
) -> None:
    """Write a journal's orders, trades (own fills) or events to a file. The mesh need not run."""
    from .export import export_journal

    chosen = {"exchange": exchange, "account": account, "pair": pair, "since": since, "until": until}
    rows = export_journal(what, to, form, force=force, config=config, url=journal, mesh=mesh, **chosen)
    if as_json:
        print(json.dumps({"file": str(to), "what": what, "rows": rows}))
        return
    out.print(f"{to}: {rows} {what}")


def _placing(side: str) -> Callable[..., None]:
    def place(
        exchange: Exchange,
        pair: TradingPair,
        amount: Annotated[str | None, typer.Argument(help="Amount in the base asset.")] = None,
        price: Annotated[str | None, typer.Option("--price", "-p", help="Limit price.")] = None,
        kind: Annotated[
            str | None, typer.Option("--type", "-t", help="Order type: LIMIT (the default), MARKET, LIMIT_MAKER, ...")
        ] = None,
        time_in_force: Annotated[str | None, typer.Option("--tif", help="Time in force: GTC, IOC or FOK.")] = None,
        quote_amount: Annotated[
            str | None, typer.Option(help="Amount of a MARKET order in the quote asset, instead of AMOUNT.")
        ] = None,
        stop_price: Annotated[str | None, typer.Option(help="Stop price of stop and take-profit orders.")] = None,
        until: Annotated[str, typer.Option("--wait", help="Return when the order is 'open' or 'done'.")] = "open",
        timeout: Annotated[float, typer.Option(help="Seconds to wait.", min=0.1)] = 15.0,
        account: AccountName = None,
        owner: Annotated[str, typer.Option("--owner", help="Owner to record on the order.")] = CLI_OWNER,
        ask_above: AskAbove = ASK_ABOVE,
        yes: Yes = False,
        mesh: MeshName = "mesh",
        address: Address = None,
        as_json: AsJson = False,
    ) -> None:
        from ..model.arguments import needed_number
        from .consent import confirm_order
        from .tables import order_line

        if until not in ("open", "done"):
            raise Misconfigured("--wait", f"{until!r} is neither 'open' nor 'done'")
        order_type = kind.upper() if kind else "LIMIT"
        if order_type == "LIMIT" and price is None:
            raise Misconfigured("--price", f"a LIMIT order needs one; write --type market to {side} at any price")
        market = _market(mesh, address, exchange, account, owner)
        force = time_in_force.upper() if time_in_force else None
        above = needed_number("--ask-above", ask_above)
        new = market.new_order(side, pair, amount, order_type, price, force, quote_amount, stop_price)
        limit = new.stop_price if new.price is None else new.price
        confirm_order(market, new.side, pair, new.amount, limit, new.quote_amount, above=above, yes=yes)
        (order,) = market.place_orders([new], expires_s=timeout)
        if until == "done" and not order.is_done:
            order = market.wait(order.client_order_id, until, timeout)
        if as_json:
            print(json.dumps(order.to_dict()))
        else:
            out.print(order_line(order))
        if order.status in (OrderStatus.REJECTED, OrderStatus.FAILED):
            raise Rejected(order.code or order.status.value.lower(), order.reason or "")

    return place


for _side in ("buy", "sell"):
    app.command(_side, help=f"Place one order to {_side} and wait for the exchange's answer.")(_placing(_side))


def _print_cancelled(results: list[CancelResult], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"results": [result.to_dict() for result in results]}))
    else:
        for result in results:
            reason = f": {result.reason}" if result.reason else ""
            unjournaled = "" if result.journaled else " (not in the journal, which cannot be written now)"
            out.print(f"{result.client_order_id}: {result.status.value}{reason}{unjournaled}")
        if not results:
            out.print("no order was open")
    if not all(result.done for result in results):
        raise typer.Exit(1)


def _for_a_while(follow: Callable[[], Any], seconds: float | None) -> None:
    async def run() -> None:
        try:
            async with asyncio.timeout(seconds):
                await follow()
        except TimeoutError:
            return

    asyncio.run(run())


def _follow_stream(market: AsyncMarket, raw: bool, seconds: float | None) -> None:
    """Long-poll the frames that the stream role keeps. The next poll continues at `next`, also with a successor."""
    address = market.stream_address

    async def follow() -> None:
        after = 0
        while True:
            asked_s = time.monotonic()
            try:
                answer = await market.ask_role(address, "poll:raw", {"after": after}, 5.0)
            except (RetryLater, OutcomeUnknown):  # the stream's actor is away or has died
                await asyncio.sleep(max(0.0, 0.5 - (time.monotonic() - asked_s)))
                continue
            if lost := answer["lost"]:
                print(json.dumps({"lost": lost}), flush=True)  # frames that came faster than this command reads
            for frame in answer["frames"]:
                print(json.dumps(frame if raw else {k: v for k, v in frame.items() if k != "raw"}), flush=True)
            after = answer["next"]

    _for_a_while(follow, seconds)
