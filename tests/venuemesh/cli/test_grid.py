"""Tables of the command line: every id, pair and price is whole at any width."""

from __future__ import annotations

from decimal import Decimal
from io import StringIO

import pytest
from rich.console import Console

from tests.fakes.records import order
from venuemesh.cli.demo.screen import Screen
from venuemesh.cli.grid import Column, Grid
from venuemesh.cli.tables import nodes_table, orders_table, status_table
from venuemesh.model.order import OrderStatus

LONG = "its process 27949 was killed from outside or crashed [exit 137]"


def drawn(grid, width: int, height: int = 24) -> list[str]:
    out = StringIO()
    Console(file=out, width=width, height=height, highlight=False).print(grid)
    lines = out.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    assert width < 500 or all(line == line.rstrip() for line in lines)  # in pipes
    return [line.rstrip() for line in lines]


def child(address: str, **changes):
    role = {"state": "LIVE", "error": None, "pairs": {"BTC-USDT": {}}}
    row = {"address": address, "state": "SERVING", "status": role, "restarts": 0, "pid": 27949, "rss": 2**27}
    node = {"node": "c78b37249231", "incarnation": [1795858659456, 6], "last_error": None, "why": None}
    return row | node | changes


def tree(*children):
    return {"mesh": "m1", "nodes": [{}], "spares": 2, "epoch": 1, "stopped": [], "children": children}


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_status_shows_whole_addresses_and_the_whole_cause_at_every_width(width):
    dead = child("book/binance/1000SATS-USDT", status=None, state="BACKOFF", why=LONG)
    text = " ".join(" ".join(drawn(status_table(tree(dead, child("orders/binance/main"))), width)).split())
    assert "book/binance/1000SATS-USDT" in text
    assert "BACKOFF" in text
    assert all(word in text for word in LONG.split())
    assert "…" not in text
    assert ("1795858659456.6" in text) == (width in (40, 200))  # wide terminals show more; 40 columns hold no table


def test_a_restart_keeps_its_cause_and_a_serving_role_shows_its_own_state():
    lost = child("book/binance/BTC-USDT", status={"state": "CONNECTING"}, why="the connection was lost: 1006")
    back = child("catalog/binance", restarts=1, last_error="its process 7 was killed from outside or crashed")
    lines = drawn(status_table(tree(lost, back)), 200)
    assert "CONNECTING" in lines[2]
    assert lines[2].endswith("the connection was lost: 1006")
    assert lines[3].endswith("restarted: its process 7 was killed from outside or crashed")


def test_nodes_are_named_by_host_with_egress_and_labels_and_a_silent_one_is_marked():
    nodes = [
        {"node": "c78b37249231", "host": "alpha", "state": "UP", "silent_s": None, "egress": ["default"]},
        {"node": "aabbccddeeff", "host": "beta", "state": "UNREACHABLE", "silent_s": 3.2, "egress": ["default", "two"]},
        {"node": "ffeeddccbbaa", "host": "beta", "state": "UP", "silent_s": None, "egress": []},
    ]
    nodes = [row | {"labels": {"ray.io/node-id": "c7", "zone": "a"}} for row in nodes]
    lines = drawn(nodes_table({"nodes": nodes}), 120)
    assert lines[2].split() == ["alpha", "UP", "c78b3724", "default", "zone=a"]
    assert lines[3].split() == ["beta", "UNREACHABLE", "for", "3", "s", "aabbccdd", "default,", "two", "zone=a"]
    actors = [child("catalog/x"), child("catalog/y", node="aabbccddeeff"), child("catalog/z", node="lost", host="eta")]
    shown = drawn(status_table(tree(*actors) | {"nodes": nodes, "isolated_s": 4.0}), 250)
    assert "ISOLATED for 4 s" in shown[0]
    for line, host in zip(shown[2:], ("alpha", "beta/aabbccdd", "eta"), strict=True):
        assert host in line.split()


@pytest.mark.parametrize("width", [30, 80, 200])
def test_orders_show_whole_ids_pairs_and_prices_at_every_width(width):
    placed = order(
        "vm0mx07ehg3lhw9wjn000001",
        pair="1000SATS-USDT",
        amount=Decimal("123456.789"),
        price=Decimal("0.000123456"),
        status=OrderStatus.REJECTED,
        reason="[-2010] no",
    )
    text = " ".join(drawn(orders_table([placed]), width))
    for whole in ("vm0mx07ehg3lhw9wjn000001", "1000SATS-USDT", "123456.789", "0.000123456", "REJECTED", "[-2010]"):
        assert whole in text


def test_the_demonstration_fits_24_lines_and_cuts_no_price():
    columns = (Column("book"), Column("best bid", right=True), Column("age", right=True, rank=1))
    books, actors = Grid(columns, title="venuemesh demo"), Grid((Column("actor"), Column("state")))
    for number in range(16):
        books.add(f"P{number}-USDT", "64249.51", "3 ms")
        actors.add(f"book/{number}", "LIVE")
    for height in (24, 50):
        lines = drawn(Screen(books, actors, ["a note"]), 80, height)
        assert len(lines) < height
        assert lines[-1] == "a note"
        assert any(line.startswith("P0-USDT") and "64249.51" in line for line in lines)
        assert any(line.startswith("and ") for line in lines) == (height == 24)
    assert any(line.startswith("book/15") for line in lines)


def test_a_pipe_gets_every_column_and_no_padding():
    rows = [child("book/binance/BTC-USDT", why="x" * 300), child("catalog/binance")]
    lines = drawn(status_table(tree(*rows)), 4096)
    assert lines[2].endswith("1795858659456.6  " + "x" * 300)
    assert lines[3].endswith("1795858659456.6")
