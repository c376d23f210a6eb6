"""Commands on connectors: what they offer, new ones, their checks, a test of an exchange, one raw request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import keys as account_keys
from .arguments import AsJson, Connector, Environment
from .options import Options, read_options
from .output import ignore, out

if TYPE_CHECKING:
    from ..conformance.runner import Result

app = typer.Typer()


@app.command()
def exchanges(
    by_ccxt: Annotated[bool, typer.Option("--ccxt", help="Show the exchanges of the ccxt package instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the features of each installed connector: market data, candles, user stream, orders, options, environments.

    The connectors declare them. Nothing is sent to an exchange.
    """
    if by_ccxt:
        from .ccxt_exchanges import lines_of, offers_of_ccxt

        listed = offers_of_ccxt()
        print(json.dumps(listed) if as_json else "\n".join(lines_of(listed)))
        return
    from .exchanges import lines, offers

    found = offers()
    if as_json:
        print(json.dumps(found))
        return
    for line in lines(found):
        print(line)


@app.command("new-connector")
def new_connector(
    name: Annotated[str, typer.Argument(help="Name of the exchange: lower-case letters, digits, underscores.")],
    into: Annotated[
        Path, typer.Option("--into", help="Folder in which the project folder is created.", metavar="DIR")
    ] = Path(),
    as_json: AsJson = False,
) -> None:
    """Create a connector project that passes its tests. Then replace its wire format with your exchange's."""
    from .new_connector import lay_out

    folder = lay_out(name, into)
    if as_json:
        print(json.dumps({"folder": str(folder)}))
        return
    print(f"{folder}: README.md has the next steps; try it: cd {folder} && pip install -e '.[dev]' && pytest")


@app.command()
def conformance(
    exchange: Connector,
    samples: Annotated[
        Path | None,
        typer.Option(help="Python file that defines SAMPLES; default: the connector's samples.", metavar="FILE"),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Check against the exchange itself as well.")] = False,
    rest: Annotated[str | None, typer.Option(help="Base URL of the REST interface; implies --live.")] = None,
    ws: Annotated[str | None, typer.Option(help="Base URL of the websocket streams; implies --live.")] = None,
    pair: Annotated[str | None, typer.Option(help="Trading pair for the live checks.")] = None,
    seconds: Annotated[float, typer.Option(help="Seconds to follow the live book.", min=1, max=3600)] = 5.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the checks of a run and its cost, without running it.")
    ] = False,
    record: Annotated[
        Path | None,
        typer.Option(
            help="Folder to record the passed suites in; for venuemesh's own connectors: conformance/passed.",
            metavar="DIR",
        ),
    ] = None,
    trading: Annotated[
        bool, typer.Option(help="Check trading, too: with a key on the exchange, without a key on the local exchange.")
    ] = True,
    keys: account_keys.Entry = None,
    keystore: account_keys.KeystorePath = None,
    passphrase_file: account_keys.PassphraseFile = None,
    api_key_file: account_keys.ApiKeyFile = None,
    secret_file: account_keys.SecretFile = None,
    kind: account_keys.Kind = None,
    field_file: account_keys.FieldFiles = None,
    ws_api: Annotated[str | None, typer.Option("--ws-api", help="URL of the websocket API for trading.")] = None,
    orders: Annotated[str, typer.Option(help="How orders are sent: rest or websocket.")] = "rest",
    stream: Annotated[str, typer.Option(help="How order reports arrive: websocket or polling.")] = "websocket",
    as_json: AsJson = False,
) -> None:
    """Run the suites that every connector must pass; print one line per check. Exit status 1 when a check fails.

    Without a key, trading checks run on a local exchange, which the command starts. With a key they run at --rest,
    --ws and --ws-api; without these URLs, on the exchange's testnet. --dry-run prints the needed balances and the
    cost of a run.
    """
    from .conformance import Plan, Trade, account_of, describe, row_of, run_plan

    account = account_of(keys, keystore, passphrase_file, api_key_file, secret_file, kind, field_file)
    trade = Trade(trading, account, ws_api, orders, stream)
    plan = Plan(exchange, samples, live or rest is not None or ws is not None, rest, ws, pair, seconds, trade, record)
    if dry_run:
        lines = list(describe(plan))
        print(json.dumps({"exchange": exchange, "lines": lines}) if as_json else "\n".join(lines))
        return
    seen: list[tuple[str, Result]] = []
    status = run_plan(plan, ignore if as_json else print, seen)
    if as_json:
        print(json.dumps({"exchange": exchange, "checks": [row_of(part, result) for part, result in seen]}))
    raise typer.Exit(status)


@app.command()
def connect(
    exchange: Connector,
    rest: Annotated[str | None, typer.Option(help="Base URL of the REST interface.")] = None,
    ws: Annotated[str | None, typer.Option(help="Base URL of the websocket streams.")] = None,
    pair: Annotated[str | None, typer.Option(help="Trading pair to subscribe to; default: an example pair.")] = None,
    timeout: Annotated[float, typer.Option(help="Time limit of each step in seconds.", min=0.1)] = 10.0,
    environment: Environment = None,
    option: Options = None,
    public: Annotated[bool, typer.Option("--public", help="Run only the steps that need no key; read no key.")] = False,
    config: account_keys.ConfigPath = None,
    account: account_keys.AccountName = None,
    keys: account_keys.Entry = None,
    keystore: account_keys.KeystorePath = None,
    passphrase_file: account_keys.PassphraseFile = None,
    api_key_file: account_keys.ApiKeyFile = None,
    secret_file: account_keys.SecretFile = None,
    kind: account_keys.Kind = None,
    field_file: account_keys.FieldFiles = None,
    as_json: AsJson = False,
) -> None:
    """Test an exchange: ping, clock, instruments, websocket, frames of one pair; with a key, also its account."""
    import asyncio

    from .connect import Probe
    from .tables import balances_table, checked_table

    given = account_keys.KeyOptions(
        config,
        account,
        keys,
        keystore,
        passphrase_file,
        api_key_file,
        secret_file,
        kind,
        tuple(field_file or ()),
        public,
    )
    chosen = account_keys.choose_key(exchange, rest, ws, given, environment)
    probe = Probe(
        chosen.connector,
        pair,
        chosen.rest,
        chosen.ws,
        timeout,
        chosen.key,
        read_options(chosen.connector, option),
        chosen.environment,
    )
    try:
        asyncio.run(probe.run())
    finally:
        balances = probe.balances()
        if as_json:
            steps = [{"step": step.what, "ms": round(step.ms, 1), "seen": step.result} for step in probe.checked]
            held = None if balances is None else {asset: one.to_dict() for asset, one in balances.items()}
            print(json.dumps({"exchange": exchange, "steps": steps, "balances": held}))
        else:
            if probe.checked:
                out.print(checked_table(exchange, probe.checked))
            if balances is not None:
                out.print(balances_table(balances))
    if as_json:
        return
    if chosen.key is None and not given.public:
        out.print("market data only: no key was given (--keys, --account or --api-key-file), so no balance was read")


@app.command()
def api(
    exchange: Connector,
    method: Annotated[str, typer.Argument(help="HTTP method: GET, POST, ...")],
    path: Annotated[str, typer.Argument(help="Path of the request, such as /v1/time.")],
    params: Annotated[
        list[str] | None, typer.Argument(help="Query parameters, each as key=value.", metavar="[KEY=VALUE]...")
    ] = None,
    rest: Annotated[str | None, typer.Option(help="Base URL of the REST interface.")] = None,
    environment: Environment = None,
    as_json: AsJson = False,
    config: account_keys.ConfigPath = None,
    account: account_keys.AccountName = None,
    keys: account_keys.Entry = None,
    keystore: account_keys.KeystorePath = None,
    passphrase_file: account_keys.PassphraseFile = None,
    api_key_file: account_keys.ApiKeyFile = None,
    secret_file: account_keys.SecretFile = None,
    kind: account_keys.Kind = None,
    field_file: account_keys.FieldFiles = None,
) -> None:
    """Send one raw request, signed if a key is given; print status, rate headers and body.

    The request is sent outside any mesh: it is not journaled, and no rate budget counts it. Exit status 2 if it fails.
    """
    import asyncio

    from ..connectors.registry import connector
    from .connect import ask, pretty

    given = account_keys.KeyOptions(
        config,
        account,
        keys,
        keystore,
        passphrase_file,
        api_key_file,
        secret_file,
        kind,
        tuple(field_file or ()),
    )
    chosen = account_keys.choose_key(exchange, rest, None, given, environment)
    answer = asyncio.run(ask(chosen.connector, method, path, params or [], chosen.rest, chosen.key, chosen.environment))
    limits = answer.rate_headers(connector(chosen.connector).spec)
    if as_json:
        head = json.dumps(
            {"status": answer.status, "ms": round(answer.ms, 3), "rate": limits, "headers": answer.headers}
        )
        body = pretty(answer.body, indent=None)
        print(f'{head[:-1]}, "body": {body if answer.is_json else json.dumps(body)}}}')
    else:
        print(f"HTTP {answer.status} in {answer.ms:.1f} ms")
        for name, value in limits.items():
            print(f"{name}: {value}")
        print(pretty(answer.body))
    if answer.error is not None:
        raise answer.error
