"""Processes that write a journal, for tests that fence, stop and kill them. Run by path; prints a JSON line an act.

once URL            open, take, commit two batches one after the other
crash URL           fork one `once` for every failpoint that it passes, on a separate account, killed there
fight URL NAME N    take, commit until fenced, take again, N times
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from tests.fakes.records import ACCOUNT, intent, order, put, put_event, put_fill
from venuemesh.journal.journal import Journal
from venuemesh.journal.writes import Batch, CloseRequest, PutBalances, PutCursor, PutMark, PutPause
from venuemesh.model import failpoint
from venuemesh.model.errors import Fenced, JournalUnavailable
from venuemesh.model.order import OrderStatus

PAUSE_S = 0.02


def say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def batches(account: str) -> list[Batch]:
    """Return two batches with every kind of write; each leaves a mark, an order, a fill and two events of its name."""
    name, of = "b", {"account": account}
    return [
        Batch(
            f"{name}-{n}",
            (
                put(f"{name}-{n}", OrderStatus.PENDING_NEW, "NEW", **of),
                intent(f"{name}-{n}", f"{name}-{n}"),
                put_event(order(f"{name}-{n}", **of), reason=f"{name}-{n}", **of),
                put_fill(f"{name}-{n}", f"{name}-{n}"),
                put(f"{name}-{n}", **of),
                CloseRequest(f"{name}-{n}", "accepted", 1),
                put_event(None, reason=f"{name}-{n}", **of),
                PutBalances({}, n),
                PutCursor(f"{name}-{n}", n),
                PutMark(f"{name}-{n}", "there"),
                PutPause(f"{name}-{n}", "there", 1),
                PutPause("nothing", None, 1),
            ),
        )
        for n in range(2)
    ]


def once(url: str, account: str = "main") -> None:
    journal = Journal.open(url)
    epoch = journal.take("acme", account, "first", 1)
    say(epoch=epoch)
    for batch in batches(account):
        try:
            (numbers,) = journal.commit("acme", account, epoch, [batch])
        except Fenced as error:
            say(fenced=batch.id, seen=error.seen[0])
            return
        except JournalUnavailable as error:
            say(unavailable=batch.id, reason=error.reason)
            return
        say(batch=batch.id, numbers=numbers)


def fork(url: str, account: str, plan: str) -> int:
    """Run `once` in a forked process with this failpoint; return its exit status as from `os.waitpid`."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            failpoint.arm(plan)
            once(url, account)
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]


def crash(url: str) -> None:
    Journal.open(url).close()
    with tempfile.TemporaryDirectory() as directory:
        trace = Path(directory) / "trace"
        fork(url, "trace", f"trace:{trace}")
        reached = trace.read_text().split()
    say(reached=reached)
    seen: Counter[str] = Counter()
    of_first = reached.count("journal.write") // 2  # the second batch writes the same, with something there before it
    for number, name in enumerate(reached):
        seen[name] += 1
        if name == "journal.write" and seen[name] <= of_first:
            continue
        status = fork(url, f"case{number}", f"{name}:{seen[name]}")
        say(case=f"{name}:{seen[name]}", account=f"case{number}", signal=status & 0x7F)


def fight(url: str, name: str, rounds: int) -> None:
    journal, random = Journal.open(url, wait_s=60.0), Random(name)
    sys.stdin.readline()
    made = 0
    for _ in range(rounds):
        epoch = journal.take(*ACCOUNT, name, 1)
        for _ in range(random.randrange(1, 8)):
            ids = [f"{name}-{made + n}" for n in range(random.randrange(1, 4))]
            made += len(ids)
            time.sleep(random.random() * PAUSE_S)  # who waits for SQLite's lock looks rarely: let the others in
            group = [Batch(one, tuple(put_event(None, reason=one) for _ in range(random.randrange(3)))) for one in ids]
            try:
                numbers = journal.commit(*ACCOUNT, epoch, group)
            except Fenced:
                say(fenced=ids, epoch=epoch)
                break
            for batch, found in zip(group, numbers, strict=True):
                say(batch=batch.id, epoch=epoch, numbers=found, asked=len(batch.writes))


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "fight":
        fight(arguments[0], arguments[1], int(arguments[2]))
    else:
        {"once": once, "crash": crash}[what](arguments[0])
