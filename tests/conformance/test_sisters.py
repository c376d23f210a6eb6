"""Exchanges that speak another exchange's protocol: each is judged as far as its spec differs."""

from __future__ import annotations

import importlib.metadata
import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from venuemesh.cli import exchanges
from venuemesh.cli.app import app
from venuemesh.conformance.market.declared import Described
from venuemesh.conformance.runner import Outcome, run_checks
from venuemesh.connectors import registry
from venuemesh.connectors.connector import SpecifiedConnector
from venuemesh.connectors.order_codec import trading_connector

ROOT = Path(__file__).parents[2]
SHIPPED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][registry.GROUP]
CONNECTORS = {
    name: importlib.metadata.EntryPoint(name, value, registry.GROUP).load() for name, value in SHIPPED.items()
}
SISTERS = {name: found for name, found in CONNECTORS.items() if found.spec.sister_of is not None}
# Sisters that differ in their hosts, and so in the environments and in the options that choose between hosts
BY_HOSTS = sorted(SISTERS.keys() - {"binanceus"})
HOSTS = ("exchange", "sister_of", "rest", "ws", "ws_api", "environments", "options")


@pytest.mark.parametrize("name", CONNECTORS)
def test_each_entry_point_has_the_connector_of_its_name(name: str) -> None:
    assert CONNECTORS[name].name == name
    assert CONNECTORS[name].spec.sister_of in {None, *CONNECTORS} - {name}


@pytest.mark.parametrize("name", SISTERS)
def test_a_sister_passes_the_checks_of_its_spec(name: str) -> None:
    sister = SISTERS[name]
    suite = type("Test", (Described,), {"connector": sister, "samples": sister.samples()})
    results = list(run_checks(suite))
    assert len(results) > 5
    assert [result for result in results if result.outcome is not Outcome.PASSED] == []


@pytest.mark.parametrize("name", BY_HOSTS)
def test_a_sister_differs_from_its_main_exchange_in_hosts_alone(name: str) -> None:
    sister: SpecifiedConnector = SISTERS[name]
    assert sister.spec.sister_of is not None
    main = CONNECTORS[sister.spec.sister_of]
    assert replace(sister.spec, **{field: getattr(main.spec, field) for field in HOSTS}) == main.spec
    assert {*sister.spec.options} <= {*main.spec.options}
    assert sister.spec.rest != main.spec.rest
    assert trading_connector(sister).trading().offer == trading_connector(main).trading().offer
    assert trading_connector(sister).trading().account().host == sister.spec.rest


def test_sisters_that_differ_in_hosts_are_one_line_of_their_main_exchange(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchanges.registry, "known", lambda: sorted(CONNECTORS))
    monkeypatch.setattr(exchanges.registry, "connector", CONNECTORS.__getitem__)
    app(["exchanges"], standalone_mode=False)
    text = capsys.readouterr().out
    heads = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert not {*heads} & {*BY_HOSTS}
    sisters = [name for name in BY_HOSTS if name.startswith("bybit")]
    assert f"  sisters       {', '.join(sisters)}: the same at other hosts; the suites ran for bybit only" in text
    assert "binanceus" in heads  # it differs in more
    app(["exchanges", "--json"], standalone_mode=False)
    rows = {row["exchange"]: row for row in json.loads(capsys.readouterr().out)["exchanges"]}
    assert (rows["bybiteu"]["sister_of"], rows["bybit"]["sister_of"]) == ("bybit", None)
    assert rows["bybiteu"]["supported"] == []
