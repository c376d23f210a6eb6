"""`venuemesh exchanges` shows what the connectors declare, and claims nothing that was not tried."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from venuemesh.cli import exchanges as command
from venuemesh.cli.app import app
from venuemesh.conformance import record as records
from venuemesh.conformance.runner import Outcome, Result
from venuemesh.connectors import bybit, registry
from venuemesh.connectors.binance import CONNECTOR
from venuemesh.model.errors import Misconfigured


def shown(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    app(["exchanges", *options], standalone_mode=False)
    return capsys.readouterr().out


def block(text: str, exchange: str) -> str:
    """The lines of one exchange."""
    _, _, rest = f"\n{text}".partition(f"\n{exchange}\n")
    return rest.split("\n\n")[0].split("\n  environments")[0]


def test_every_installed_connector_is_there_with_what_it_declares(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(capsys, "--json"))
    rows = {row["exchange"]: row for row in found["exchanges"]}
    assert list(rows) == registry.known()
    for name, row in rows.items():
        spec = registry.connector(name).spec
        assert row["error"] is None
        assert row["candles"] == (list(spec.candles.intervals) if spec.candles else [])
        assert [option["name"] for option in row["options"]] == [option.name for option in spec.options]
        assert row["environments"] == ["real", *spec.environments]
        assert row["market_data"]["books"]["proof"] == spec.book.proof.value
    assert rows["binance"]["trading"]["user_stream"]
    assert rows["binance"]["trading"]["orders"] == ["rest", "websocket"]
    assert rows["bybit"]["trading"]["orders"] == ["rest", "websocket"]
    assert rows["okx"]["trading"]["orders"] == ["rest", "websocket"]


def test_reports_that_come_by_polling_are_named_plainly(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bybit, "OFFER", replace(bybit.OFFER, stream=False))
    lines = block(shown(capsys), "bybit").splitlines()
    assert "  trading       not offered" not in lines
    assert "  user stream   by polling only" in lines
    assert any(line.startswith("  candles       1") for line in lines)


def test_what_an_exchange_offers_to_traders(capsys: pytest.CaptureFixture[str]) -> None:
    text = block(shown(capsys), "binance")
    assert "not offered" not in text
    assert "orders by REST or websocket: LIMIT, LIMIT_MAKER, MARKET" in text
    assert "snapshot_limit = 1000 (from 1 to 5000): " in text


def test_nothing_is_claimed_that_was_not_tried(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys)
    assert "No connector of venuemesh has run against its real exchange yet" in text
    found = json.loads(shown(capsys, "--json"))
    assert found["met_real_exchange"] is False


def test_only_what_has_passed_is_called_supported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    assert "  supported     nothing: the connector has no record of passed checks" in shown(capsys)
    ran = [("market data", Result(name, "", Outcome.PASSED, "", 0.0)) for name in records.names_of("market data")]
    records.write(records.made(CONNECTOR, "0.1.0", ran), tmp_path)
    assert "  supported     market data (2" in shown(capsys)
    records.write(records.made(CONNECTOR, "0.1.0", ran[1:]), tmp_path)
    text = shown(capsys)
    assert "  supported     nothing (2" in text
    assert "1 newer check did not run" in text
    rows = {row["exchange"]: row for row in json.loads(shown(capsys, "--json"))["exchanges"]}
    assert rows["binance"]["record"]["not_run"] == {"market data": [ran[0][1].name]}
    assert rows["kraken"]["record"] is None


def test_a_connector_that_cannot_be_loaded_hides_no_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = registry.connector

    def broken(name: str) -> object:
        if name == "acme":
            raise Misconfigured("connector acme", "acme:CONNECTOR cannot be loaded: no module")
        return load(name)

    known = ["acme", *registry.known()]
    monkeypatch.setattr(command.registry, "known", lambda: known)
    monkeypatch.setattr(command.registry, "connector", broken)
    text = shown(capsys)
    assert "cannot be used: " in block(text, "acme")
    assert "acme:CONNECTOR cannot be loaded" in text
    assert "candles" in block(text, "binance")


def test_a_connector_without_candles_options_and_environments(capsys: pytest.CaptureFixture[str]) -> None:
    spec = replace(CONNECTOR.spec, exchange="acme", candles=None, options=(), environments={})
    bare = replace(CONNECTOR, spec=spec)
    registry.lend(bare)
    try:
        text = shown(capsys)
    finally:
        registry.take_back(bare)
    lines = f"\n{text}".partition("\nacme\n")[2].splitlines()
    assert "  candles       not offered" in lines
    assert "  options       none" in lines
    assert "  environments  real" in lines
