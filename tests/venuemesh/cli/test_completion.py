"""What a shell completes: from the route table of the running mesh, and nothing where no mesh answers."""

import os
import subprocess
import sys

import pytest
import typer.main
from typer.testing import CliRunner

from venuemesh.cli.app import app
from venuemesh.mesh import peek as peeks
from venuemesh.mesh.run_file import RunFile

TABLE = {
    "exchanges": ["acme", "binance"],
    "accounts": {"acme": ["hedge", "main"], "binance": ["spot"]},
    "tracked": {"book/acme/BTC-USDT": {}, "book/acme/ETH-USDT": {}, "book/binance/BTC-EUR": {}},
    "routes": {"book/acme/BTC-USDT": {}, "catalog/acme": {}, "orders/acme/main": {}},
}


def completed(*words, **environment):
    """Return what bash gets when the last of these words is completed."""
    shell = {
        "_VENUEMESH_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(("venuemesh", *words)),
        "COMP_CWORD": str(len(words)),
    }
    done = CliRunner().invoke(app, prog_name="venuemesh", env=shell | environment)
    assert done.exit_code == 0
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """A mesh that answers with `TABLE`; the names of the meshes that were asked."""
    names = []
    monkeypatch.setattr(peeks, "peek", lambda mesh: names.append(mesh) or TABLE)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("VENUEMESH_MESH", raising=False)
    return names


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("book", ""), ["acme", "binance"]),
        (("buy", "b"), ["binance"]),
        (("book", "acme", ""), ["BTC-USDT", "ETH-USDT"]),
        (("buy", "acme", "BT"), ["BTC-USDT"]),
        (("watch", "acme", "BTC-USDT", ""), ["ETH-USDT"]),
        (("untrack", "binance", ""), ["BTC-EUR"]),
        (("orders", "acme", "--pair", "E"), ["ETH-USDT"]),
        (("orders", "acme", "--account", ""), ["hedge", "main"]),
        (("balances", "binance", "-a", "s"), ["spot"]),
        (("stream", "acme", "m"), ["main"]),
        (("pause", "acme", "--pair", "BTC"), ["BTC-USDT"]),
        (("export", "trades", "-e", "acme", "-a", ""), ["hedge", "main"]),
        (("restart", "book/"), ["book/acme/BTC-USDT"]),
        (("logs", ""), ["book/acme/BTC-USDT", "catalog/acme", "orders/acme/main"]),
        (("connect", "kra"), ["kraken"]),
        (("book", "acme", "XRP"), []),
    ],
)
def test_a_word_is_completed_from_the_running_mesh(asked, words, expected):
    assert completed(*words) == expected


def test_the_mesh_is_the_one_of_the_command_or_the_environment(asked):
    completed("book", "--mesh", "mine", "acme", "")
    completed("book", "acme", "", VENUEMESH_MESH="other")
    completed("book", "acme", "")
    assert asked == ["mine", "other", "mesh"]


def test_names_of_meshes_come_from_their_run_files(asked):
    RunFile("mine", "127.0.0.1:1").write()
    assert completed("status", "--mesh", "") == ["mine"]


def test_without_a_mesh_nothing_is_printed_and_ray_is_not_imported(tmp_path):
    """One process completes for a mesh that has ended and left its folder."""
    code = (
        "import sys\nfrom venuemesh.__main__ import main\ntry:\n    main()\n"
        "finally:\n    assert not {'ray', 'numpy', 'venuemesh.exchange'} & set(sys.modules)\n"
    )
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path),
        "VENUEMESH_SEGMENTS": str(tmp_path / "segments"),
        "_VENUEMESH_COMPLETE": "complete_bash",
        "COMP_WORDS": "venuemesh book binance ",
        "COMP_CWORD": "3",
    }
    (tmp_path / "segments" / "mesh" / "node" / "near").mkdir(parents=True, mode=0o700)
    command = [sys.executable, "-c", code.replace("import sys\n", "import sys; sys.argv = ['venuemesh']\n")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_every_argument_of_a_running_mesh_is_completed():
    """No command forgets it: each parameter with one of these names has a completion."""
    missing = []
    for name, command in typer.main.get_command(app).commands.items():
        for parameter in getattr(command, "params", ()):
            is_named = parameter.name in ("account", "pair", "mesh") or (parameter.name, name) == ("pattern", "restart")
            if is_named and parameter._custom_shell_complete is None:
                missing.append(f"{name}: {parameter.name}")
    others = {
        "connect: account",
        "connect: pair",
        "api: account",
        "conformance: pair",
        "record: account",
        "up: mesh",
    }  # of no running mesh
    assert set(missing) <= others, missing
