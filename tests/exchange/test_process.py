"""The exchange as a process: its first line, its end, its refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.signed_ws import Key, query
from venuemesh.exchange.__main__ import main
from venuemesh.exchange.admin.client import AdminClient
from venuemesh.model.errors import Rejected

COMMAND = [sys.executable, "-m", "venuemesh.exchange"]
WAIT_S = 60.0


def start(*arguments: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    process = subprocess.Popen(
        [*COMMAND, "--json", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        _, printed_text = process.communicate(timeout=WAIT_S)
        raise AssertionError(printed_text)
    return process, json.loads(line)


@pytest.fixture
def running() -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    process, urls = start("--symbols", "BTCUSDT,T001USDT", "--rate", "400", "--account", "main:K:S:BTC=1")
    yield process, urls
    if process.poll() is None:
        process.kill()
    process.communicate(timeout=WAIT_S)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_and_ends_cleanly(running: tuple[subprocess.Popen[str], dict[str, Any]], number: int) -> None:
    process, urls = running
    assert set(urls) == {"binance", "protocols", "admin"}
    assert urls["protocols"] == {"binance": urls["binance"]}
    assert set(urls["binance"]) == {"rest", "ws", "ws_api"}
    assert all(url.split("://")[1].startswith("127.0.0.1:") for url in (*urls["binance"].values(), urls["admin"]))
    with urllib.request.urlopen(
        urls["binance"]["rest"] + "/api/v3/depth?symbol=T001USDT&limit=1", timeout=20
    ) as answer:
        assert json.load(answer)["bids"]
    admin = AdminClient(urls["admin"])
    assert admin.pause(wait_s=1.0)["paused"]
    first = admin.stats()["level_updates"]
    assert admin.stats()["level_updates"] == first
    with pytest.raises(Rejected):
        admin.book("NOPE")
    process.send_signal(number)
    out, printed_text = process.communicate(timeout=WAIT_S)
    assert (process.returncode, out, printed_text) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--rate", "fast"], "--rate"),
        (["--rate", "-1"], "--rate"),
        (["--rate", "nan"], "--rate"),
        (["--seed", "x"], "--seed"),
        (["--port", "70000"], "--port"),
        (["--symbols", "BTCUSDT,nope"], "--symbols"),
        (["--symbols", "BTCUSDT,BTCUSDT"], "--symbols"),
        (["--symbols", ","], "--symbols"),
        (["--account", "main"], "--account"),
        (["--account", "main:K:TOPSECRET:BTC=-1"], "--account"),
        (["--account", "main:K:TOPSECRET:BTC=x"], "--account"),
        (["--account", "a:K:S", "--account", "b:K:S"], "--account"),
        (["--history", "1"], "--history"),
        (["--levels", "0"], "--levels"),
        (["--parent", "4194999"], "--parent"),
        (["--colour", "red"], "--colour"),
        (["--protocols", "binance,nope"], "--protocols"),
        (["--protocols", "engine"], "--protocols"),
        (["--protocols", "binance,binance"], "--protocols"),
        (["--host", "203.0.113.1"], "--port"),
    ],
)
def test_bad_options_are_one_line_and_status_2(
    arguments: list[str], names: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed_text = capsys.readouterr()
    assert printed_text.out == ""
    assert len(printed_text.err.splitlines()) == 1
    assert names in printed_text.err
    assert "TOPSECRET" not in printed_text.err


def test_bad_options_of_the_process() -> None:
    command = [*COMMAND, "--rate", "fast"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "--rate: 'fast' is not a number\n"


def test_ends_when_its_parent_ends(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process, _ = start("--symbols", "T001USDT", "--parent", str(parent.pid))
    try:
        assert process.poll() is None
        parent.kill()
        parent.wait(timeout=WAIT_S)
        process.communicate(timeout=WAIT_S)
        assert process.returncode == 0
    finally:
        for each in (parent, process):
            if each.poll() is None:
                each.kill()
                each.wait(timeout=WAIT_S)
        assert parent.stdin is not None
        parent.stdin.close()


def test_a_stopped_exchange_continues_where_it_was(running: tuple[subprocess.Popen[str], dict[str, Any]]) -> None:
    process, urls = running
    admin = AdminClient(urls["admin"])
    before = admin.stats()["level_updates"]
    os.kill(process.pid, signal.SIGSTOP)
    os.kill(process.pid, signal.SIGCONT)
    deadline = time.monotonic() + WAIT_S
    while admin.stats()["level_updates"] <= before:
        assert time.monotonic() < deadline


def test_an_account_from_a_file_trades_and_its_secret_shows_nowhere(tmp_path: Path) -> None:
    secret = "PLANTED-5d1c"
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(
        f'[accounts.main]\nbalances = {{USDT = "10000"}}\nkeys = [{{key = "K1", secret = "{secret}"}}]\n'
    )
    accounts.chmod(0o600)
    process, urls = start("--paused", "--accounts", str(accounts))
    try:
        admin, key = AdminClient(urls["admin"]), Key("K1", secret)
        limits = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
        params = limits | {"price": "60000.00", "quantity": "0.01", "newClientOrderId": "from-a-file"}
        url = f"{urls['binance']['rest']}/api/v3/order?{query(params, key, int(time.time() * 1000))}"
        request = urllib.request.Request(url, method="POST", headers={"X-MBX-APIKEY": "K1"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            placed = json.load(answer)
        filled = admin.fill("BTCUSDT", placed["orderId"])
        assert (filled["status"], filled["client_order_id"]) == ("FILLED", "from-a-file")
        assert admin.receipt("main", "from-a-file")["accepted"] == 1
        assert [fill["size"] for fill in admin.fills("main")["fills"]] == ["0.01000000"]
        shown = json.dumps([admin.accounts(), admin.ledger(), admin.orders("main"), admin.stats(), admin.connections()])
        command = Path(f"/proc/{process.pid}/cmdline")
        shown += command.read_text() if command.exists() else ""
    finally:
        process.send_signal(signal.SIGTERM)
        printed_text = "".join(process.communicate(timeout=WAIT_S))
    assert secret not in shown + printed_text
    assert process.returncode == 0
