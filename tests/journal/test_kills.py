"""A process that is killed anywhere in a migration or a trim leaves a journal that is whole, and the next one completes
the work."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations

from tests.fakes.records import ACCOUNT, put, put_event, put_fill
from venuemesh.journal import care
from venuemesh.journal.journal import Journal
from venuemesh.journal.schema import HEAD
from venuemesh.journal.writes import Batch, CloseRequest, PutTombstone
from venuemesh.model.order import OrderStatus

ROOT = Path(__file__).resolve().parents[2]
OPEN = "import sys\nfrom venuemesh.journal.journal import Journal\njournal = Journal.open(sys.argv[1])\n"
TRIM = OPEN + "journal.trim('acme', 'main', 10**18, 0)\n"


def killed(code, url, failpoint):
    """Run a script that its failpoint kills; return whether it reached the failpoint."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "VENUEMESH_FAILPOINT": failpoint}
    ended = subprocess.run([sys.executable, "-c", code, url], env=environment, check=False)
    assert ended.returncode in (0, -signal.SIGKILL)
    return ended.returncode != 0


def version(journal):
    return journal.database.run(
        lambda connection: connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar(), write=False
    )


def first_version(connection):
    with Operations.context(MigrationContext.configure(connection)) as op, op.batch_alter_table("fills") as table:
        table.drop_constraint("uq_fills", type_="unique")
        table.create_unique_constraint("uq_fills", ["account_id", "pair", "trade_id"])
        table.drop_index("ix_fills_without_fee")
        table.drop_column("more_fees")
        for name in ("lineage", "mesh", "seen_ns"):
            op.drop_column("accounts", name)
    connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")


@pytest.mark.parametrize("moment", ["begin", "commit", "committed"])
def test_a_kill_in_a_migration(url, moment):
    journal = Journal.open(url)
    epoch = journal.take(*ACCOUNT, "holder", 1)
    filled = put("o1", filled=put_fill().fill.amount)
    journal.commit(*ACCOUNT, epoch, [Batch("b", (filled, put_fill("t1", "o1"), put_event()))])
    before = journal.orders().rows
    journal.database.run(first_version, write=True)
    journal.close()
    assert killed(OPEN, url, f"journal.{moment}:1")
    raw = Journal.open(url) if moment == "committed" else None
    if raw is not None:
        assert version(raw) == HEAD
        raw.close()
    assert killed(OPEN, url, f"journal.{moment}:1") is (moment != "committed")  # there is nothing left to migrate then
    journal = Journal.open(url)
    assert version(journal) == HEAD
    assert journal.orders().rows == before
    assert care.check(journal) == []
    assert journal.take(*ACCOUNT, "holder", 1) == epoch + 1
    journal.close()


def test_a_kill_anywhere_in_a_trim(url):
    journal = Journal.open(url)
    epoch = journal.take(*ACCOUNT, "holder", 1)
    writes = []
    for n in range(1200):  # three transactions of a trim
        writes += [put(f"o{n}", OrderStatus.FILLED, filled=put_fill().fill.amount, exchange_order_id=str(n))]
        writes += [put_fill(f"t{n}", f"o{n}", exchange_order_id=str(n)), put_event(), PutTombstone(f"x{n}", 1)]
    open_one = put("open", filled=put_fill().fill.amount, exchange_order_id="open")
    writes += [open_one, put_fill("topen", "open", exchange_order_id="open"), CloseRequest("none", "accepted", 1)]
    journal.commit(*ACCOUNT, epoch, [Batch("all", tuple(writes))])
    journal.close()
    kills = 0
    for at in range(1, 100, 3):
        if not killed(TRIM, url, f"journal.commit:{at}"):
            break
        kills += 1
        journal = Journal.open(url)
        assert care.check(journal) == [], at
        assert [order.client_order_id for order in journal.load(*ACCOUNT).orders] == ["open"]
        journal.close()
    assert kills > 2
    journal = Journal.open(url)
    assert [order.client_order_id for order in journal.orders(limit=10).rows] == ["open"]
    assert journal.event_range(*ACCOUNT) == (1201, 1201)
    journal.close()
