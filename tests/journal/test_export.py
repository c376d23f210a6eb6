import csv
import io
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet
import pytest

from tests.fakes.records import ACCOUNT, fill, order, put, put_event, put_fill
from venuemesh.journal import export as module
from venuemesh.journal.export import export, format_of, iso
from venuemesh.journal.journal import Journal
from venuemesh.journal.records import Filter
from venuemesh.journal.writes import Batch, PutFill
from venuemesh.model.errors import FixedPointError, Misconfigured, UnknownInstrument
from venuemesh.model.order import OrderStatus

NOW = 1_700_000_000_123_456_789


@pytest.fixture
def filled(journal, monkeypatch):
    """A journal of two accounts, exported in pages of three rows."""
    monkeypatch.setattr(module, "PAGE", 3)
    for account in ("main", "hedge"):
        epoch = journal.take("acme", account, "holder", 1)
        names = [f"{account}{n}" for n in range(7)]
        writes = [
            write
            for n, name in enumerate(names)
            for write in (
                put(name, OrderStatus.FILLED, account=account, created_ns=NOW + n, fees={"BNB": Decimal("0.10")}),
                put_fill(name, name, pair="ETH-USDT" if n == 6 else "BTC-USDT", ts_event_ns=NOW + n),
                put_event(order(name, account=account), account=account),
            )
        ]
        journal.commit("acme", account, epoch, [Batch("b", tuple(writes))])
    return journal


def read_csv(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


@pytest.mark.parametrize("what", ["orders", "trades", "events"])
def test_every_row_is_there_once_in_both_formats(filled, url, tmp_path, what):
    as_csv, as_parquet = tmp_path / "out.csv", tmp_path / "out.parquet"
    assert export(url, what, "csv", as_csv) == 14
    assert export(url, what, "parquet", as_parquet) == 14
    rows, table = read_csv(as_csv), pyarrow.parquet.read_table(as_parquet)
    assert table.column_names == list(rows[0])
    same = ["exchange", "account", "client_order_id"]
    assert [[row[name] for name in same] for row in rows] == [[row[name] for name in same] for row in table.to_pylist()]
    assert [row["client_order_id"] for row in rows] == [f"{a}{n}" for a in ("main", "hedge") for n in range(7)]
    assert sorted(path.name for path in tmp_path.glob("*out*")) == ["out.csv", "out.parquet"]


def test_numbers_are_exact(filled, url, tmp_path):
    export(url, "trades", "csv", tmp_path / "out.csv", Filter(account="main"))
    row = read_csv(tmp_path / "out.csv")[1]
    assert (row["price"], row["amount"], row["fee"], row["is_maker"]) == ("30000.10", "0.5", "0.0005", "true")
    assert (row["time"], row["ts_event_ns"]) == ("2023-11-14T22:13:20.123456790Z", str(NOW + 1))
    export(url, "trades", "parquet", tmp_path / "out.parquet", Filter(account="main"))
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert table["price"].to_pylist()[1] == Decimal("30000.1")
    assert table["ts_event_ns"].to_pylist()[1] == NOW + 1
    assert table["time"].cast("int64").to_pylist()[1] == NOW + 1
    assert sum(table["amount"].to_pylist()) == Decimal("3.5")
    assert table["is_maker"].to_pylist()[1] is True


def test_filters_choose(filled, url, tmp_path):
    def count(what, **chosen):
        return export(url, what, "csv", tmp_path / "out.csv", Filter(**chosen), overwrite=True)

    assert count("trades", pair="ETH-USDT") == 2
    assert count("trades", pair="ETH-USDT", account="main") == 1
    assert count("orders", since_ns=NOW + 2, until_ns=NOW + 4) == 4
    assert count("orders", exchange="other") == 0
    assert read_csv(tmp_path / "out.csv") == []
    assert count("events", owner="quoter") == 14
    with pytest.raises(Misconfigured):
        count("trades", owner="quoter")


def test_what_does_not_fit_parquet_is_an_error_and_leaves_the_old_file(journal, url, tmp_path):
    epoch = journal.take(*ACCOUNT, "holder", 1)
    path = tmp_path / "out.parquet"
    path.write_text("old")
    for n, large in enumerate((Decimal("1e-19"), Decimal(10**20), Decimal("123456789012345678901.5"))):
        journal.commit(*ACCOUNT, epoch, [Batch(f"b{n}", (PutFill(fill(f"t{n}", price=large)),))])
        with pytest.raises(FixedPointError):
            export(url, "trades", "parquet", path, overwrite=True)
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.glob(".out*")] == []
    assert export(url, "trades", "csv", tmp_path / "out.csv") == 3
    assert [row["price"] for row in read_csv(tmp_path / "out.csv")] == [
        "0.0000000000000000001", "100000000000000000000", "123456789012345678901.5"
    ]  # fmt: skip


def test_an_empty_journal_gives_a_file_of_headings(journal, url, tmp_path):
    assert export(url, "orders", "csv", tmp_path / "o.csv") == 0
    assert export(url, "orders", "parquet", tmp_path / "o.parquet") == 0
    assert (tmp_path / "o.csv").read_text().startswith("exchange,account,time,client_order_id")
    assert pyarrow.parquet.read_table(tmp_path / "o.parquet").num_rows == 0


def test_an_error_names_what_cannot_be_exported(url, tmp_path):
    with pytest.raises(Misconfigured):
        export(url, "orders", "csv", tmp_path / "o.csv")  # and no journal was made for it
    with pytest.raises(Misconfigured):
        export(url, "candles", "csv", tmp_path / "o.csv")
    with pytest.raises(Misconfigured):
        export(url, "orders", "xlsx", tmp_path / "o.xlsx")
    assert list(tmp_path.iterdir()) == []


def test_an_error_names_a_path_that_cannot_be_written(journal, url, tmp_path):
    for form in ("csv", "parquet"):
        with pytest.raises(Misconfigured, match="nowhere"):
            export(url, "orders", form, tmp_path / "nowhere" / "o")


def test_an_error_names_the_extra_that_has_a_missing_pyarrow(tmp_path):
    url = f"sqlite:///{tmp_path}/journal.db"
    Journal.open(url).close()
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from venuemesh.journal.export import export\n"
        "from venuemesh.model.errors import Misconfigured\n"
        "try:\n    export(sys.argv[1], 'orders', 'parquet', sys.argv[2])\n"
        "except Misconfigured as error:\n    print(error)"
    )
    command = [sys.executable, "-c", code, url, str(tmp_path / "o.parquet")]
    assert "venuemesh[parquet]" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_an_existing_file_stays_unless_it_may_be_overwritten(filled, url, tmp_path, form):
    path = tmp_path / "out"
    path.write_text("precious")
    with pytest.raises(Misconfigured, match="exists already"):
        export(url, "orders", form, path)
    assert path.read_text() == "precious"
    assert export(url, "orders", form, path, overwrite=True) == 14
    assert path.read_bytes() != b"precious"
    assert [one.name for one in tmp_path.glob("*out*")] == ["out"]


def test_a_file_that_appears_during_the_export_stays(filled, url, tmp_path, monkeypatch):
    path, write = tmp_path / "out.csv", module.CsvSink.write
    monkeypatch.setattr(module.CsvSink, "write", lambda sink, rows: (path.write_text("precious"), write(sink, rows)))
    with pytest.raises(Misconfigured, match="exists already"):
        export(url, "orders", "csv", path)
    assert path.read_text() == "precious"

    def no_links(*_):
        raise PermissionError

    monkeypatch.setattr(module.os, "link", no_links)
    path.unlink()
    with pytest.raises(Misconfigured, match="exists already"):
        export(url, "orders", "csv", path)
    assert path.read_text() == "precious"


def test_an_export_is_private_and_follows_no_planted_link(filled, url, tmp_path):
    target = tmp_path / "target"
    target.write_text("of another user")
    (tmp_path / f".out.csv.{os.getpid()}.part").symlink_to(target)
    before = os.umask(0)
    try:
        export(url, "trades", "csv", tmp_path / "out.csv")
        export(url, "trades", "parquet", tmp_path / "out.parquet")
        (tmp_path / "out.csv").chmod(0o644)
        export(url, "trades", "csv", tmp_path / "out.csv", overwrite=True)
    finally:
        os.umask(before)
    assert target.read_text() == "of another user"
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("out.csv", "out.parquet")] == [0o600, 0o600]


def test_neither_a_device_nor_a_folder_is_replaced(filled, url, tmp_path):
    for path in (Path("/dev/null"), tmp_path):
        with pytest.raises(Misconfigured, match="is not a file"):
            export(url, "orders", "csv", path, overwrite=True)


@pytest.mark.parametrize(
    ("name", "form"), [("x.parquet", "parquet"), ("x.PQ", "parquet"), ("a.b/x.csv", "csv"), ("a.xls/x", "csv")]
)
def test_the_name_of_a_file_gives_its_format(name, form):
    assert format_of(name) == form
    with pytest.raises(Misconfigured, match=r"'\.xlsx' names no format; use one of \.csv"):
        format_of("x.xlsx")


def test_another_spelling_of_a_pair_is_an_error_and_an_unused_pair_an_empty_file(filled, url, tmp_path):
    with pytest.raises(UnknownInstrument, match="did you mean BTC-USDT"):
        export(url, "trades", "csv", tmp_path / "out.csv", Filter(pair="btc/usdt"))
    assert export(url, "trades", "csv", tmp_path / "out.csv", Filter(pair="XRP-USDT")) == 0


def test_iso_times():
    assert iso(0) == "1970-01-01T00:00:00.000000000Z"
    assert iso(None) is None


def test_both_fills_of_two_own_orders_that_meet_are_exported(filled, url, tmp_path):
    epoch = filled.take("acme", "main", "holder", 1)
    twin = put_fill("main0", "main1", exchange_order_id="78", ts_event_ns=NOW)
    filled.commit("acme", "main", epoch, [Batch("twin", (twin,))])
    assert export(url, "trades", "csv", tmp_path / "out.csv") == 15
    rows = [row for row in read_csv(tmp_path / "out.csv") if row["trade_id"] == "main0"]
    assert [row["client_order_id"] for row in rows] == ["main0", "main1"]
