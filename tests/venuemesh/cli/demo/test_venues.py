"""The demonstration on several exchanges: its options, its configuration, and (soak) one whole run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from venuemesh.cli.demo.venues import VenuesOptions, VenuesSummary
from venuemesh.config.mesh import load_config
from venuemesh.model.errors import Misconfigured

ROOT = Path(__file__).resolve().parents[4]


def test_all_are_the_exchanges_that_the_local_exchange_speaks_without_sisters() -> None:
    found = VenuesOptions.read("all", 20.0, 4, 7, False)
    assert {"binance", "bybit", "coinbase", "htx", "kraken", "okx"} <= set(found.venues)
    assert "binanceus" not in found.venues
    assert found.pairs[0] == "BTC-USDT"
    assert len(found.pairs) == 4


@pytest.mark.parametrize(
    ("venues", "pairs", "what"), [("binance,nosuch", 4, "nosuch"), ("okx", 4, "one exchange"), ("all", 1, "at least 2")]
)
def test_what_cannot_run_is_refused_before_anything_starts(venues: str, pairs: int, what: str) -> None:
    with pytest.raises(Misconfigured, match=what):
        VenuesOptions.read(venues, 20.0, pairs, 7, False)


def test_the_example_of_six_exchanges_is_a_configuration() -> None:
    config = load_config(ROOT / "examples" / "mesh-six.toml")
    assert len(config.exchanges) == 6
    assert sum(len(exchange.pairs) for exchange in config.exchanges.values()) == 24


@pytest.mark.soak
def test_every_account_equals_its_ledger_after_the_kills() -> None:
    command = [sys.executable, "-m", "venuemesh", "demo", "--venues", "binance,kraken,htx", "--seconds", "12", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    summary = VenuesSummary(**json.loads(done.stdout))
    assert summary.problems == []
    assert len(summary.kills) == 3
    assert summary.accounts.keys() == {"binance", "kraken", "htx"}
    assert all(row["fills"] for row in summary.accounts.values())
