"""`venuemesh up --local` and `--foreground` without Ray: options, exchanges and their end, the service manager."""

import os
import socket
from pathlib import Path

import pytest

from venuemesh.actors.cell.pulse import process_start
from venuemesh.cli.app import app
from venuemesh.cli.export import find_journal
from venuemesh.cli.host import notify
from venuemesh.cli.local_venues import LocalVenues
from venuemesh.mesh.cluster import descendants
from venuemesh.mesh.run_file import RunFile
from venuemesh.model.errors import Misconfigured


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("VENUEMESH_MESH", raising=False)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "--local"),
        (["--local", "mesh.toml"], "leave mesh.toml out"),
        (["mesh.toml", "--venues", "okx"], "--venues: is for --local"),
        (["--local", "--venues", "acme"], "--venues acme: the local exchange speaks .*binance.* only"),
        (["--local", "--venues", ","], "--venues: must name at least one"),
        (["--local", "--venues", "okx,okx"], "okx given twice"),
        (["--local", "--pairs", "BTCUSDT"], "--pairs BTCUSDT: a trading pair is written BASE-QUOTE"),
        (["--local", "--pairs", "BTC-XXX"], "--pairs: the local exchange cannot list them"),
        (["--local", "--pairs", "BTCU-SDT"], "would list BTC-USDT"),
        (["--local", "--address", "10.0.0.1:6379"], "--local: runs on a Ray cluster of this host only"),
    ],
)
def test_what_cannot_start_is_refused_at_once(options, reason):
    with pytest.raises(Misconfigured, match=reason):
        app(["up", *options], standalone_mode=False)


def test_the_name_of_a_mesh_stands_in_its_configuration(tmp_path):
    path = tmp_path / "mesh.toml"
    path.write_text('[mesh]\nname = "one"\n[exchanges.binance]\npairs = ["BTC-USDT"]\n')
    with pytest.raises(Misconfigured, match="names the mesh 'one'"):
        app(["up", str(path), "--mesh", "two"], standalone_mode=False)


def test_each_venue_is_a_separate_exchange_that_ends_with_the_block():
    before = set(descendants(os.getpid()))
    steps: list[str] = []
    with LocalVenues.read("sandbox", "okx,coinbase", "ETH-BTC,BTC-USDT").running(steps.append) as config:
        processes = set(descendants(os.getpid())) - before
        accounts = [config.exchanges[venue].accounts["main"] for venue in ("okx", "coinbase")]
        assert config.mesh.name == "sandbox"
        assert config.exchanges["okx"].rest != config.exchanges["coinbase"].rest
        assert len(steps) == len(processes) == 2
        journal = Path(config.journal.url.removeprefix("sqlite:///"))
        files = [Path(account.secret_file) for account in accounts]
        assert all(file.exists() for file in files)
        assert journal.parent.exists()
    assert not any(process_start(pid) == started for pid, started in processes)
    assert not any(file.exists() for file in files)
    assert not journal.parent.exists(), "orders of an exchange that has ended would be queried at the next one"


def test_every_asset_of_a_pair_has_funds():
    assert set(LocalVenues("m", pairs=("ETH-BTC", "BTC-USDT")).funds) == {"ETH", "BTC", "USDT"}


def test_an_export_finds_the_journal_of_a_running_mesh():
    RunFile("sandbox", "127.0.0.1:1", journal="sqlite:////tmp/j").write()
    assert find_journal(None, None, "sandbox") == "sqlite:////tmp/j"
    assert find_journal(None, None, "other").endswith("/other.journal.sqlite3")


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_the_service_manager_learns_when_the_mesh_runs(kind, tmp_path, monkeypatch):
    name = str(tmp_path / "notify") if kind == "path" else f"@venuemesh-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if kind == "abstract" else name)
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"
