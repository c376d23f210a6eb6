"""A running service as for a user: the local exchange and `venuemesh up`, in a separate state directory."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.fakes.forked_workers import quiet_python
from tests.fakes.planted import passphrase, plant, write_0600
from tests.fakes.shell import Shell
from venuemesh.exchange.admin.client import AdminClient

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
[mesh]
name = "{name}"
spares_per_node = 1
hang_limit_s = 10.0

[exchanges.binance]
pairs = ["BTC-USDT", "ETH-USDT"]
rest = "{rest}"
ws = "{ws}"
ws_api = "{ws_api}"

[exchanges.binance.accounts.main]
keys = "service-main"
keystore = "{keystore}"
passphrase_file = "{passphrase_file}"
recv_window_ms = 2000
unknown_orders = "external"
"""
WITHOUT_RAY = "import sys; sys.modules['ray'] = None; from venuemesh.__main__ import main; main()"
FUNDS = {"BTC": "5", "USDT": "100000"}


@pytest.fixture(scope="session")
def state(tmp_path_factory):
    """The environment of every command: the run files are in a temporary folder."""
    folder = tmp_path_factory.mktemp("state")
    return {**os.environ, "XDG_STATE_HOME": str(folder), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


@pytest.fixture(scope="session")
def python() -> Iterator[str]:
    """The Python of every command that runs in a separate process."""
    with quiet_python() as path:
        yield path


@pytest.fixture(scope="session")
def shell(state) -> Iterator[Shell]:
    """Run `venuemesh ...` in a process that runs other commands, too, and keeps its session of the service."""
    shell = Shell(state)
    yield shell
    shell.close()


@pytest.fixture(scope="session")
def lone_shell(state) -> Iterator[Shell]:
    """Run `venuemesh ...` in a process that runs other commands, too, and has no session."""
    shell = Shell(state)
    yield shell
    shell.close()


@pytest.fixture(scope="session")
def cli(state, python):
    """Run `venuemesh ...` in a separate process that cannot import Ray, and return the finished process."""

    def run(*arguments, timeout=120, check=True, **env):
        done = subprocess.run(
            [python, "-c", WITHOUT_RAY, *map(str, arguments)],
            env={**state, **env},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture(scope="session")
def exchange():
    """The local exchange as its own process; its base URLs."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "venuemesh.exchange",
            "--json",
            "--seed",
            "3",
            "--rate",
            "100",
            "--parent",
            str(os.getpid()),
        ],
        stdout=subprocess.PIPE,
    )
    yield json.loads(process.stdout.readline())
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="session")
def admin(exchange):
    return AdminClient(exchange["admin"])


@pytest.fixture(scope="session")
def keys(cli, admin, tmp_path_factory):
    """The service's key: an account at the exchange, an entry of a keystore, and the files to make them."""
    folder = tmp_path_factory.mktemp("keys")
    planted = plant("hmac", [passphrase()])
    admin.add_account("main", planted.api_key, secret=planted.secret, balances=FUNDS)
    files = {"api_key_file": planted.api_key, "secret_file": planted.secret, "passphrase_file": planted.passphrases[0]}
    paths = {name: write_0600(folder / name, text) for name, text in files.items()}
    paths["keystore"] = folder / "keystore"
    options = [one for name, path in paths.items() for one in (f"--{name.replace('_', '-')}", path)]
    added = cli("keys", "add", "service-main", "--exchange", "binance", *options)
    return SimpleNamespace(planted=planted, folder=folder, added=added.stdout, **paths)


@pytest.fixture(scope="session")
def service(cli, exchange, keys, tmp_path_factory, state):
    """A mesh named "service" that was started by `venuemesh up` and is ended by `venuemesh down`."""
    path = tmp_path_factory.mktemp("config") / "mesh.toml"
    where = {"keystore": keys.keystore, "passphrase_file": keys.passphrase_file}
    path.write_text(CONFIG.format(name="service", **where, **exchange["binance"]))
    up = cli("up", path, "--json", "--wait", 150, timeout=200, VENUEMESH_LOG="TRACE")  # a full log, for the search
    answer = json.loads(up.stdout.splitlines()[-1])
    run_file = Path(state["XDG_STATE_HOME"]) / "venuemesh" / "service.json"
    host = json.loads(run_file.read_text())["host_pid"]
    yield SimpleNamespace(answer=answer, config=path, host=host, run_file=run_file)
    if run_file.exists():
        cli("down", "--mesh", "service")
