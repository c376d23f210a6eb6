"""Writes a journal's orders, trades (own fills) or events to a CSV or Parquet file, a page at a time.

Columns are the journal's own, with `exchange`, `account` and a readable `time` in front: UTC, ISO 8601 with ns in CSV,
a timestamp in Parquet. Times in ns are integers as well. Decimals are plain text in CSV, exactly as the exchange wrote
them; in Parquet they are decimal128(38, 18), so that tools can sum: 20 digits before the point and 18 after it are
enough for spot exchanges, and a number that does not fit is an error, never rounded. Fees of an order and
the further fees of a fill (`more_fees`) are JSON text.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from time import gmtime, strftime
from typing import Any, Protocol

from sqlalchemy import Table

from ..model.errors import FixedPointError, Misconfigured, UnknownInstrument
from ..model.spelling import BASE_QUOTE, is_misspelled, similar_pairs
from . import queries
from .journal import Journal
from .records import Filter
from .whole_file import whole_file

PAGE = 5_000
DECIMALS = frozenset({"amount", "price", "quote_amount", "stop_price", "filled", "quote_filled", "fee"})
DIGITS, SCALE = 38, 18
LISTINGS = {"orders": queries.ORDERS, "trades": queries.FILLS, "events": queries.EVENTS}
_HIDDEN = ("seq", "account_id", "open")
_EVERYTHING = Filter()


class Sink(Protocol):
    """A file format: writes rows in the order of the columns."""

    def write(self, rows: list[list[Any]]) -> None: ...
    def close(self) -> None: ...


FORMATS = ("csv", "parquet")
SUFFIXES = {"": "csv", ".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}


def format_of(path: str | os.PathLike[str]) -> str:
    """Return the format of a file by its name. Raises Misconfigured: the ending is not that of a format."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        endings = ", ".join(ending for ending in SUFFIXES if ending)
        raise Misconfigured(str(path), f"{suffix!r} names no format; use one of {endings}, or give the format")
    return SUFFIXES[suffix]


def export(
    journal_url: str,
    what: str,
    form: str,
    path: str | os.PathLike[str],
    filters: Filter = _EVERYTHING,
    *,
    overwrite: bool = False,
) -> int:
    """Write the rows of `what` ("orders", "trades", "events") that match the filters; return their number.

    `form` is "csv" or "parquet" (the extra `venuemesh[parquet]`). Rows are in the order they were recorded, account by
    account. Memory does not grow with their number. The file is private (mode 0600) and
    appears complete or not at all; it replaces an existing
    file only with `overwrite`. Orders that change during the export have their state at the reading of their page.

    Raises:
        Misconfigured: an unknown `what` or `form`, a missing extra, a filter that these rows do not have, a path that
            cannot be written, an existing file, or a file that is not a journal.
        UnknownInstrument: the pair of the filter is another spelling of a pair in the journal.
        JournalUnavailable: the journal cannot be read, or the disk is full.
        FixedPointError: a number does not fit Parquet's decimals; export it as CSV.
    """
    if what not in LISTINGS:
        raise Misconfigured(f"export of {what!r}", f"choose one of {', '.join(LISTINGS)}")
    make = {"csv": CsvSink, "parquet": _parquet}.get(form)
    if make is None:
        raise Misconfigured(f"export as {form!r}", f"choose {' or '.join(FORMATS)}")
    journal, count = Journal.open(journal_url, create=False), 0
    try:
        _check_pair(journal, filters.pair)
        with whole_file(Path(path), overwrite) as part:
            table, _, time = LISTINGS[what]
            names = columns(table)
            sink = make(part, names)
            try:
                for rows in pages(journal, what, filters):
                    sink.write([_values(row, names, time.name) for row in rows])
                    count += len(rows)
            finally:
                sink.close()
    finally:
        journal.close()
    return count


def _check_pair(journal: Journal, pair: str | None) -> None:
    """Refuse a pair that can have no rows, because the journal has it in another spelling."""
    if pair is None or pair in (known := journal.pairs()):
        return
    similar = similar_pairs(pair, known)
    if is_misspelled(pair, similar):
        raise UnknownInstrument("the journal", pair, BASE_QUOTE, similar)


def columns(table: Table) -> list[str]:
    """Return the names of the columns of a file."""
    return ["exchange", "account", "time", *(one.name for one in table.columns if one.name not in _HIDDEN)]


def pages(journal: Journal, what: str, filters: Filter) -> Iterator[list[Any]]:
    """Yield pages of rows, one account after the other."""
    for exchange, account in journal.accounts():
        if filters.exchange not in (None, exchange) or filters.account not in (None, account):
            continue
        of_account = replace(filters, exchange=exchange, account=account)
        more: int | None = 0
        while more is not None:
            rows, more = journal.rows(LISTINGS[what], of_account, more, PAGE)
            if rows:
                yield rows


def iso(ts_ns: int | None) -> str | None:
    """Return a time in ns since the epoch as ISO 8601 in UTC, with nine decimals."""
    if ts_ns is None:
        return None
    seconds, rest = divmod(ts_ns, 10**9)
    return f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(seconds))}.{rest:09d}Z"


def _values(row: Any, names: list[str], time: str) -> list[Any]:
    return [row[time if name == "time" else name] for name in names]


class CsvSink:
    """RFC 4180 with a header line; absent values are empty, booleans are true and false."""

    def __init__(self, path: Path, names: list[str]) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._time = names.index("time")
        self._writer = csv.writer(self._file)
        self._writer.writerow(names)

    def write(self, rows: list[list[Any]]) -> None:
        for row in rows:
            row[self._time] = iso(row[self._time])
        self._writer.writerows([_word(value) for value in row] for row in rows)

    def close(self) -> None:
        self._file.close()


def _word(value: Any) -> Any:
    return ("true" if value else "false") if isinstance(value, bool) else value


def _parquet(path: Path, names: list[str]) -> Sink:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise Misconfigured("export as 'parquet'", "pyarrow is missing: pip install 'venuemesh[parquet]'") from error

    def type_of(name: str) -> Any:
        if name == "time":
            return pyarrow.timestamp("ns", tz="UTC")
        if name in DECIMALS:
            return pyarrow.decimal128(DIGITS, SCALE)
        if name.endswith("_ns") or name == "number":
            return pyarrow.int64()
        return pyarrow.bool_() if name in ("is_maker", "external", "cancel_requested") else pyarrow.string()

    schema = pyarrow.schema([(name, type_of(name)) for name in names])
    writer = pyarrow.parquet.ParquetWriter(path, schema, compression="zstd")

    def array(name: str, values: tuple[Any, ...]) -> Any:
        if name in DECIMALS:
            return pyarrow.array([_decimal(value) for value in values], type_of(name))
        return pyarrow.array(values, type_of(name))

    return ParquetSink(
        lambda rows: writer.write_table(
            pyarrow.Table.from_arrays(
                [array(name, values) for name, values in zip(names, zip(*rows, strict=True), strict=True)],
                schema=schema,
            )
        ),
        writer.close,
    )


def _decimal(text: str | None) -> Decimal | None:
    """Raises FixedPointError: the number does not fit decimal128(38, 18)."""
    if text is None:
        return None
    value = Decimal(text)
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or exponent < -SCALE or len(digits) + exponent > DIGITS - SCALE:
        raise FixedPointError(text, SCALE, f"does not fit decimal128({DIGITS}, {SCALE}); export it as csv")
    return value


class ParquetSink:
    """One row group per page."""

    def __init__(self, write: Callable[[list[list[Any]]], None], close: Callable[[], None]) -> None:
        self._write = write
        self._close = close

    def write(self, rows: list[list[Any]]) -> None:
        self._write(rows)

    def close(self) -> None:
        self._close()
