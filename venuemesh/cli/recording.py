"""Commands about recordings: `record` and `replay`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .. import defaults
from ..model.errors import Misconfigured
from . import keys as account_keys
from .arguments import AsJson, Connector, Environment
from .options import Options, read_options
from .output import out

app = typer.Typer()


@app.command()
def replay(
    files: Annotated[
        list[Path], typer.Argument(help="Recording files, in the order of their recording.", metavar="FILE...")
    ],
    exchange: Annotated[str, typer.Option("--exchange", "-e", help="Exchange that was recorded.")] = defaults.EXCHANGE,
    path: Annotated[str, typer.Option(help="Reader of frames: 'fast' (byte scanner) or 'slow' (JSON).")] = "fast",
    allow_truncated: Annotated[
        bool, typer.Option(help="Accept truncated recordings; use the records before the damage.")
    ] = False,
    instruments: Annotated[
        list[Path] | None,
        typer.Option(
            help="File with instruments that the recording lacks: a recording with the exchange's list, or JSON.",
            metavar="FILE",
        ),
    ] = None,
    option: Options = None,
    as_json: AsJson = False,
) -> None:
    """Replay recorded frames through the connector and the books; print the final state of each book.

    Instruments come from the recording, from instruments.jsonl* next to it, or from --instruments.
    """
    from ..actors.recording.replay import replay as replay_files
    from .tables import replay_table

    if path not in ("fast", "slow"):
        raise Misconfigured("--path", f"{path!r} is neither 'fast' nor 'slow'")
    result: dict[str, Any] = replay_files(
        files,
        exchange,
        path=path,
        allow_truncated=allow_truncated,
        instruments=instruments or (),
        options=read_options(exchange, option),
        on_truncated=lambda cut: print(f"venuemesh: truncated: {cut}", file=sys.stderr),
    )
    if as_json:
        print(json.dumps(result))
        return
    out.print(replay_table(result))


@app.command()
def record(
    exchange: Connector,
    pairs: Annotated[list[str], typer.Argument(help="Trading pairs, BASE-QUOTE.", metavar="PAIR...")],
    to: Annotated[Path, typer.Option("--out", "-o", help="File to write, ending in .jsonl.zst.")],
    seconds: Annotated[float | None, typer.Option(help="Seconds to record; default: until Ctrl-C.")] = None,
    rest: Annotated[str | None, typer.Option(help="Base URL of the REST interface.")] = None,
    ws: Annotated[str | None, typer.Option(help="Base URL of the websocket streams.")] = None,
    ws_l3: Annotated[str | None, typer.Option(help="Base URL of the websocket of order-level books.")] = None,
    books: Annotated[
        Literal["levels", "orders"],
        typer.Option(help="Record price levels, or every order; the exchanges that have orders want an account's key."),
    ] = "levels",
    environment: Environment = None,
    option: Options = None,
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
    """Record raw frames with their receive times. A killed recording can be replayed up to its last flush.

    A key is used only for order-level books, and is not in the recording.
    """
    import asyncio

    from .market_access import recorded
    from .tables import record_lines

    given = account_keys.KeyOptions(
        config, account, keys, keystore, passphrase_file, api_key_file, secret_file, kind, tuple(field_file or ())
    )
    chosen = account_keys.choose_key(exchange, rest, ws, given, environment)
    options = read_options(chosen.connector, option)
    found = asyncio.run(recorded(chosen, pairs, to, seconds, ws_l3, books, options))
    if as_json:
        print(json.dumps(found, default=str))
        return
    for line in record_lines(found):
        out.print(line)
