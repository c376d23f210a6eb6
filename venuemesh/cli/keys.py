"""`venuemesh keys`: add, list and remove entries of the keystore; and the choice of the key for `venuemesh connect`."""

from __future__ import annotations

import datetime
import getpass
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..keystore.settings import KeySettings
from ..model.errors import Misconfigured, UnknownExchange
from .arguments import AsJson
from .output import out

if TYPE_CHECKING:
    from ..keystore.key import Key

app = typer.Typer(
    help="API keys, encrypted in a keystore; the mesh opens it on the node that signs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

KeystorePath = Annotated[
    Path | None,
    typer.Option("--keystore", help="File of the keystore; default: ~/.config/venuemesh/keystore.", metavar="PATH"),
]
EntryName = Annotated[str, typer.Argument(help="Name of the entry.")]
# Options of `connect` and `api` that name a key
ConfigPath = Annotated[
    Path | None, typer.Option("--config", help="Configuration file that defines --account.", metavar="MESH.TOML")
]
AccountName = Annotated[str | None, typer.Option("--account", help="Use the key of this account in --config.")]
Entry = Annotated[str | None, typer.Option("--keys", help="Use the key of this keystore entry.", metavar="ENTRY")]
PassphraseFile = Annotated[
    Path | None, typer.Option("--passphrase-file", help="Private file with the keystore's passphrase.")
]
ApiKeyFile = Annotated[
    Path | None, typer.Option("--api-key-file", help="Private file with the API key; needs --secret-file.")
]
SecretFile = Annotated[Path | None, typer.Option("--secret-file", help="Private file with the secret or the PEM.")]
Kind = Annotated[
    str | None, typer.Option("--kind", help="Kind of the key in --secret-file: hmac, ed25519 or rsa.", metavar="KIND")
]
FieldFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--field-file",
        help="With --secret-file: private file with a further field of the key, such as passphrase=PATH.",
        metavar="NAME=PATH",
    ),
]


def field_files(given: list[str] | None) -> dict[str, str]:
    """Read the values of --field-file. Raises Misconfigured: a value is not NAME=PATH."""
    found = {}
    for text in given or ():
        name, equals, path = text.partition("=")
        if not equals or not name or not path:
            raise Misconfigured("--field-file", f"{text!r} is not NAME=PATH")
        found[name] = path
    return found


def ask(prompt: str) -> str:
    """Ask at the terminal without showing the input.

    Raises:
        Misconfigured: there is no terminal, or nothing was typed.
    """
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        raise Misconfigured(
            prompt, "there is no terminal to ask at; give a private file instead (see --help)"
        ) from None
    typed = getpass.getpass(f"{prompt}: ")
    if not typed:
        raise Misconfigured(prompt, "nothing was typed")
    return typed


def passphrase_from(file: Path | None, prompt: str = "passphrase of the keystore", *, twice: bool = False) -> str:
    """Return the passphrase: from the file, from the file that $VENUEMESH_PASSPHRASE_FILE names, or from the terminal.

    Raises:
        Misconfigured: the file cannot be used, there is no terminal, or the two typed passphrases differ.
    """
    from ..keystore.private import read_line
    from ..keystore.secrets import PASSPHRASE_FILE, refuse_secrets_in_environment

    refuse_secrets_in_environment()
    path = file or os.environ.get(PASSPHRASE_FILE)
    if path:
        return read_line(path, "passphrase file")
    typed = ask(prompt)
    if twice and ask(f"{prompt}, again") != typed:
        raise Misconfigured("passphrase", "the two typed passphrases are not the same")
    return typed


@app.command()
def add(
    name: EntryName,
    exchange: Annotated[str, typer.Option("--exchange", "-e", help="Exchange of the key: its connector's name.")],
    kind: Annotated[
        str | None, typer.Option(help="hmac, ed25519 or rsa; default: recognised from the secret.", metavar="KIND")
    ] = None,
    api_key_file: Annotated[Path | None, typer.Option(help="Private file (mode 0600) with the API key.")] = None,
    secret_file: Annotated[
        Path | None, typer.Option(help="Private file with the secret, or the private key as PEM.")
    ] = None,
    field_file: FieldFiles = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(help="Private file with the passphrase; default: the file that $VENUEMESH_PASSPHRASE_FILE names."),
    ] = None,
    keystore: KeystorePath = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an existing entry of that name.")] = False,
    as_json: AsJson = False,
) -> None:
    """Add a key. The command reads values without a file from the terminal, without showing them."""
    from ..connectors.registry import connector, is_known, known
    from ..keystore.key import HMAC, make_key, needs_passphrase
    from ..keystore.private import read_line
    from ..keystore.store import Keystore

    if not is_known(exchange):
        raise UnknownExchange(exchange, known())
    files, needed = field_files(field_file), connector(exchange).spec.key_fields
    for unknown in files.keys() - {key_field.name for key_field in needed}:
        raise Misconfigured("--field-file", f"keys of {exchange} have no {unknown}")
    store = Keystore(keystore)
    fresh = not store.exists()
    if not fresh and not replace and any(entry.name == name for entry in store.list()):
        raise Misconfigured(f"entry {name!r} of keystore {store.path}", "exists already; give --replace to replace it")
    if secret_file is None and kind not in (None, HMAC):
        raise Misconfigured("secret", f"a private key of kind {kind} is read from a file: give --secret-file")
    passphrase = passphrase_from(passphrase_file, twice=fresh)
    if not fresh:
        store.check(passphrase)  # before the other questions
    api_key = read_line(api_key_file, "API key file") if api_key_file is not None else ask("API key")
    secret = read_line(secret_file, "secret file") if secret_file is not None else ask("secret")
    inner = ask(f"passphrase of {secret_file}") if secret_file is not None and needs_passphrase(secret) else None
    source = "secret" if secret_file is None else f"secret file {secret_file}"
    fields = {
        key_field.name: read_line(files[key_field.name], f"{key_field.name} file")
        if key_field.name in files
        else ask(f"{key_field.name} ({key_field.words})")
        for key_field in needed
    }
    key = make_key(exchange, api_key, secret, kind=kind, pem_passphrase=inner, what=source, fields=fields)
    entry = store.add(name, key, passphrase, added=datetime.date.today().isoformat(), replace=replace)
    if as_json:
        shown = {"name": entry.name, "exchange": entry.exchange, "kind": entry.kind, "key": entry.hint}
        print(json.dumps({**shown, "keystore": str(store.path)}))
        return
    print(f"{entry.name}: {entry.kind} key {entry.hint} of {entry.exchange}, in {store.path}")


@app.command("list")
def list_keys(
    keystore: KeystorePath = None,
    as_json: AsJson = False,
) -> None:
    """List the entries. This needs no passphrase and decrypts nothing."""
    from ..keystore.store import Keystore

    store = Keystore(keystore)
    entries = store.list() if store.exists() else []
    if as_json:
        rows = [
            {
                "name": entry.name,
                "exchange": entry.exchange,
                "kind": entry.kind,
                "key": entry.hint,
                "added": entry.added,
            }
            for entry in entries
        ]
        print(json.dumps({"keystore": str(store.path), "keys": rows}))
        return
    if not store.exists():
        print(f"there is no keystore at {store.path}; `venuemesh keys add NAME --exchange EXCHANGE` creates it")
        return
    if not entries:
        print(f"the keystore {store.path} has no entries")
        return
    from rich.table import Table

    table = Table("name", "exchange", "kind", "key", "added", title=str(store.path), title_justify="left")
    for entry in entries:
        table.add_row(entry.name, entry.exchange, entry.kind, entry.hint, entry.added)
    out.print(table)


@app.command()
def remove(
    name: EntryName,
    keystore: KeystorePath = None,
    as_json: AsJson = False,
) -> None:
    """Remove an entry. A running mesh that has read the key keeps using it until its actors are replaced."""
    from ..keystore.store import Keystore

    store = Keystore(keystore)
    store.remove(name)
    if as_json:
        print(json.dumps({"name": name, "keystore": str(store.path)}))
        return
    print(f"{name}: removed from {store.path}")


# ---------------------------------------------------------------------- the key that `connect` tries


@dataclass(frozen=True, slots=True)
class KeyOptions:
    """The options of `connect` that name a key."""

    config: Path | None = None
    account: str | None = None
    keys: str | None = None
    keystore: Path | None = None
    passphrase_file: Path | None = None
    api_key_file: Path | None = None
    secret_file: Path | None = None
    kind: str | None = None
    field_files: tuple[str, ...] = ()  # each NAME=PATH
    public: bool = False  # read no key, even if the configuration names one


@dataclass(frozen=True, slots=True)
class Chosen:
    """The connector, its base URLs (None: those of the environment), its environment (None: the real exchange), and the
    key (None: market data only)."""

    connector: str
    rest: str | None
    ws: str | None
    environment: str | None
    key: Key | None
    ws_l3: str | None = None  # of a configuration


def choose_key(
    exchange: str, rest: str | None, ws: str | None, given: KeyOptions, environment: str | None = None
) -> Chosen:
    """Read the key that the options name: an account of a configuration, an entry of a keystore, or two files.

    Prompts for the passphrase at the terminal when no file holds it.

    Raises:
        Misconfigured: the options name several keys or only a part of a key, or the key cannot be read.
    """
    if given.public and replace(given, config=None) != KeyOptions(public=True):
        raise Misconfigured("--public", "it reads no key; leave out the options of a key")
    ways = [given.account or given.config, given.keys, given.api_key_file or given.secret_file]
    if given.field_files and ways[2] is None:
        raise Misconfigured("--field-file", "belongs to --api-key-file and --secret-file")
    if sum(way is not None for way in ways) > 1:
        raise Misconfigured("key", "give one of --account with --config, --keys, or --api-key-file with --secret-file")
    if ways[0] is not None:
        return _configured(exchange, rest, ws, environment, given)
    if ways == [None, None, None]:
        return Chosen(exchange, rest, ws, environment, None)
    key = KeySettings(
        keys=given.keys,
        keystore=_text(given.keystore),
        api_key_file=_text(given.api_key_file),
        secret_file=_text(given.secret_file),
        kind=given.kind,
        field_files=field_files(list(given.field_files)),
    )
    return Chosen(exchange, rest, ws, environment, _read(key, exchange, given.passphrase_file))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _configured(exchange: str, rest: str | None, ws: str | None, environment: str | None, given: KeyOptions) -> Chosen:
    from ..config.mesh import load_config

    if given.config is None:
        raise Misconfigured(
            "--account", f"{given.account!r} needs the configuration that defines it: give --config MESH.TOML"
        )
    table = load_config(given.config).exchanges.get(exchange)
    if table is None:
        raise Misconfigured(str(given.config), f"has no table [exchanges.{exchange}]")
    names = sorted(table.accounts)
    name = given.account or (names[0] if len(names) == 1 else None)
    connector, rest, ws = table.connector or exchange, rest or table.rest, ws or table.ws
    environment = environment or table.environment
    if given.public or (name is None and not names):
        return Chosen(connector, rest, ws, environment, None, table.ws_l3)
    if name not in table.accounts:
        raise Misconfigured(
            str(given.config), f"give --account with one of {exchange}'s accounts: {', '.join(names) or 'it has none'}"
        )
    key = _read(table.accounts[name].key, connector, given.passphrase_file)
    return Chosen(connector, rest, ws, environment, key, table.ws_l3)


def _read(key: KeySettings, connector: str, passphrase_file: Path | None) -> Key:
    from ..keystore.secrets import PASSPHRASE_FILE, read_key
    from ..keystore.store import Keystore

    file = _text(passphrase_file) or key.passphrase_file or os.environ.get(PASSPHRASE_FILE)
    if key.keys is None or file is not None:
        return read_key(replace(key, passphrase_file=file), connector)
    Keystore(key.keystore).entry(key.keys)  # before any question at the terminal
    return read_key(key, connector, passphrase_from(None))
