"""The migrations make exactly the tables; several processes may open at once; errors name what cannot be opened."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from tests.fakes.records import ACCOUNT, put, put_fill
from venuemesh.journal import migrate, migrations, schema
from venuemesh.journal.journal import Journal
from venuemesh.journal.writes import Batch
from venuemesh.model.errors import JournalUnavailable, Misconfigured

OPEN = """
import sys
from venuemesh.journal.journal import Journal
sys.stdin.readline()  # all are imported and ready
print(Journal.open(sys.argv[1]).take("acme", "main", "holder", 1))
"""


def run(journal, work, write=False):
    return journal.database.run(work, write=write)


def test_migrations_make_the_tables_that_the_code_means(journal):
    def differences(connection):
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), schema.metadata)

    assert run(journal, differences) == []


def test_threads_of_one_process_make_the_tables_of_their_journals_at_once(tmp_path):
    def make(number):
        made = Journal.open(f"sqlite:///{tmp_path / str(number)}.sqlite3")
        try:
            return run(made, migrate.version)
        finally:
            made.close()

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(make, range(16))) == {schema.HEAD}


def test_migrations_make_the_partial_indices(journal):
    listing = (
        "SELECT sql FROM sqlite_master"
        if journal.is_sqlite
        else "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema()"
    )
    found = [row[0] for row in run(journal, lambda connection: connection.exec_driver_sql(listing).all()) if row[0]]
    partial = {"ix_orders_open", "ix_orders_done", "ix_requests_open", "ix_requests_done", "ix_fills_without_fee"}
    assert {name for name in partial for one in found if name in one and "WHERE" in one} == partial


def test_the_versions_known_are_the_files():
    scripts = ScriptDirectory(migrations.__path__[0])
    files = [one.revision for one in scripts.walk_revisions()][::-1]
    assert files == list(schema.KNOWN)
    assert files[-1] == schema.HEAD


def test_several_processes_may_open_a_new_journal_at_once(url):
    command = [sys.executable, "-c", OPEN, url]
    pipe = subprocess.PIPE
    opening = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(3)]
    for one in opening:
        one.stdin.write("go\n")
        one.stdin.flush()
    ended = [(*one.communicate(timeout=60), one.returncode) for one in opening]
    assert [code for _, _, code in ended] == [0, 0, 0], [error for _, error, _ in ended]
    assert sorted(int(out) for out, _, _ in ended) == [1, 2, 3]


def test_a_newer_journal_is_refused_and_left_alone(url):
    journal = Journal.open(url)
    epoch = journal.take(*ACCOUNT, "holder", 1)
    journal.commit(*ACCOUNT, epoch, [Batch("b", (put(),))])
    newer = "UPDATE alembic_version SET version_num = '0999'"
    run(journal, lambda connection: connection.exec_driver_sql(newer), write=True)
    with pytest.raises(Misconfigured, match="0999"):
        Journal.open(url)
    assert journal.load(*ACCOUNT).orders
    journal.close()


def test_a_file_is_made_for_its_user_alone(tmp_path):
    Journal.open(f"sqlite:///{tmp_path}/state/mesh/journal.db").close()
    assert (tmp_path / "state/mesh/journal.db").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state/mesh").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("ending", ["", "-wal"])
def test_a_restored_journal_that_others_can_read_is_refused(tmp_path, ending):
    path = tmp_path / f"journal.db{ending}"
    Journal.open(f"sqlite:///{tmp_path}/journal.db").close()
    path.touch()
    path.chmod(0o644)
    for create in (True, False):
        with pytest.raises(Misconfigured, match=rf"{path}: has mode 0644, .* run: chmod 600 {path}"):
            Journal.open(f"sqlite:///{tmp_path}/journal.db", create=create)
    path.chmod(0o600)
    Journal.open(f"sqlite:///{tmp_path}/journal.db").close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_journal_of_another_user_is_refused(tmp_path):
    Journal.open(f"sqlite:///{tmp_path}/journal.db").close()
    os.chown(tmp_path / "journal.db", 65534, -1)
    with pytest.raises(Misconfigured, match=r"belongs to user nobody; run: chown "):
        Journal.open(f"sqlite:///{tmp_path}/journal.db")


def test_a_journal_that_others_can_replace_is_refused(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    with pytest.raises(Misconfigured, match=r"other users can replace the journal .* run: chmod go-w "):
        Journal.open(f"sqlite:///{tmp_path}/shared/journal.db")


@pytest.mark.parametrize(
    "url",
    ["", "journal.db", "mysql://h/d", "sqlite://", "sqlite:///:memory:", "postgresql+asyncpg://h/d", "sqlite:///"],
)
def test_a_url_that_names_no_journal_is_refused(url):
    with pytest.raises(Misconfigured):
        Journal.open(url)


def test_a_password_is_in_no_error():
    for url in ("mysql://u:sesame@h/d", "postgresql://u:sesame@127.0.0.1:1/d", "postgres:/u:sesame@h"):
        with pytest.raises((Misconfigured, JournalUnavailable)) as caught:
            Journal.open(url, wait_s=0.1)
        assert "sesame" not in str(caught.value) + repr(caught.value)


def test_an_error_names_the_extra_that_has_a_missing_driver():
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from venuemesh.journal.journal import Journal\n"
        "from venuemesh.model.errors import Misconfigured\n"
        "try:\n    Journal.open('postgresql://h/d')\n"
        "except Misconfigured as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "venuemesh[postgresql]" in done.stdout


def test_opening_what_is_up_to_date_imports_no_migration_tool(url):
    Journal.open(url).close()
    code = (
        "import sys\nfrom venuemesh.journal.journal import Journal\n"
        "Journal.open(sys.argv[1])\nprint('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def _rows(connection):
    return {
        table.name: [tuple(row) for row in connection.execute(table.select()).all()]
        for table in schema.metadata.sorted_tables
    }


def test_a_journal_of_the_first_version_keeps_its_content_and_then_takes_a_fill_per_order(url):
    journal = Journal.open(url)
    epoch = journal.take(*ACCOUNT, "holder", 1)
    journal.commit(*ACCOUNT, epoch, [Batch("b", (put(), put_fill("t1"), put_fill("t2", fee=None, fee_asset=None)))])

    def back(connection):
        with Operations.context(MigrationContext.configure(connection)) as op, op.batch_alter_table("fills") as table:
            table.drop_constraint("uq_fills", type_="unique")
            table.create_unique_constraint("uq_fills", ["account_id", "pair", "trade_id"])
            table.drop_index("ix_fills_without_fee")
            table.drop_column("more_fees")
            for name in ("lineage", "mesh", "seen_ns"):
                op.drop_column("accounts", name)
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")

    run(journal, lambda connection: connection.exec_driver_sql("UPDATE accounts SET lineage = '', seen_ns = 0"), True)
    before = run(journal, _rows)
    run(journal, back, write=True)
    journal.close()
    journal = Journal.open(url)
    assert run(journal, _rows) == before
    test_migrations_make_the_tables_that_the_code_means(journal)
    journal.commit(*ACCOUNT, epoch, [Batch("c", (put_fill("t1"), put_fill("t1", "o2", exchange_order_id="78")))])
    assert [one.client_order_id for one in journal.fills().rows] == ["o1", "o1", "o2"]
    journal.close()
