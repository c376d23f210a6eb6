"""What commands import: nothing that takes long and that they do not use."""

import json
import subprocess
import sys
import textwrap

import typer.main

from venuemesh.cli import connectors, orders
from venuemesh.cli.app import app, chosen

# Each would cost a command more time than all that the command does.
HEAVY = ("ray", "numpy", "pandas", "aiohttp", "sqlalchemy", "cryptography", "loguru", "IPython", "venuemesh.exchange")
CODECS = tuple(f"venuemesh.connectors.{part}" for part in ("registry", "market_codec", "order_codec", "spec"))
NO_MESH = "no mesh of that name is known on this machine"


def test_commands_import_neither_ray_nor_what_they_do_not_use(tmp_path):
    """Look at one process after several commands; those on a mesh end when they do not find it."""
    script = f"""
        import contextlib, io, json, sys
        from venuemesh.cli.app import chosen
        from venuemesh.model.errors import MeshNotRunning

        errors = []
        for line in (
            "--help", "status --help", "buy --help", "status -m none", "orders binance -m none", "down -m none",
            "buy binance BTC-USDT 1 --price 2 -m none", "cancel binance 1 -m none", "book binance BTC-USDT -m none",
        ):
            with contextlib.redirect_stdout(io.StringIO()):
                try:
                    chosen(line.split())(line.split(), standalone_mode=False)
                except MeshNotRunning as error:
                    errors.append(str(error))
        import venuemesh.cli.tables, venuemesh.mesh.session, venuemesh.market.market, venuemesh.cli.service
        heavy = [name for name in {HEAVY + CODECS!r} if name in sys.modules]
        print(json.dumps([heavy, errors]))
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"PATH": "", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)},
    )
    heavy, errors = json.loads(done.stdout)
    assert heavy == []
    assert len(errors) == 6
    assert all(NO_MESH in error for error in errors)


def test_a_command_is_the_same_alone_and_in_the_whole_app():
    whole = typer.main.get_command(app)
    for group in (app, orders.app, connectors.app):
        for command in group.registered_commands:
            name = command.name or command.callback.__name__
            alone = typer.main.get_command(chosen([name, "--json"])).commands
            assert list(alone) == [name]
            assert alone[name].help == whole.commands[name].help
            assert [str(p) for p in alone[name].params] == [str(p) for p in whole.commands[name].params]


def test_the_whole_app_answers_what_names_no_command():
    for arguments in ([], ["--help"], ["--version"], ["stats"], ["keys", "list"]):
        assert chosen(arguments) is app
