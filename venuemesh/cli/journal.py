"""`venuemesh journal`: check, back up, restore and accept a journal, while the mesh need not run; adopt lost orders."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from ..model.errors import Misconfigured
from ..model.order import Order
from .arguments import Address, AsJson, MeshName
from .consent import Yes, confirm
from .output import out

app = typer.Typer(
    help="The journal of orders, fills and events: check, backup, restore, accept, adopt.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ConfigPath = Annotated[
    Path | None, typer.Option("--config", help="The mesh's configuration file, which names its journal.")
]
Url = Annotated[str | None, typer.Option("--journal", help="The journal's URL, instead of a configuration.")]
FAILED = 1


@app.command()
def check(config: ConfigPath = None, journal: Url = None, mesh: MeshName = "mesh", as_json: AsJson = False) -> None:
    """Read the whole journal; tell what is damaged or does not add up. Exit status 1 if anything is."""
    from ..journal import care
    from ..journal.journal import Journal
    from .export import find_journal

    opened = Journal.open(find_journal(config, journal, mesh), create=False)
    try:
        problems, accounts = care.check(opened), len(opened.accounts())
    finally:
        opened.close()
    if as_json:
        print(json.dumps({"journal": opened.name, "accounts": accounts, "problems": problems}))
    else:
        for one in problems:
            out.print(one)
        out.print(f"{opened.name}: {accounts} accounts, {len(problems) or 'no'} problems")
    if problems:
        raise typer.Exit(FAILED)


@app.command()
def backup(
    to: Annotated[Path, typer.Option("--out", "-o", help="File to write.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    config: ConfigPath = None,
    journal: Url = None,
    mesh: MeshName = "mesh",
    as_json: AsJson = False,
) -> None:
    """Copy a journal into one file, also while a mesh trades on it."""
    from ..journal import care
    from .export import find_journal

    care.back_up(find_journal(config, journal, mesh), to, overwrite=force)
    if as_json:
        print(json.dumps({"file": str(to), "bytes": to.stat().st_size}))
        return
    out.print(f"{to}: {to.stat().st_size} bytes")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="The backup.")],
    config: ConfigPath = None,
    journal: Url = None,
    mesh: MeshName = "mesh",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of the journal; the replaced files stay next to it. The mesh must not run.

    The next `venuemesh up` asks the exchange for everything that happened since the backup.
    """
    from ..journal import care
    from .export import find_journal

    url = find_journal(config, journal, mesh)
    confirm(f"{file} replaces the journal {url}", yes)
    kept = care.restore(url, file, _say)
    accounts = _accept(url, f"the journal was restored from the backup {file.name}")
    if as_json:
        print(json.dumps({"journal": url, "accounts": accounts, "replaced": [str(one) for one in kept]}))
        return
    for one in kept:
        out.print(f"kept: {one}")
    out.print(f"{url}: restored, with {len(accounts)} accounts; the next start asks the exchange for what is missing")


@app.command()
def accept(
    config: ConfigPath = None,
    journal: Url = None,
    mesh: MeshName = "mesh",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Trade on with the journal as it is: an older copy, another one, or a new one where it is missing.

    For a mesh that refused its journal. Readers of events get an error that says that their numbers are of the old one.
    """
    from ..journal import care
    from .export import find_journal

    url = find_journal(config, journal, mesh)
    confirm(f"the mesh will trade on with the journal {url} as it is, or with a new one if it is missing", yes)
    care.refuse_held(url, _say)
    accounts = _accept(url, "an operator accepted the journal as it is")
    if as_json:
        print(json.dumps({"journal": url, "accounts": accounts}))
        return
    out.print(f"{url}: accepted, with {len(accounts)} accounts; the next start asks the exchange for what is missing")


def _say(text: str) -> None:
    print(text, file=sys.stderr)


@app.command()
def adopt(
    account: Annotated[str, typer.Argument(metavar="EXCHANGE/ACCOUNT", help="The account of a running mesh.")],
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Orders, by client id; default: all but those of other meshes."),
    ] = None,
    yes: Yes = False,
    mesh: MeshName = "mesh",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Take over open orders of this mesh that its journal does not know, and so were left external.

    From then on they are managed as any own order: cancel-all includes them, and so does the death of their owner.
    """
    from .running import attach

    exchange, _, name = account.partition("/")
    if not exchange or not name:
        raise Misconfigured(account, "is not an account; write EXCHANGE/ACCOUNT, as `venuemesh status` lists it")
    market = attach(mesh, address=address).market(exchange, name, owner="cli")
    found = market.adopt(ids or None, show=True)
    if found:
        listed = "\n".join(f"  {_described(one)}" for one in found)
        confirm(f"{len(found)} open orders of {account} become orders of this mesh:\n{listed}\nTake them over", yes)
        found = market.adopt([one.client_order_id for one in found])
    if as_json:
        print(json.dumps([one.to_dict() for one in found]))
        return
    for one in found:
        out.print(f"adopted: {_described(one)}")
    if not found:
        out.print(f"{account}: there is no open order to take over")


def _described(order: Order) -> str:
    size = f"{order.quote_amount:f} in quote" if order.amount is None else f"{order.amount:f}"
    at = "at market" if order.price is None else f"at {order.price:f}"
    return f"{order.client_order_id} {order.side.value} {size} {order.pair} {at}, owner {order.owner or 'unknown'}"


def _accept(url: str, reason: str) -> list[str]:
    """Begin a new lineage for every account, and let this host's high-water marks follow; return the accounts."""
    from ..actors.orders.watermarks import Watermarks
    from ..journal.journal import Journal

    opened = Journal.open(url)
    try:
        if (damage := opened.database.damage()) is not None:
            raise Misconfigured(opened.name, f"is damaged ({damage}) and cannot be traded on; restore a backup")
        accounts = opened.renew(reason, time.time_ns())
        marks = Watermarks(opened.name)
        marks.forget()
        for exchange, account in accounts:
            standing = opened.standing(exchange, account)
            assert standing is not None
            marks.write(exchange, account, standing)
    finally:
        opened.close()
    return [f"{exchange}/{account}" for exchange, account in accounts]
