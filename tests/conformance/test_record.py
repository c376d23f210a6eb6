"""Records of passed checks: only of passed runs, and not older than the checks and options in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from venuemesh.cli.app import app
from venuemesh.conformance import record as records
from venuemesh.conformance.runner import Outcome, Result
from venuemesh.connectors import binance, bybit, coinbase, htx, kraken, okx
from venuemesh.model.errors import Misconfigured

CONNECTORS = (
    binance.CONNECTOR,
    binance.BINANCE_US,
    bybit.CONNECTOR,
    coinbase.CONNECTOR,
    htx.CONNECTOR,
    kraken.CONNECTOR,
    okx.CONNECTOR,
)
SHIPPED = {one.name: one for one in CONNECTORS}
MAKE = "run `venuemesh conformance EXCHANGE --record conformance/passed`"


@pytest.mark.parametrize("exchange", SHIPPED)
def test_a_shipped_record_judges_the_checks_and_options_that_there_are(exchange: str) -> None:
    record = records.found(SHIPPED[exchange])
    assert record is not None, MAKE
    assert "market data" in record.passed
    for suite, names in record.passed.items():
        assert {*names, *record.skipped.get(suite, ())} == set(records.names_of(suite)), MAKE
    assert record.options == [option.name for option in SHIPPED[exchange].spec.options], MAKE
    assert sum(record.lines.values()) > 0


def test_every_shipped_record_is_of_a_shipped_connector() -> None:
    assert {path.stem for path in records.FOLDER.glob("*.json")} == set(SHIPPED)


def result(name: str, outcome: Outcome) -> tuple[str, Result]:
    return "market data", Result(name, "", outcome, "why", 0.0)


def test_a_record_has_the_passed_checks_and_those_that_do_not_apply(tmp_path: Path) -> None:
    ran = [result("test_a", Outcome.PASSED), result("test_b", Outcome.SKIPPED)]
    record = records.made(kraken.CONNECTOR, "1.2.3", ran)
    assert (record.passed, record.skipped) == ({"market data": ["a"]}, {"market data": ["b"]})
    assert record.missing() == {"market data": records.names_of("market data")}
    path = records.write(record, tmp_path)
    assert json.loads(path.read_text())["version"] == "1.2.3"
    assert records.found(kraken.CONNECTOR, tmp_path) == record
    assert records.found(okx.CONNECTOR, tmp_path) is None


def test_a_connector_of_the_same_name_from_elsewhere_has_passed_nothing(tmp_path: Path) -> None:
    class Elsewhere(type(kraken.CONNECTOR)):  # type: ignore[misc]
        pass

    records.write(records.made(kraken.CONNECTOR, "1.2.3", []), tmp_path)
    assert records.found(Elsewhere(kraken.CONNECTOR.spec), tmp_path) is None


def test_nothing_is_recorded_of_a_run_that_failed() -> None:
    with pytest.raises(Misconfigured, match="only a run without failures"):
        records.made(kraken.CONNECTOR, "1.2.3", [result("test_a", Outcome.PASSED), result("test_b", Outcome.FAILED)])


def test_the_command_records_a_run_on_the_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = app(["conformance", "kraken", "--no-trading", "--record", str(tmp_path)], standalone_mode=False)
    assert status == 0
    assert "recorded in" in capsys.readouterr().out
    record = records.found(kraken.CONNECTOR, tmp_path)
    assert record is not None
    assert record.missing() == {"market data": []}


@pytest.mark.parametrize("more", [["--live"], ["--samples", "samples.py"]])
def test_a_record_is_of_the_connectors_own_samples(tmp_path: Path, more: list[str]) -> None:
    with pytest.raises(Misconfigured, match="own samples"):
        app(["conformance", "kraken", "--record", str(tmp_path), *more], standalone_mode=False)


def test_lines_of_code_are_neither_blank_nor_comments_nor_docstrings() -> None:
    source = '''"""Module.

More.
"""

import os  # why

# comment
def f():
    """Doc."""
    return (
        os,
    )
'''
    assert records.code_lines(source) == 5
    assert records.code_lines('x = """a\n\nb"""\n') == 3
