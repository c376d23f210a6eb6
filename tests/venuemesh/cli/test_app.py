"""Commands that need no cluster: what they print of a book and of a recording, and what they say where they cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer.main

from venuemesh.cli.app import app
from venuemesh.keystore.state_folder import make_state_folder
from venuemesh.mesh import mesh as client
from venuemesh.mesh.run_file import RunFile, read_run_file
from venuemesh.model.errors import Misconfigured
from venuemesh.model.events import BookState
from venuemesh.model.instrument import Instrument
from venuemesh.orderbook.snapshot import BookSnapshot

ROOT = Path(__file__).resolve().parents[3]
INSTRUMENT = Instrument("binance", "AAA-BBB", "AAABBB", "AAA", "BBB", 8, 8)


def snapshot_of(bids: int, asks: int, complete: tuple[bool, bool] = (False, False)) -> BookSnapshot:
    """Prices around 0.00000012, sizes of 0.00000001: what `str` of a Decimal writes with an exponent."""
    levels = [
        np.array([[at, 1] for at in prices], np.int64).reshape(-1, 2)
        for prices in (range(12_000, 12_000 - bids, -1), range(12_001, 12_001 + asks))
    ]
    return BookSnapshot(
        "book/binance/AAA-BBB", (1, 1), BookState.LIVE, 1, 9, 0, 0, 8, 8, levels[0], levels[1], *complete
    )


class FakeMarket:
    """A market whose segment holds `held` and whose actor, when asked, gives `deeper`."""

    def __init__(self, held: BookSnapshot, deeper: BookSnapshot) -> None:
        self.held, self.deeper = held, deeper
        self.asked: list[int] = []

    def market(self, exchange: str) -> FakeMarket:
        return self

    def order_book(self, pair: str) -> SimpleNamespace:
        def wait_live(timeout_s: float) -> None:
            return None

        held = self.held
        return SimpleNamespace(address=held.address, instrument=INSTRUMENT, wait_live=wait_live, snapshot=lambda: held)

    def get_snapshot(self, pair: str, limit: int) -> BookSnapshot:
        self.asked.append(limit)
        return self.deeper


@pytest.fixture
def book(monkeypatch, capsys):
    """Run `venuemesh book` on a fake market; return what was asked of the actor and what was printed."""

    def run(held: BookSnapshot, deeper: BookSnapshot, *options: object) -> tuple[list[int], str]:
        market = FakeMarket(held, deeper)
        monkeypatch.setattr(client, "connect", lambda *_, **__: market)
        app(["book", "binance", "AAA-BBB", *map(str, options)], standalone_mode=False)
        return market.asked, capsys.readouterr().out

    return run


def test_a_depth_that_the_segment_holds_needs_no_query(book):
    asked, printed = book(snapshot_of(200, 200), snapshot_of(0, 0), "--depth", 200, "--json")
    shown = json.loads(printed)
    assert asked == []
    assert len(shown["bids"]) == shown["bids_shown"] == 200
    assert shown["bids_complete"] is shown["asks_complete"] is False


def test_a_whole_book_needs_no_query(book):
    asked, printed = book(snapshot_of(3, 2, (True, True)), snapshot_of(0, 0), "--depth", 1000, "--json")
    shown = json.loads(printed)
    assert asked == []
    assert (shown["bids_shown"], shown["bids_complete"], shown["asks_shown"], shown["asks_complete"]) == (
        3,
        True,
        2,
        True,
    )


def test_a_complete_side_that_the_depth_cuts_is_not_complete_as_shown(book):
    shown = json.loads(book(snapshot_of(3, 2, (True, True)), snapshot_of(0, 0), "--depth", 2, "--json")[1])
    assert (shown["bids_shown"], shown["bids_complete"], shown["asks_shown"], shown["asks_complete"]) == (
        2,
        False,
        2,
        True,
    )


def test_what_is_deeper_than_the_segment_comes_from_the_actor(book):
    asked, printed = book(snapshot_of(200, 200), snapshot_of(1000, 700, (False, True)), "--depth", 1000, "--json")
    shown = json.loads(printed)
    assert asked == [1000]
    assert (len(shown["bids"]), len(shown["asks"])) == (1000, 700)
    assert (shown["bids_complete"], shown["asks_complete"]) == (False, True)


def test_the_table_says_what_is_not_there(book):
    printed = book(snapshot_of(200, 200), snapshot_of(900, 700, (False, True)), "--depth", 1000)[1]
    assert "900 bids of 1000 requested" in printed
    assert "700 asks, the whole side" in printed
    assert "the best 10 bids" in book(snapshot_of(200, 200), snapshot_of(0, 0))[1]


def test_numbers_are_plain_decimal_text(book):
    shown = json.loads(book(snapshot_of(1, 1), snapshot_of(1, 1), "--depth", 1, "--json")[1])
    assert shown["bids"] == [["0.00012000", "0.00000001"]]
    assert shown["asks"] == [["0.00012001", "0.00000001"]]


# ---------------------------------------------------------------------- as a user runs them


def run(*arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from venuemesh.__main__ import main; main()", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_stderr_names_a_recording_that_lost_everything(tmp_path):
    empty = tmp_path / "empty.jsonl.zst"
    empty.touch()
    done = run("replay", empty)
    assert (done.returncode, done.stdout) == (2, "")
    assert str(empty) in done.stderr
    done = run("replay", empty, "--allow-truncated", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout.splitlines()[-1]) == {}
    assert str(empty) in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["status", "up", "down"])
def test_a_state_folder_that_cannot_be_is_one_line(tmp_path, command):
    path = tmp_path / "mesh.toml"
    path.write_text('[mesh]\nname = "m"\n[exchanges.binance]\npairs = ["BTC-USDT"]\n')
    done = run(command, *([path] if command == "up" else ["--mesh", "m"]), XDG_STATE_HOME="/dev/null")
    assert done.returncode == 2, done.stderr
    assert "/dev/null/venuemesh" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_run_files_where_they_cannot_be_are_typed_errors(monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    for act in (make_state_folder, lambda: read_run_file("m"), RunFile("m", "127.0.0.1:1").write):
        with pytest.raises(Misconfigured, match="/dev/null/venuemesh"):
            act()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        "\0",
        '{"mesh": "m"}',
        '{"address": 1, "mesh": "m"}',
        '{"mesh": "m", "address": "a", "x": 1}',
    ],
)
def test_what_is_no_run_file_is_a_typed_error(monkeypatch, tmp_path, text):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (make_state_folder() / "m.json").write_text(text)
    with pytest.raises(Misconfigured, match=r"m\.json is not a run file|m\.json: is not a run file"):
        read_run_file("m")


def test_a_run_file_of_an_earlier_version_is_read(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (make_state_folder() / "m.json").write_text('{"mesh": "m", "address": "127.0.0.1:1"}')
    assert read_run_file("m") == RunFile("m", "127.0.0.1:1")


def test_commands_that_need_no_ray_do_not_import_it(tmp_path: Path) -> None:
    """Import of Ray takes most of a second. If a mesh has its own host, `up` and `down` leave Ray to the host."""
    commands = [["--help"], ["down", "--mesh", "nowhere"], ["up", "/nonexistent.toml"], ["export", "orders"]]
    code = (
        "import json, sys\nfrom venuemesh.__main__ import main\n"
        "for sys.argv in json.loads(sys.argv[1]):\n"
        "    try:\n        main()\n    except SystemExit:\n        pass\n"
        "print([name for name in ('ray', 'aiohttp', 'IPython', 'pandas') if name in sys.modules])\n"
    )
    asked = json.dumps([["venuemesh", *command] for command in commands])
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code, asked], env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
    assert "is not running" in done.stderr
    assert "cannot be read" in done.stderr


def test_every_command_has_json():
    """All but the console, which is for people, and `exchange`, which passes its options on."""
    whole = typer.main.get_command(app)
    commands = {
        name: list(getattr(one, "commands", {name: one}).values())  # of a group, its commands
        for name, one in whole.commands.items()
        if name not in ("console", "exchange")
    }
    without = [
        name for name, found in commands.items() for one in found if not any("--json" in p.opts for p in one.params)
    ]
    assert without == []
