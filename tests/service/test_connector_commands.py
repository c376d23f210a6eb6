"""`new-connector`, `conformance`, `connect` and `api` as a user runs them, against the local exchange."""

import json

import pytest

from venuemesh.cli.app import main


@pytest.fixture
def here(exchange):
    """Return the local exchange's URLs as options."""
    return "--rest", exchange["binance"]["rest"], "--ws", exchange["binance"]["ws"]


def test_connect_shows_what_was_checked(cli, here):
    answer = cli("connect", "binance", *here).stdout
    for step in ("ping", "clock", "instruments", "websocket", "subscription", "frames"):
        assert step in answer
    assert "no key was given" in answer


def test_conformance_says_a_line_per_check(cli, here):
    lines = cli("conformance", "binance", *here, "--seconds", 2).stdout.splitlines()
    assert sum(line.startswith("ok ") for line in lines) >= 27
    assert any(line.startswith("ok ") and "live book" in line for line in lines)
    assert " 0 failed" in lines[-1]


def test_conformance_without_an_exchange_needs_none(lone_shell):
    assert " 0 failed" in lone_shell("conformance", "binance").stdout.splitlines()[-1]


def test_conformance_fails_with_status_1_and_says_why(lone_shell, tmp_path):
    path = tmp_path / "messages.py"
    path.write_text(
        "from dataclasses import replace\n"
        "from venuemesh.connectors.binance.samples import SAMPLES\n"
        "SAMPLES = replace(SAMPLES, bids=(('1', '1'),))\n"
    )
    done = lone_shell("conformance", "binance", "--samples", path, "--no-trading", check=False)
    assert done.returncode == 1
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 2
    assert all("expected [('1', '1')]" in line for line in failed)


def test_a_dry_run_sends_nothing_and_says_what_it_would_cost(lone_shell):
    answer = lone_shell(
        "conformance", "binance", "--dry-run", "--rest", "http://127.0.0.1:1", "--ws", "ws://127.0.0.1:1"
    ).stdout
    assert "95 of 6000 weight" in answer
    assert "balances needed: none" in answer
    assert "nothing is sent" in lone_shell("conformance", "binance", "--dry-run").stdout


def test_api_prints_status_rate_headers_and_body(lone_shell, exchange):
    at = "--rest", exchange["binance"]["rest"]
    answer = lone_shell("api", "binance", "GET", "/api/v3/depth", "symbol=BTCUSDT", "limit=1", *at).stdout.splitlines()
    assert answer[0].startswith("HTTP 200 in ")
    assert any(line.startswith("x-mbx-used-weight-1m: ") for line in answer)
    assert '  "lastUpdateId": ' in "\n".join(answer)
    plain = json.loads(lone_shell("api", "binance", "GET", "/api/v3/time", *at, "--json").stdout)
    assert plain["status"] == 200
    assert "x-mbx-used-weight-1m" in plain["rate"]
    assert plain["body"]["serverTime"] > 0


def test_api_shows_a_refusal_and_ends_with_status_2(lone_shell, exchange):
    at = "--rest", exchange["binance"]["rest"]
    done = lone_shell("api", "binance", "GET", "/api/v3/depth", "symbol=NOPE", *at, "--json", check=False)
    assert done.returncode == 2
    assert json.loads(done.stdout)["body"]["code"] == -1121
    assert done.stderr.strip() == "venuemesh: rejected (-1121): Invalid symbol."


def test_new_connector_says_where_it_is(lone_shell, tmp_path):
    answer = lone_shell("new-connector", "acme", "--into", tmp_path).stdout
    assert str(tmp_path / "venuemesh-acme") in answer
    assert (tmp_path / "venuemesh-acme" / "venuemesh_acme" / "market.py").exists()
    again = lone_shell("new-connector", "acme", "--into", tmp_path, check=False)
    assert again.returncode == 2
    assert "exists already" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (("new-connector", "Acme"), "connector name 'Acme': must be lower-case"),
        (("new-connector", "binance"), "installed already"),
        (("new-connector", "acme", "--into", "/nonexistent"), "no such folder"),
        (("conformance", "nowhere"), "unknown exchange 'nowhere'"),
        (("conformance", "binance", "--samples", "/nonexistent.py"), "/nonexistent.py: cannot be run"),
        (("conformance", "binance", "--rest", "http://127.0.0.1:1"), "cannot be reached"),
        (("connect", "nowhere"), "unknown exchange 'nowhere'"),
        (("connect", "binance", "--rest", "http://127.0.0.1:1"), "cannot be reached"),
        (("connect", "binance", "--rest", "127.0.0.1:1"), "127.0.0.1"),
        (("api", "nowhere", "GET", "/"), "unknown exchange 'nowhere'"),
        (("api", "binance", "FETCH", "/"), "method 'FETCH'"),
        (("api", "binance", "GET", "time"), "path 'time'"),
        (("api", "binance", "GET", "/", "symbol"), "parameter 'symbol': is not key=value"),
        (("api", "binance", "GET", "/", "--rest", "http://127.0.0.1:1"), "cannot be reached"),
        (("console", "--mesh", "nowhere"), "mesh 'nowhere' is not running"),
    ],
)
def test_errors_are_one_line_and_status_2(state, arguments, answer, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["venuemesh", *arguments])
    monkeypatch.setenv("XDG_STATE_HOME", state["XDG_STATE_HOME"])
    with pytest.raises(SystemExit) as ended:
        main()
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert answer in error
    assert len(error.strip().splitlines()) == 1
