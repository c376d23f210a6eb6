"""Every benchmark runs in its quick form and returns what `python -m benchmarks` prints. No test judges a figure.

The benchmarks on Ray are marked `soak`, because each takes most of a minute on two cores; in `make test` one of them is
started and interrupted. `make bench` runs all of them in full, and fails if one fails.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.forked_workers import forking_python

ROOT = Path(__file__).resolve().parents[2]
MEMORY = Path("/dev/shm")
CORE = ("wire_to_book", "order_level", "segment_reads", "websocket_clients", "supervisor")
QUICK = ("order_level", "supervisor")  # the others take most of a minute together, so they are soak tests
EXCHANGES = ["binance", "kraken", "okx", "bybit", "coinbase", "htx"]
ON_RAY = ("feed_to_strategy", "recovery", "density", "hosts", "start", "cold_start", "exchanges", "slow_reader")


@pytest.fixture(scope="module")
def python() -> Iterator[str]:
    """The Python of the benchmarks: it forks the workers of its Ray."""
    with forking_python() as path:
        yield path


def command(name: str, out: Path, python: str = sys.executable) -> list[str]:
    return [python, "-m", "benchmarks", name, "--quick", "--out", str(out)]


def segments_of_benchmarks() -> set[str]:
    return {path.name for path in MEMORY.glob("venuemesh-bench-*")} if MEMORY.is_dir() else set()


def quick(name: str, tmp_path: Path, python: str = sys.executable) -> dict[str, Any]:
    """Run one benchmark as `make bench` does; return its part of the JSON file."""
    out = tmp_path / "deeper" / "latest.json"
    done = subprocess.run(command(name, out, python), cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads(out.read_text())
    assert written["quick"] is True
    assert written["failed"] == {}
    assert {"processor", "cores", "python", "load_1m"} <= written["machine"].keys()
    result: dict[str, Any] = written["benchmarks"][name]
    assert result["title"]
    assert result["rows"]
    assert all(isinstance(row, dict) and row for row in result["rows"])
    assert f"{name}: " in done.stdout
    return result


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.soak) for name in CORE])
def test_benchmark_of_the_core_runs(name: str, tmp_path: Path, python: str) -> None:
    quick(name, tmp_path, python)


@pytest.mark.soak
def test_books_by_ccxt_are_compared_with_the_native_connector(tmp_path: Path) -> None:
    pytest.importorskip("ccxt", reason="ccxt is not installed: pip install 'venuemesh[ccxt]'")
    native, by_ccxt = quick("ccxt_books", tmp_path)["rows"]
    assert (native["connector"], by_ccxt["connector"]) == ("binance", "ccxt:binance")
    assert all(row["frames_per_s"] > 0 and row["memory_mib"] > 0 for row in (native, by_ccxt))
    assert by_ccxt["frame_us"] > native["frame_us"] > 0


@pytest.mark.ray
@pytest.mark.soak
def test_feed_to_strategy_compares_with_ray_calls_on_one_node_and_two(tmp_path: Path) -> None:
    result = quick("feed_to_strategy", tmp_path)
    assert [(row["where"], row["frames_per_s"]) for row in result["rows"]] == [
        ("same node", 100),
        ("same node", 1000),
        ("two raylets, by mirror", 100),
        ("two raylets, by mirror", 1000),
    ]
    for row in result["rows"]:
        assert 0 < row["p50_us"] <= row["p99_us"]
        assert 0 < row["ray_long_poll_p50_us"] <= row["ray_long_poll_p99_us"]
    for row in result["rows"][:2]:
        assert 0 < row["bare_wake_p50_us"] <= row["bare_wake_p99_us"]
        assert 0 < row["thread_p50_us"] <= row["thread_p99_us"]
        assert 0 < row["publish_to_awake_p50_us"] < row["p50_us"]
        assert row["p50_times_bare"] > 0
    assert result["ray_call_round_trip"]["samples"] > 0


@pytest.mark.ray
@pytest.mark.soak
def test_recovery_compares_with_rays_own_restarts(tmp_path: Path) -> None:
    ours, theirs = quick("recovery", tmp_path)["rows"]
    for row in (ours, theirs):
        assert row["kills"] >= 1
        assert 0 < row["adopted_p50_ms"] <= row["live_p50_ms"]
    assert ours["adopted_times_faster"] > 0


@pytest.mark.ray
@pytest.mark.soak
def test_all_exchanges_are_followed_together_with_ccxt(tmp_path: Path) -> None:
    *exchanges, strategy, ccxt = quick("exchanges", tmp_path)["rows"]
    assert [row["what"].split(",")[0] for row in exchanges] == EXCHANGES
    assert all(row["hurt"] == "none" and row["updates_per_s"] > 0 for row in exchanges)
    for row in (*exchanges, strategy, ccxt):
        assert row["lag_samples"] > 0
        assert row["cpu_percent"] > 0
    assert (strategy["books"], ccxt["books"]) == (24, 16)


@pytest.mark.ray
@pytest.mark.soak
def test_start_compares_with_the_import_of_ray(tmp_path: Path) -> None:
    bare, *commands, forked, plain = quick("start", tmp_path)["rows"]
    assert [row["what"].split()[-1] for row in commands] == ["--help", "status", "orders", "buy"]
    assert all(row["p50_s"] > 0 for row in (bare, *commands, forked, plain))


@pytest.mark.ray
@pytest.mark.soak
def test_cold_start_stays_within_the_limits_of_each_exchange(tmp_path: Path) -> None:
    rows = quick("cold_start", tmp_path)["rows"]
    assert [row["exchange"] for row in rows] == EXCHANGES
    for row in rows:
        assert row["live_s"] > row["limits_alone_s"] == 0  # ten pairs need one connection and one list
        assert "connections: 1 granted, most 1 of" in row["limits_role"]
        assert row["exchange_connections"] == 1


@pytest.mark.ray
@pytest.mark.soak
def test_density_compares_books_alone_and_together(tmp_path: Path, python: str) -> None:
    *rows, floor = quick("density", tmp_path, python)["rows"]
    assert floor["pss_mib_per_actor"] > 0
    assert [(row["updates_per_s_and_book"], row["actors"] == row["books"]) for row in rows] == [
        (10, True),
        (10, False),
        (100, True),
        (100, False),
    ]
    for row in rows:
        assert row["cpu_ms_per_s_and_book"] > 0
        assert row["pss_mib_per_book"] > 0


@pytest.mark.ray
@pytest.mark.soak
def test_slow_reader_watches_cost_and_memory(tmp_path: Path) -> None:
    result = quick("slow_reader", tmp_path)
    alone, both = result["rows"]
    assert alone["book_cpu_us_per_frame"] > 0
    assert both["book_cpu_us_per_frame"] > 0
    assert result["rss_bytes"]
    assert all(seen["slow_saw"] > 0 for seen in result["seen"])


@pytest.mark.ray
@pytest.mark.soak
def test_orders_tell_every_stage_to_the_wire(tmp_path: Path) -> None:
    rows = quick("orders", tmp_path)["rows"]
    for way in ("rest", "websocket"):
        found = {row["stage"]: row for row in rows if row["orders"] == way}
        assert list(found)[:2] == ["buy_to_wire", "facade"]
        assert {"commit", "bare_flush", "busy_flush", "send"} <= set(found)
        assert all(0 < row["p50_ms"] <= row["p99_ms"] for row in found.values())
        assert found["buy_to_wire"]["flushes_p50"] > 0


@pytest.mark.ray
@pytest.mark.soak
def test_orders_rate_shows_the_use_of_each_process(tmp_path: Path) -> None:
    for row in quick("orders_rate", tmp_path)["rows"]:
        assert row["orders_per_s"] > 0
        assert row["not_placed"] == 0
        assert row["manager_cores"] > 0
        assert row["exchange_cores"] > 0


@pytest.mark.ray
@pytest.mark.soak
def test_orders_events_come_in_stages(tmp_path: Path) -> None:
    total, *stages = quick("orders_events", tmp_path)["rows"]
    assert total["samples"] > 0
    assert [row["stage"] for row in stages] == ["to_manager", "commit", "wake", "bare_flush", "busy_flush"]
    assert all(0 < row["p50_ms"] <= row["p99_ms"] for row in (total, *stages))


@pytest.mark.ray
@pytest.mark.soak
def test_load_compares_readers_and_floods_with_none(tmp_path: Path) -> None:
    rows = quick("load", tmp_path)["rows"]
    assert len(rows) == 8
    assert all(row["samples"] > 0 and row["p50_ms"] <= row["p99_ms"] <= row["max_ms"] * 1.1 for row in rows)
    flooded = [row for row in rows if "flood_per_s" in row]
    assert [row["not_done"] for row in flooded] == [0, 0]


@pytest.mark.ray
@pytest.mark.soak
def test_manager_recovery_waits_out_what_is_unresolved(tmp_path: Path) -> None:
    calm, in_doubt = quick("manager_recovery", tmp_path)["rows"]
    assert (calm["unresolved_requests"], in_doubt["unresolved_requests"]) == (0, 5)
    assert 0 < calm["serving_p50_ms"] < in_doubt["serving_p50_ms"]
    assert in_doubt["serving_p50_ms"] > in_doubt["bound_p50_ms"] - 1000  # that is reckoned from a little later


def test_a_benchmark_that_does_not_exist_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        command("no_such", tmp_path / "out.json"), cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "no_such" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out.json").exists()


@pytest.mark.ray
@pytest.mark.parametrize(
    ("how", "agents"),
    [(signal.SIGTERM, True), pytest.param(signal.SIGINT, False, marks=pytest.mark.soak)],
    ids=["while Ray starts", "while the mesh runs"],
)
def test_interrupted_it_leaves_nothing(how: signal.Signals, agents: bool, tmp_path: Path) -> None:
    before = segments_of_benchmarks()
    running = subprocess.Popen(
        command("slow_reader", tmp_path / "out.json"), cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 60
        while segments_of_benchmarks() <= before or not has_worker(started := descendants(running.pid), agents):
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(running.pid, how)
        assert running.wait(90) != 0
    finally:
        running.kill()
        running.wait()
    deadline = time.monotonic() + 20
    while left := [pid for pid in started if Path(f"/proc/{pid}").exists() and not is_zombie(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    assert segments_of_benchmarks() <= before


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in task.read_text().split()]
    return found


def descendants(pid: int) -> list[int]:
    mine = children(pid)
    return mine + [deeper for child in mine for deeper in descendants(child)]


def has_worker(pids: list[int], agents: bool) -> bool:
    return any(is_worker(pid, agents) for pid in pids)


def is_worker(pid: int, agents: bool) -> bool:
    """Return whether the process hosts an actor (then the mesh runs) or, with `agents`, has a name of Ray's."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
        return title.startswith(b"ray::") and (agents or not title.startswith((b"ray::IDLE", b"ray::DashboardAgent")))
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.soak
def test_journal_compares_a_long_history_with_none_and_commits_with_bare_flushes(tmp_path: Path) -> None:
    rows = quick("journal", tmp_path)["rows"]
    assert [row.get("orders") for row in rows[:2]] == [200, 20_000]
    assert all(row["p50_ms"] > 0 for row in rows)
    assert all(row["times_the_flush"] > 0 for row in rows if "alone" in row["what"])
    assert [row["commits_per_s"] > 0 for row in rows if "group" in row["what"]] == [True] * 4
