"""The journal: start, memory and lookups with a long history, the cost of a commit, and the gain of group commits.

A journal of a million orders (most of them done, some open) is compared with a journal of only the open orders: a
manager's start and a lookup must cost about the same in both. The long history is written by SQL. Each start is a
separate process. The quick check of the file reads all of it. A commit is an intent, as a manager writes it: an order
and its request. Alternating with the commits, the same number of bytes is written and flushed to a file on the same
disk: the cost of the disk alone. The same commits by SQLAlchemy's own execution show what the compiled texts save. Then
many tasks commit at the same time through the group commit, each waiting for its own commit before the next.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from venuemesh.journal.committer import Committer
from venuemesh.journal.journal import Journal
from venuemesh.journal.prepared import CoreTransaction, Transaction
from venuemesh.journal.writes import Batch, PutOrder, PutRequest
from venuemesh.model.order import Order, OrderStatus, OrderType, Side, TimeInForce

from .harness import Json, median, ratio

T = TypeVar("T")
ACCOUNT = ("bench", "main")
OPEN = 200
EVENTS_KEPT = 100_000
WRITERS = (1, 4, 16, 64)

_START = """
import json, resource, sys, time
from pathlib import Path
from venuemesh.journal.journal import Journal
def rss():
    return int(next(l for l in Path("/proc/self/status").open() if l.startswith("VmRSS")).split()[1]) / 1024
before, started = rss(), time.perf_counter()
opened = Journal.open(sys.argv[1])
opened.take("bench", "main", "start", 1)
loaded = opened.load("bench", "main")
print(json.dumps({"ms": (time.perf_counter() - started) * 1e3, "mib": rss() - before, "open": len(loaded.orders)}))
"""


def run(quick: bool) -> Json:
    """Return the table; `quick` makes a journal of 20,000 orders and measures for moments."""
    many = 20_000 if quick else 1_000_000
    seconds = 0.3 if quick else 3.0
    with _directory() as directory:
        started = time.monotonic()
        journals = {count: _journal(directory / f"{count}.db", count) for count in (OPEN, many)}
        made_s = time.monotonic() - started
        size_mib = (directory / f"{many}.db").stat().st_size / 2**20
        rows = _starts(journals, 2 if quick else 7)
        rows += _checks({count: directory / f"{count}.db" for count in journals}, 2 if quick else 5)
        rows += _lookups(journals, 200 if quick else 5000)
        rows += _alone(journals, directory, 50 if quick else 1500)
        rows += _groups(journals[many], seconds)
    return {
        "title": f"{many:,} orders in {size_mib:.0f} MiB of SQLite (made in {made_s:.0f} s), against {OPEN}",
        "rows": rows,
        "expected": "start, memory and lookups grow with the open orders, not the history; a commit costs one flush",
        "synchronous": "FULL",
    }


# ---------------------------------------------------------------------- measurements


def _starts(journals: dict[int, str], rounds: int) -> list[Json]:
    """Open, take and load in new processes, alternating between the journals."""
    found: dict[int, list[Json]] = {count: [] for count in journals}
    for _ in range(rounds):
        for count, url in journals.items():
            done = subprocess.run([sys.executable, "-c", _START, url], capture_output=True, check=True, text=True)
            found[count].append(json.loads(done.stdout))
    base = median([one["ms"] for one in found[OPEN]])
    return [
        {
            "what": "start: open, take, load",
            "orders": count,
            "p50_ms": median([one["ms"] for one in starts]),
            "times_the_small": ratio(base, median([one["ms"] for one in starts]), 2),
            "memory_mib": median([one["mib"] for one in starts]),
            "samples": len(starts),
        }
        for count, starts in found.items()
    ]


def _checks(files: dict[int, Path], rounds: int) -> list[Json]:
    """Check each file's structure as a manager does once for each start of Ray, next to a plain read of the file."""
    rows: list[Json] = []
    for count, path in files.items():
        checked, read = [], []
        for _ in range(rounds):
            journal = Journal.open(f"sqlite:///{path}")
            before = time.perf_counter_ns()
            damage = journal.database.damage()
            checked.append(time.perf_counter_ns() - before)
            journal.close()
            if damage is not None:
                raise RuntimeError(f"{path}: {damage}")
            before = time.perf_counter_ns()
            with path.open("rb") as file:
                while file.read(1 << 20):
                    pass
            read.append(time.perf_counter_ns() - before)
        row, base = _fine(checked), _fine(read)["p50_ms"]
        mib = path.stat().st_size / 2**20
        rows.append(
            {"what": "quick check", "orders": count, "mib": mib, **row, "times_a_read": ratio(base, row["p50_ms"], 1)}
        )
    return rows


def _lookups(journals: dict[int, str], samples: int) -> list[Json]:
    """Look up single orders, alternating between the small and the large journal."""
    opened = {count: Journal.open(url) for count, url in journals.items()}
    chosen = random.Random(1)
    kinds: dict[str, Callable[[Journal, int], object]] = {
        "lookup by client order id": lambda journal, n: journal.order(*ACCOUNT, f"order-{n:012d}"),
        "lookup by exchange order id": lambda journal, n: journal.order_by_exchange_id(*ACCOUNT, "BTC-USDT", str(n)),
    }
    rows: list[Json] = []
    for what, look in kinds.items():
        took: dict[int, list[int]] = {count: [] for count in journals}
        for _ in range(samples):
            for count, journal in opened.items():
                number = chosen.randrange(count)
                before = time.perf_counter_ns()
                found = look(journal, number)
                took[count].append(time.perf_counter_ns() - before)
                if found is None:
                    raise RuntimeError(f"order {number} of {count} is not there")
        base = _fine(took[OPEN])["p50_ms"]
        for count, times in took.items():
            row = _fine(times)
            rows.append({"what": what, "orders": count, **row, "times_the_small": ratio(base, row["p50_ms"], 2)})
    for journal in opened.values():
        journal.close()
    return rows


def _alone(journals: dict[int, str], directory: Path, samples: int) -> list[Json]:
    """Commit one intent at a time, alternating with a plain flush of the same number of bytes.

    Also through the committer, as an order manager commits, and with every statement executed by SQLAlchemy, as before
    November 2026.
    """
    opened = {f"{count:,} orders": Journal.open(url) for count, url in journals.items()}
    opened["by SQLAlchemy"] = _by_core(Journal.open(f"sqlite:///{directory / 'core.db'}"))
    epochs = {name: journal.take(*ACCOUNT, "alone", 1) for name, journal in opened.items()}
    first = next(iter(opened))
    size = log_bytes(opened[first], epochs[first], directory / f"{OPEN}.db-wal")
    committed = Journal.open(f"sqlite:///{directory / 'committer.db'}")
    commits: dict[str, list[int]] = {name: [] for name in (*opened, "through the committer")}
    flushes: list[int] = []
    block = os.urandom(size)
    bare = os.open(directory / "bare", os.O_CREAT | os.O_RDWR)
    os.pwrite(bare, bytes(4 * 2**20), 0)
    os.fsync(bare)

    async def alternate() -> None:
        committer = Committer(committed, *ACCOUNT, committed.take(*ACCOUNT, "alone", 1))
        for n in range(samples):
            before = time.perf_counter_ns()
            os.pwrite(bare, block, n * size % (4 * 2**20 - size))
            os.fdatasync(bare)
            flushes.append(time.perf_counter_ns() - before)
            for name, journal in opened.items():
                batch = Batch(f"alone-{n}", intent(f"alone-{n}"))
                before = time.perf_counter_ns()
                journal.commit(*ACCOUNT, epochs[name], [batch])
                commits[name].append(time.perf_counter_ns() - before)
            before = time.perf_counter_ns()
            await committer.commit(intent(f"alone-{n}"))
            commits["through the committer"].append(time.perf_counter_ns() - before)
        await committer.close()

    asyncio.run(alternate())
    os.close(bare)
    for journal in opened.values():
        journal.close()
    rows: list[Json] = [{"what": f"bare write and flush of {size:,} bytes", **_fine(flushes)}]
    rows += [{"what": f"commit of one intent, alone: {name}", **_fine(times)} for name, times in commits.items()]
    for row in rows:
        row["times_the_flush"] = round(row["p50_ms"] / rows[0]["p50_ms"], 2)
    return rows


def _by_core(journal: Journal) -> Journal:
    """Return a journal whose commits execute every statement by SQLAlchemy."""
    database = journal.database

    def commit(work: Callable[[Transaction], T]) -> T:
        return database.run(lambda connection: work(CoreTransaction(connection)), write=True)

    database.commit = commit  # type: ignore[method-assign]
    return journal


def _groups(url: str, seconds: float) -> list[Json]:
    rows = [asyncio.run(_group(url, writers, seconds)) for writers in WRITERS]
    for row in rows:
        row["times_one_writer"] = round(row["commits_per_s"] / rows[0]["commits_per_s"], 1)
    return rows


async def _group(url: str, writers: int, seconds: float) -> Json:
    """Let several tasks commit intents for some seconds, each task one after another."""
    journal = Journal.open(url)
    committer = Committer(journal, *ACCOUNT, journal.take(*ACCOUNT, "group", 1))
    took: list[int] = []
    started = time.perf_counter_ns()
    until = started + int(seconds * 1e9)

    async def write(name: str) -> None:
        number = 0
        while (before := time.perf_counter_ns()) < until:
            await committer.commit(intent(f"{name}-{number}"))
            took.append(time.perf_counter_ns() - before)
            number += 1

    await asyncio.gather(*(write(f"group-{writers}-{n}") for n in range(writers)))
    elapsed_s = (time.perf_counter_ns() - started) / 1e9
    await committer.close()
    rate = round(len(took) / elapsed_s)
    return {"what": f"group commit, {writers} writers", "commits_per_s": rate, **_fine(took)}


# ---------------------------------------------------------------------- journals and intents


def intent(name: str) -> tuple[PutOrder, PutRequest]:
    """Return the writes that a manager commits before it sends an order."""
    order = Order(
        exchange=ACCOUNT[0],
        account=ACCOUNT[1],
        client_order_id=name,
        pair="BTC-USDT",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        amount=Decimal("0.015"),
        price=Decimal("30000.10"),
        time_in_force=TimeInForce.GTC,
        status=OrderStatus.FAILED,  # so that the set of open orders stays the same
        created_ns=time.time_ns(),
        updated_ns=time.time_ns(),
        owner="quoter",
    )
    text = (
        f"POST /api/v3/order?symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.015&price=30000.10"
        f"&newClientOrderId={name}&recvWindow=5000&timestamp=1700000000000"
    )
    return PutOrder(order, "NEW", order.created_ns), PutRequest(name, "place", (name,), text, "0" * 64, 1, 1)


def _fine(took_ns: list[int]) -> Json:
    """Return p50 and p99 in ms, with enough digits for short durations."""
    ordered = sorted(took_ns)
    return {
        "p50_ms": round(ordered[len(ordered) // 2] / 1e6, 4),
        "p99_ms": round(ordered[len(ordered) * 99 // 100] / 1e6, 4),
        "samples": len(ordered),
    }


def log_bytes(journal: Journal, epoch: int, log: Path) -> int:
    """Return the number of bytes that one commit of an intent adds to SQLite's write-ahead log: a median."""
    grown = []
    for n in range(9):
        before = log.stat().st_size
        journal.commit(*ACCOUNT, epoch, [Batch(f"size-{n}", intent(f"size-{n}"))])
        grown.append(log.stat().st_size - before)
    return int(median(grown) or 4096)


@contextmanager
def _directory() -> Iterator[Path]:
    """Make a directory on a disk (not in memory, as /tmp may be); remove it at the end."""
    base = Path("bench-results")
    base.mkdir(exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="journal-", dir=base)).resolve()
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _journal(path: Path, count: int) -> str:
    """Make a journal of `count` orders, the last `OPEN` of them open, each with transitions, request and fill."""
    url = f"sqlite:///{path}"
    journal = Journal.open(url)
    journal.take(*ACCOUNT, "maker", 1)
    journal.close()
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {count - 1})"
    name = "printf('order-%012d', i)"
    is_open, status = f"i >= {count - OPEN}", f"CASE WHEN i >= {count - OPEN} THEN 'OPEN' ELSE 'FILLED' END"
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("PRAGMA synchronous = OFF")
    raw.execute("BEGIN")
    for statement in (
        f"INSERT INTO orders (account_id, client_order_id, pair, side, order_type, amount, price, time_in_force,"
        f" status, created_ns, updated_ns, owner, exchange_order_id, filled, quote_filled, fees, external,"
        f" cancel_requested, open) {numbers} SELECT 1, {name}, 'BTC-USDT', 'buy', 'LIMIT', '0.015', '30000.10', 'GTC',"
        f" {status}, i, i, 'quoter', CAST(i AS TEXT), '0.015', '450.0015', '{{}}', 0, 0, {is_open} FROM n",
        f"INSERT INTO transitions (account_id, client_order_id, before, after, step, ts_ns)"
        f" {numbers} SELECT 1, {name}, 'PENDING_NEW', {status}, 'ACK', i FROM n",
        f"INSERT INTO fills (account_id, pair, trade_id, client_order_id, exchange_order_id, side, price, amount,"
        f" quote_amount, fee, fee_asset, is_maker, ts_event_ns, ts_recv_ns) {numbers} SELECT 1, 'BTC-USDT',"
        f" CAST(i AS TEXT), {name}, CAST(i AS TEXT), 'buy', '30000.10', '0.015', '450.0015', '0.00001', 'BTC', 1, i, i"
        f" FROM n WHERE NOT {is_open}",
        f"INSERT INTO requests (account_id, request_id, kind, client_order_ids, text, digest, not_after_ns, created_ns,"
        f" epoch, outcome, closed_ns, open) {numbers} SELECT 1, {name}, 'place', '[]', 'POST /api/v3/order', '', i, i,"
        f" 1, 'accepted', i, 0 FROM n",
        f"INSERT INTO events (account_id, number, type, ts_recv_ns, pair, client_order_id, owner, body) {numbers}"
        f" SELECT 1, i + 1, 'filled', i, 'BTC-USDT', {name}, 'quoter', hex(zeroblob(400)) FROM n"
        f" WHERE i >= {count - EVENTS_KEPT}",
        f"UPDATE accounts SET next_event = {count + 1}",
    ):
        raw.execute(statement)
    raw.execute("COMMIT")
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    return url
