"""The commands that trade, as a user runs them on a running service: place, list, follow, cancel, pause, export.

The tests depend on their order: each continues with the account as the previous test left it.
"""

import csv
import hmac
import json
import time
import urllib.request
from decimal import Decimal
from types import SimpleNamespace

import pytest

from venuemesh.cli.app import main
from venuemesh.model.ids import OrderIds

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
MESH = "--mesh", "service"


def running(shell):
    """Run commands on the service; a failing test shows their output."""

    def run(command, *arguments, **options):
        done = shell(command, *arguments, *MESH, **options)
        print(f"$ venuemesh {command} {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}")
        return done

    return run


@pytest.fixture(scope="module")
def run(service, shell):
    """Run a command on the service, all in one process."""
    return running(shell)


@pytest.fixture(scope="module")
def run_alone(service, cli):
    """Run a command on the service, in a separate process."""
    return running(cli)


@pytest.fixture(scope="module")
def shown(run):
    """The JSON of a command."""
    return lambda *arguments: json.loads(run(*arguments, "--json").stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def story():
    """The values that one test passes to the next."""
    return SimpleNamespace()


def test_a_key_is_added_and_listed_without_being_shown(keys, lone_shell):
    assert "service-main: hmac key PLAN" in keys.added
    answer = lone_shell("keys", "list", "--keystore", keys.keystore).stdout
    assert "service-main" in answer
    assert keys.planted.api_key not in keys.added + answer


def test_connect_shows_permissions_and_balances(service, lone_shell):
    answer = lone_shell("connect", "binance", "--config", service.config, "--account", "main").stdout
    print(answer)
    assert "may trade" in answer
    assert "100000" in answer


def test_a_buy_order_is_placed_and_printed_in_one_line(run_alone, shown, story):
    line = run_alone("buy", "binance", "BTC-USDT", "0.01", "--type", "market").stdout.strip()
    assert line.startswith("vm")
    assert "FILLED, filled 0.01 at " in line
    story.resting = shown("sell", "binance", "BTC-USDT", "0.02", "--price", "90000", "--yes")
    assert story.resting["status"] == "OPEN"
    assert story.resting["owner"] == "cli"


def test_orders_lists_what_is_open_and_with_all_everything(run, shown, story):
    table = run("orders", "binance").stdout
    assert story.resting["client_order_id"] in table
    assert "90000" in table
    assert "FILLED" not in table
    every = shown("orders", "binance", "--all")["orders"]
    assert [order["status"] for order in every] == ["FILLED", "OPEN"]


def test_trades_and_balances_agree_with_the_exchange(run, shown, admin):
    (trade, *more) = shown("trades", "binance")["trades"]
    ledger = admin.ledger("main")["accounts"][0]
    assert [str(fill["trade_id"]) for fill in ledger["fills"]] == [one["trade_id"] for one in (trade, *more)]
    assert trade["fee_asset"] == "BTC"
    assert " BTC" in run("trades", "binance").stdout
    held = shown("balances", "binance")
    for asset, row in ledger["balances"].items():
        assert Decimal(held[asset]["free"]) == Decimal(row["free"])
    table = run("balances", "binance").stdout
    assert "0.02" in next(line for line in table.splitlines() if "BTC " in line)


def test_account_says_whether_it_is_ready(run):
    answer = json.loads(run("account", "binance").stdout)
    assert answer["state"] == "SERVING"
    assert answer["ready"] is True
    assert answer["unresolved_requests"] == 0


def test_cancel_and_cancel_all_print_the_outcome_of_each(run, story):
    name = story.resting["client_order_id"]
    assert run("cancel", "binance", name).stdout.strip() == f"{name}: CANCELED"
    for price in ("91000", "92000"):
        run("sell", "binance", "BTC-USDT", "0.01", "--price", price, "--owner", "me")
    assert run("cancel-all", "binance", "--owner", "nobody").stdout.strip() == "no order was open"
    lines = run("cancel-all", "binance", "--owner", "me").stdout.splitlines()
    assert len(lines) == 2
    assert all(line.endswith(": CANCELED") for line in lines)


def test_events_begin_at_the_given_number(run):
    lines = run("events", "binance", "--after", 0, "--seconds", 1).stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["number"] for event in events] == list(range(1, len(events) + 1))
    assert {"created", "filled", "completed", "cancelled"} <= {event["type"] for event in events}


def test_stream_shows_what_the_exchange_sent(run):
    lines = run("stream", "binance", "--raw", "--seconds", 1).stdout.splitlines()
    assert any("executionReport" in line for line in lines)
    assert all(isinstance(json.loads(line), dict) for line in lines)


def test_pause_refuses_and_resume_takes_orders_again(run, run_alone, shown):
    assert run("pause", "binance", "--reason", "lunch").stdout.strip() == "orders/binance/main: paused"
    refused = run_alone("buy", "binance", "BTC-USDT", "0.01", "--price", "1000", check=False)
    assert refused.returncode == 2
    assert refused.stderr.strip() == "venuemesh: trading is paused (account): lunch"
    run("resume", "binance")
    done = shown("buy", "binance", "BTC-USDT", "0.01", "--price", "40000", "--tif", "ioc", "--wait", "done")
    assert done["status"] == "EXPIRED"


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (("buy", "binance", "BTC-USDT", "100", "--price", "50000", "--yes"), "needs 5000000.000 USDT"),
        (("buy", "binance", "BTC-USDT", "0.1", "--type", "market"), "nothing was sent. Give --yes"),
        (("buy", "binance", "BTC/USDT", "0.1", "--price", "50000"), "BTC-USDT"),
        (("orders", "binance", "--account", "nobody"), "nobody"),
        (("cancel", "binance", "web_1"), "no order 'web_1'"),
    ],
)
def test_what_is_refused_is_one_line_and_status_2(run, arguments, answer):
    done = run(*arguments, check=False)
    assert done.returncode == 2
    assert answer in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (
            ("buy", "binance", "BTC-USDT", "1"),
            "--price: a LIMIT order needs one; write --type market to buy at any price",
        ),
        (("sell", "binance", "BTC-USDT", "1", "-t", "limit"), "--price: a LIMIT order needs one"),
        (("buy", "binance", "BTC-USDT", "1", "--wait", "never"), "--wait: 'never' is neither 'open' nor 'done'"),
        (("buy", "binance"), "Missing argument 'pair'"),
        (("orders", "binance", "--all", "--limit", "0"), "--limit"),
        (("orders", "binance", "--mesh", "nowhere"), "mesh 'nowhere' is not running"),
        (("cancel", "binance"), "Missing argument 'ID...'"),
        (("export", "prices", "--out", "/tmp/none.csv"), "prices"),
        (("export", "orders", "--out", "/tmp/none.xls", "--format", "xls"), "xls"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(state, arguments, answer, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["venuemesh", *arguments])
    monkeypatch.setenv("XDG_STATE_HOME", state["XDG_STATE_HOME"])
    with pytest.raises(SystemExit) as ended:
        main()
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert answer in error
    assert len(error.strip().splitlines()) == 1


def test_export_writes_orders_and_trades_while_the_mesh_runs(service, lone_shell, shown, admin, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    orders, trades = tmp_path / "orders.csv", tmp_path / "trades.parquet"
    every = shown("orders", "binance", "--all")["orders"]
    answer = lone_shell("export", "orders", "--config", service.config, "--out", orders).stdout
    assert answer.strip() == f"{orders}: {len(every)} orders"
    rows = list(csv.DictReader(orders.open()))
    assert [row["client_order_id"] for row in rows] == [order["client_order_id"] for order in every]
    lone_shell("export", "trades", "--config", service.config, "--out", trades)
    assert parquet.read_table(trades).num_rows == len(admin.ledger("main")["accounts"][0]["fills"])
    before = trades.read_bytes()
    again = lone_shell("export", "trades", "--config", service.config, "--out", trades, check=False)
    assert again.returncode == 2
    assert "--force" in again.stderr
    assert trades.read_bytes() == before
    lone_shell("export", "trades", "--config", service.config, "--out", trades, "--force")


def place_elsewhere(exchange, key, client_order_id):
    """Place an order at the exchange with the account's key, past the mesh, as another mesh does."""
    query = f"symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=30000&timestamp={now_ms()}"
    query += f"&newClientOrderId={client_order_id}"
    signature = hmac.new(key.secret.encode(), query.encode(), "sha256").hexdigest()
    url = f"{exchange['binance']['rest']}/api/v3/order?{query}&signature={signature}"
    request = urllib.request.Request(url, method="POST", headers={"X-MBX-APIKEY": key.api_key})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200


def now_ms():
    return time.time_ns() // 1_000_000


def test_orders_of_our_form_that_the_journal_does_not_know_are_taken_over(run, shown, exchange, keys):
    ids = OrderIds(time.time_ns(), 1)
    lost, other = ids(), ids()
    place_elsewhere(exchange, keys.planted, lost)
    place_elsewhere(exchange, keys.planted, other)
    deadline = time.monotonic() + 60
    while sum(order["external"] for order in shown("orders", "binance")["orders"]) < 2:
        assert time.monotonic() < deadline
    refused = run("journal", "adopt", "binance/main", lost, check=False)
    assert refused.returncode == 2
    assert lost in refused.stderr
    assert "nothing was sent" in refused.stderr
    assert run("journal", "adopt", "binance/main", "nobody", "--yes", check=False).returncode == 2
    (taken,) = json.loads(run("journal", "adopt", "binance/main", lost, "--yes", "--json").stdout.splitlines()[-1])
    assert (taken["client_order_id"], taken["external"]) == (lost, False)
    assert f"{lost}: CANCELED" in run("cancel-all", "binance", "--yes").stdout
    (left,) = shown("orders", "binance")["orders"]
    assert left["external"]
    deadline = time.monotonic() + 60
    assert run("cancel-all", "binance", "--external", "--yes").returncode == 0
    while shown("orders", "binance")["orders"]:  # a report ends an order that was placed elsewhere
        assert time.monotonic() < deadline
    assert "there is no open order to take over" in run("journal", "adopt", "binance/main", "--yes").stdout
