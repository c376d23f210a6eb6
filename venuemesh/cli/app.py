"""The command line. Each command is a thin layer over the library; an error is one line on stderr and exit status 2."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import defaults
from ..model.address import belongs_to_node
from ..model.errors import MeshError, Misconfigured, RetryLater
from . import completion, connectors, journal, keys, orders, recording
from .arguments import (
    Address,
    AsJson,
    AsJsonLines,
    Exchange,
    MeshName,
    Patterns,
    TradingPair,
    TradingPairs,
)
from .local_venues import PAIRS, LocalVenues
from .output import Say, guard_streams, out, steps

if TYPE_CHECKING:
    from ..config.mesh import MeshConfig

app = typer.Typer(
    name="venuemesh",
    help="Exchange connectors as a distributed actor system on Ray.",
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line; the entry point of the `venuemesh` script."""
    guard_streams()
    try:
        code = chosen(sys.argv[1:])(standalone_mode=False)  # returns the exit status of a command that raised Exit
        sys.exit(code if isinstance(code, int) else 0)
    except MeshError as error:
        print(f"venuemesh: {error}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except Exception as error:
        usage = getattr(error, "format_message", None)
        if usage is None:
            raise
        context = getattr(error, "ctx", None)
        where = f"{context.command_path}: " if context is not None else "venuemesh: "
        print(f"{where}{usage()}", file=sys.stderr)
        sys.exit(2)


def chosen(arguments: Sequence[str]) -> typer.Typer:
    """Return the app with only the command that the arguments name, as typer reads the options of all others, too.

    Without such a command (help, completion, a typing error) return the whole app.
    """
    name = arguments[0] if arguments else ""
    for group in (app, orders.app, recording.app, connectors.app):
        for command in group.registered_commands:
            if name in (command.name, getattr(command.callback, "__name__", "")):
                alone = typer.Typer(
                    name="venuemesh", add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
                )
                alone.registered_callback = app.registered_callback
                alone.registered_commands = [command]
                return alone
    return app


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        from .. import __version__

        print(f"venuemesh {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(2)


# ---------------------------------------------------------------------- the mesh as a service


@app.command()
def up(
    config: Annotated[
        Path | None, typer.Argument(help="The mesh's configuration, a TOML file.", metavar="[MESH.TOML]")
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Instead of a configuration: trade on a new local exchange, with funds.")
    ] = False,
    venues: Annotated[
        str | None,
        typer.Option(
            help=f"With --local: protocols to trade on, each on a separate exchange (default: {defaults.EXCHANGE}).",
            metavar="A,B",
        ),
    ] = None,
    pairs: Annotated[
        str | None, typer.Option(help=f"With --local: the trading pairs (default: {PAIRS}).", metavar="A-B,C-D")
    ] = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay until SIGTERM or Ctrl-C; then stop the mesh in an orderly way.")
    ] = False,
    mesh: Annotated[
        str | None, typer.Option("--mesh", "-m", help="With --local: name of the mesh (default: mesh).")
    ] = None,
    address: Address = None,
    wait: Annotated[
        float | None,
        typer.Option(
            help="Seconds to wait until every book is LIVE (default: as long as the start advances).",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start a mesh from its configuration file, on a new Ray cluster or on the one at --address, and return.

    A mesh that is not complete in time is left running, and the exit status is 1.

    Exit status with --foreground: 0 after an orderly stop, 1 when another start may help, 2 when it will not.
    """
    say = steps(not as_json)
    from .service import run, start

    plan = _plan(config, local, mesh, venues, pairs, say)

    def answer(started: Mapping[str, Any]) -> None:
        if as_json:
            out.plain(json.dumps(started))
            return
        books = f"{started['live']} of {started['books']} books LIVE"
        if started["halted"]:
            books += f", {started['halted']} HALTED (the exchange does not trade them now)"
        out.plain(f"mesh {started['mesh']} runs at {started['address']}: {books}")
        if missing := started["missing"]:
            from ..model.shown import few

            out.plain(f"It is not complete, and continues to start: {few(missing)}. See it with: venuemesh status")
        if isinstance(plan, LocalVenues):
            named = "" if plan.mesh == "mesh" else f" --mesh {plan.mesh}"
            shown = f"{plan.venues[0]} {' '.join(plan.pairs)}"
            out.plain("In Python:\n")
            out.plain("\n".join(f"    {line}" for line in plan.use()))
            out.plain(f"\nStop it with: venuemesh down{named}; see its books with: venuemesh watch{named} {shown}")

    if not foreground:
        started = start(plan, address=address, wait_s=wait, say=say)
        answer(started)
        if started["missing"]:
            raise typer.Exit(1)
        return
    try:
        run(plan, address=address, wait_s=wait, say=say, answer=answer)
    except RetryLater as error:
        print(f"venuemesh: {error.reason}", file=sys.stderr)
        raise typer.Exit(1) from None


def _plan(
    config: Path | None, local: bool, mesh: str | None, venues: str | None, pairs: str | None, say: Say
) -> MeshConfig | LocalVenues:
    """Return what `up` shall run. Raises Misconfigured: neither or both of a configuration and --local."""
    if local and config is not None:
        raise Misconfigured("--local", f"starts without a configuration; leave {config} out")
    if local:
        name = mesh or os.environ.get("VENUEMESH_MESH") or "mesh"
        return LocalVenues.read(name, venues or defaults.EXCHANGE, pairs or PAIRS)
    for option, value in (("--venues", venues), ("--pairs", pairs)):
        if value is not None:
            raise Misconfigured(option, "is for --local; a configuration file names its exchanges and pairs")
    if config is None:
        raise Misconfigured("venuemesh up", "needs a configuration file, or --local for a local exchange")
    say("reading the configuration")
    from ..config.mesh import load_config

    read = load_config(config)
    if mesh not in (None, read.mesh.name):
        raise Misconfigured(f"--mesh {mesh}", f"{config} names the mesh {read.mesh.name!r}; change it there")
    return read


@app.command()
def down(
    mesh: MeshName = "mesh",
    address: Address = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel the open orders of all accounts first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop a mesh in an orderly way, and the Ray cluster that `up` started for it; name the orders left open.

    Exit status 1 when --cancel was given and an order may still be open.
    """
    from .open_orders import OpenOrders
    from .service import stop

    orders = OpenOrders.find(mesh, address)
    if cancel:
        orders.cancel()
    stop(mesh, address=address)
    if as_json:
        print(json.dumps({"mesh": mesh, **orders.to_dict()}))
    else:
        for line in orders.lines():
            out.plain(line)
        out.plain(f"mesh {mesh} is down")
    if cancel and not orders.all_cancelled:
        raise typer.Exit(1)


@app.command()
def status(mesh: MeshName = "mesh", address: Address = None, as_json: AsJson = False) -> None:
    """Show the tree: every actor's state, host, process, incarnation, restarts, memory and last error.

    A mesh on several nodes also lists these, with their labels and the egress budgets that they may spend.
    """
    from .running import attach
    from .tables import nodes_table, status_table

    tree = attach(mesh, address=address).status()
    if as_json:
        print(json.dumps(tree, default=str))
        return
    out.print(status_table(tree))
    if len(tree["nodes"]) > 1:
        out.print(nodes_table(tree))


@app.command()
def logs(
    actor: Annotated[
        str | None,
        typer.Argument(
            help="Address of an actor, with wildcards; or 'supervisor'.",
            metavar="[ADDRESS]",
            autocompletion=completion.addresses,
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new events until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="Largest number of events, newest last.")] = 50,
    seconds: Annotated[float | None, typer.Option(help="Seconds to follow; default: until Ctrl-C.")] = None,
    mesh: MeshName = "mesh",
    address: Address = None,
    as_json: AsJsonLines = False,
) -> None:
    """Show what one actor has logged on this host, or where the logs are and each actor's last event.

    The events of an actor include those of its earlier processes, and the supervisor's events about it. The mesh need
    not answer.
    """
    from .logs import LOOK_S, choose, log_folder, logs_table

    folder = log_folder(mesh, address)
    found = folder.new()
    if actor is None and not follow and not as_json:
        out.print(logs_table(folder, found))
        return
    pattern = actor or "*"
    for event in (choose(found, pattern) if found or not follow else [])[-lines:]:
        out.plain(json.dumps(event.to_dict()) if as_json else str(event))
    if not follow:
        return
    from ..market.sync.ticks import every

    for tick in every(LOOK_S):
        for event in folder.new():
            if event.concerns(pattern):
                out.plain(json.dumps(event.to_dict()) if as_json else str(event))
        if seconds is not None and tick * LOOK_S >= seconds:
            return


@app.command()
def book(
    exchange: Exchange,
    pair: TradingPair,
    depth: Annotated[int, typer.Option("--depth", min=1, max=5000, help="Price levels to show per side.")] = 10,
    mesh: MeshName = "mesh",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Print one book. Levels come from this node's shared memory, deeper ones from the book's actor."""
    from .running import attach
    from .tables import book_json, book_table, side_text

    market = attach(mesh, address=address).market(exchange)
    view = market.order_book(pair)
    view.wait_live(timeout_s=5.0)
    snapshot = view.snapshot()
    sides = ((snapshot.bids, snapshot.bids_complete), (snapshot.asks, snapshot.asks_complete))
    if any(len(levels) < depth and not complete for levels, complete in sides):
        snapshot = market.get_snapshot(pair, limit=depth)
    if as_json:
        print(json.dumps(book_json(view, snapshot, depth)))
        return
    out.print(book_table(view, snapshot, depth))
    for side in ("asks", "bids"):
        out.print(side_text(snapshot, side, depth))


@app.command()
def watch(
    exchange: Exchange,
    pairs: TradingPairs,
    seconds: Annotated[float | None, typer.Option(help="Seconds to run; default: until Ctrl-C.")] = None,
    mesh: MeshName = "mesh",
    address: Address = None,
    as_json: AsJsonLines = False,
) -> None:
    """Show live books until Ctrl-C: state, best bid and ask, spread, updates per second, age."""
    from .running import attach
    from .tables import watch_books, watch_lines

    market = attach(mesh, address=address).market(exchange)
    views = {pair: market.order_book(pair) for pair in pairs}
    if as_json:
        watch_lines(lambda row: out.plain(json.dumps(row)), views, seconds)
    else:
        watch_books(out.console, views, seconds)


@app.command()
def track(
    exchange: Exchange,
    pairs: Patterns,
    mesh: MeshName = "mesh",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Track more trading pairs while the mesh runs."""
    from .running import attach

    attach(mesh, address=address).track(exchange, *pairs)
    if as_json:
        print(json.dumps({"exchange": exchange, "tracked": pairs}))


@app.command()
def untrack(
    exchange: Exchange,
    pairs: Patterns,
    mesh: MeshName = "mesh",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Stop tracking trading pairs while the mesh runs."""
    from .running import attach

    attach(mesh, address=address).untrack(exchange, *pairs)
    if as_json:
        print(json.dumps({"exchange": exchange, "untracked": pairs}))


@app.command()
def restart(
    pattern: Annotated[
        str, typer.Argument(help="Addresses, with wildcards: 'book/*/BTC-*'.", autocompletion=completion.addresses)
    ],
    mesh: MeshName = "mesh",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Restart actors one at a time. A book serves until its successor is LIVE; other actors are stopped first."""
    from .running import attach

    restarted = attach(mesh, address=address).restart(pattern)
    if as_json:
        print(json.dumps({"restarted": restarted}))
        return
    for name in restarted:
        out.print(name)


@app.command()
def upgrade(mesh: MeshName = "mesh", address: Address = None, as_json: AsJson = False) -> None:
    """Replace every process, so that all run the version that is installed now. Install it on every host first.

    Actors are replaced one at a time, as by restart, and the supervisor last. Exit status 1: some processes run another
    version, because their host has another one.
    """
    from .. import __version__
    from .running import attach

    done = attach(mesh, address=address).upgrade()
    if as_json:
        print(json.dumps(done))
    else:
        for name in done["replaced"]:
            out.print(name)
        for name, version in done["others"].items():
            out.print(f"{name} runs {version or 'an unknown version'}")
        out.print(f"{len(done['replaced'])} actors and the supervisor were replaced; version {done['version']}")
        if done["version"] != __version__:
            out.print(
                f"this host has {__version__}; install it on the others, or end a mesh with its own Ray and start it"
            )
    if done["others"] or done["version"] != __version__:
        raise typer.Exit(1)


@app.command()
def move(
    actor: Annotated[
        str, typer.Argument(help="Address of an actor.", metavar="ACTOR", autocompletion=completion.addresses)
    ],
    host: Annotated[str, typer.Argument(help="Name of a host, or the beginning of a node's id.")],
    mesh: MeshName = "mesh",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Move one actor to a host. A book serves until its successor there is LIVE; other actors are stopped first."""
    from .running import attach

    moved = attach(mesh, address=address).move(actor, host)
    if as_json:
        print(json.dumps(moved))
        return
    out.print(f"{actor}: {moved['from']} -> {moved['to']}" if moved["moved"] else f"{actor} runs on {moved['to']}")


@app.command()
def drain(
    host: Annotated[str, typer.Argument(help="Name of a host, or the beginning of a node's id.")],
    undo: Annotated[bool, typer.Option("--undo", help="Place actors on the host again.")] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait until the host is empty.", min=1)] = 600.0,
    mesh: MeshName = "mesh",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Move every actor away from a host, one at a time, and place none there. Exit status 1: some could not leave."""
    from .running import attach

    done = attach(mesh, address=address).drain(host, undo, timeout_s=wait)
    if as_json:
        print(json.dumps(done))
    else:
        for name in done["moved"]:
            out.print(f"moved   {name}")
        for name, why in done["left"].items():
            out.print(f"remains {name}: {why}")
        out.print(f"{host} is drained" if done["drained"] else f"{host} takes actors again")
    if [name for name in done["left"] if name != "supervisor" and not belongs_to_node(name)]:
        raise typer.Exit(1)


@app.command()
def rebalance(
    plan: Annotated[bool, typer.Option("--plan", help="Show the moves only.")] = False,
    mesh: MeshName = "mesh",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Spread the books over the hosts that may run them, one at a time and without a gap."""
    from .running import attach

    done = attach(mesh, address=address).rebalance(plan)
    if as_json:
        print(json.dumps(done))
    else:
        for one in done["moves"]:
            failed = f": {one['error']}" if one["error"] else ""
            out.print(f"{one['address']}: {one['from']} -> {one['to']}{failed}")
        loads = done["before" if plan else "after"]
        pairs = ", ".join(f"{host} {load}" for host, load in sorted(loads.items()))
        out.print(f"{len(done['moves'])} {'planned' if plan else 'moved'}; pairs: {pairs}")
    if any(one["error"] for one in done["moves"]):
        raise typer.Exit(1)


# ---------------------------------------------------------------------- trading

app.add_typer(orders.app)
app.add_typer(keys.app, name="keys")
app.add_typer(journal.app, name="journal")

# ---------------------------------------------------------------------- demonstration and local exchange


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(help="Seconds to run, not counting the start.", min=2, max=3600)] = 20.0,
    pairs: Annotated[int, typer.Option(help="Number of trading pairs.", min=1, max=16)] = 4,
    rate: Annotated[float, typer.Option(help="Level changes per second and pair at the exchange.", min=1)] = 200.0,
    seed: Annotated[int, typer.Option(help="Seed of the local exchange.")] = 7,
    venues: Annotated[
        str | None,
        typer.Option(help="Several exchanges, or all, with an arbitrage between them.", metavar="A,B"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a local exchange, a mesh and two strategies here; kill a book and the order manager and show the recovery.

    With --venues it runs a market maker on each exchange, an arbitrage between them, and also kills a user stream.
    """
    say = steps(not as_json)
    say("importing Ray and the mesh")
    if venues is not None:
        from .demo.venues import VenuesOptions, run_venues

        several = VenuesOptions.read(venues, seconds, pairs, seed, as_json)
        raise typer.Exit(run_venues(several, out.console, say))
    from .demo.demo import DemoOptions, run_demo

    options = DemoOptions(seconds=seconds, pairs=pairs, rate=rate, seed=seed, as_json=as_json)
    raise typer.Exit(run_demo(options, out.console, say))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def exchange(context: typer.Context) -> None:
    """Run the local exchange: a matching engine behind the protocols of real exchanges (options: exchange --help)."""
    from ..exchange.__main__ import main as exchange_main

    raise typer.Exit(exchange_main(context.args))


# ---------------------------------------------------------------------- recordings


# ---------------------------------------------------------------------- connectors, console

app.add_typer(recording.app)
app.add_typer(connectors.app)


@app.command()
def console(mesh: MeshName = "mesh", address: Address = None) -> None:
    """Open an IPython console on a running mesh; `mesh`, `market`, `book` and `np` are defined."""
    from .console import open_console, require_ipython

    require_ipython()
    from .running import attach

    open_console(attach(mesh, address=address))
