"""`venuemesh replay` of recorded feeds that push their books, and the options of a connector on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.captures import captures
from venuemesh.actors.recording.file import CaptureWriter, read
from venuemesh.cli.app import app
from venuemesh.cli.options import read_options
from venuemesh.model.errors import CaptureError, DecodeError, Misconfigured

CAPTURES = {"kraken": ("book_v2.jsonl.gz", "BTC/USD"), "bybit": ("orderbook_500.jsonl.gz", "XRPUSDT")}
UNSTATED = {"last_seq", "seq_went_back"}  # of Bybit: numbers that no book has
ROW = {"symbol": "BTC/USD", "name": "BTC-USD", "price_increment": "0.1", "size_increment": "0.00000001"}


def replayed(capsys: pytest.CaptureFixture[str], *args: str | Path) -> Any:
    app(["replay", *map(str, args), "--json"], standalone_mode=False)
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize("path", ["fast", "slow"])
@pytest.mark.parametrize("exchange", CAPTURES)
def test_a_recording_ends_exactly_as_stated(capsys, exchange, path):
    name, symbol = CAPTURES[exchange]
    folder = captures(exchange)
    found = replayed(capsys, folder / name, "-e", exchange, "--path", path)[symbol]
    stated = json.loads((folder / "expected.json").read_text())[f"{name} {symbol}"]
    wanted = {key: value for key, value in stated["book"].items() if key not in UNSTATED}
    assert {key: found["book"][key] for key in wanted} == wanted
    assert found["trades"] == stated["trades"]
    assert (found["state"], found["lines_in_file"]) == ("LIVE", stated["lines"])


@pytest.mark.parametrize("path", ["fast", "slow"])
def test_instruments_that_the_recording_lacks_are_given(capsys, tmp_path, path):
    name, symbol = CAPTURES["kraken"]
    listed = tmp_path / "pairs.json"
    listed.write_text(json.dumps([ROW]))
    found = replayed(
        capsys,
        captures("kraken") / name,
        "-e",
        "kraken",
        "--path",
        path,
        "--instruments",
        listed,
        "--option",
        "depth=10",
    )[symbol]
    assert (found["book"]["checksum_ok"], found["book"]["checksum_bad"]) == (254, 0)
    assert found["rules"]["price_step"] == "0.1"


def test_the_exchanges_own_list_is_given_as_a_recording_or_as_the_body_of_its_answer(capsys, tmp_path):
    records = list(read(captures("binance") / "instruments.jsonl.gz"))
    body = tmp_path / "exchangeInfo.json"
    body.write_bytes(records[-1].raw)
    recording = tmp_path / "listed.jsonl.zst"
    writer = CaptureWriter(recording)
    writer.add(1, "http", records[-1].raw, records[-1].url)
    writer.close()
    market = tmp_path / "market.jsonl.gz"
    market.write_bytes((captures("binance") / "market.jsonl.gz").read_bytes())
    rules = [
        replayed(capsys, market, "-e", "binance", "--instruments", given)["NKNUSDT"]["rules"]
        for given in (body, recording)
    ]
    assert rules[0] == rules[1]
    assert rules[0]["price_step"] is not None
    assert "rules" not in replayed(capsys, market, "-e", "binance")["NKNUSDT"]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("[]", Misconfigured),
        ("{", DecodeError),
        ('{"no":"list"}', DecodeError),
        (json.dumps([ROW | {"price_increment": "0"}]), Misconfigured),
        (json.dumps([ROW | {"size_increment": 1}]), Misconfigured),
        (json.dumps([ROW | {"symbol": None}]), Misconfigured),
        (json.dumps([ROW | {"size_increment": "much"}]), Misconfigured),
        (json.dumps([ROW | {"size_increment": "Infinity"}]), Misconfigured),
        (json.dumps([ROW | {"size_increment": "1e-19"}]), Misconfigured),
    ],
)
def test_a_file_that_gives_no_instruments_is_refused(capsys, tmp_path, content, error):
    given = tmp_path / "pairs.json"
    given.write_text(content)
    with pytest.raises(error):
        replayed(capsys, captures("kraken") / "book_v2.jsonl.gz", "-e", "kraken", "--instruments", given)


def test_a_file_that_is_not_there_or_damaged_is_refused(capsys, tmp_path):
    recording = captures("kraken") / "book_v2.jsonl.gz"
    with pytest.raises(Misconfigured, match="no such file"):
        replayed(capsys, recording, "-e", "kraken", "--instruments", tmp_path / "none.json")
    (tmp_path / "cut.jsonl.gz").write_bytes(recording.read_bytes()[:1000])
    with pytest.raises(CaptureError):
        replayed(capsys, recording, "-e", "kraken", "--instruments", tmp_path / "cut.jsonl.gz")


def test_options_have_the_types_that_the_connector_declares():
    assert read_options("bybit", ["depth=200", "dcp=true"]) == {"depth": 200, "dcp": True}
    assert read_options("okx", None) == {}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["depth"], "NAME=VALUE"),
        (["depth=7"], "one of 1, 50, 200, 1000"),
        (["depth=deep"], "not a whole number"),
        (["depht=50"], "no such option"),
        (["depth=50", "depth=200"], "twice"),
    ],
)
def test_options_that_a_connector_does_not_take_are_refused(given, words):
    with pytest.raises(Misconfigured, match=words):
        read_options("bybit", given)
