"""A role reaches its exchange by one record: the connector's options are checked and passed to its codecs."""

from __future__ import annotations

from typing import Any

import pytest

from venuemesh.connectors import registry
from venuemesh.connectors.binance import CONNECTOR
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.connectors.spec import Option
from venuemesh.model.errors import Misconfigured

SPEED = Option("speed", 1.5, "How fast.", least=0.5, most=10.0)
OPTIONS = (
    Option("depth", 10, "How deep.", choices=(10, 25)),
    SPEED,
    Option("host", "eu", "Which region.", orders=True),
    Option("demo", False, "Whether it is a demonstration.", market=False, orders=True),
)


class Spec:
    exchange = "acme"
    options = OPTIONS
    option_problem = CONNECTOR.spec.__class__.option_problem


class Connector:
    """Records the arguments of its codecs."""

    name = "acme"
    spec = Spec()

    def codec(self, *urls: Any, **options: Any) -> Any:
        return urls, options

    def trading(self, *urls: Any, **options: Any) -> Any:
        return urls, options

    def auth(self, *key: Any) -> None: ...


@pytest.fixture(autouse=True)
def acme():
    found = Connector()
    registry.lend(found)
    yield
    registry.take_back(found)


def settings(**options: Any) -> ConnectorSettings:
    return ConnectorSettings("mine", "acme", "https://r", "wss://w", "wss://a", options=options)


def test_each_codec_gets_the_options_that_are_for_it():
    every = settings(depth=25, speed=2.0, host="us", demo=True)
    assert every.market_codec() == (("https://r", "wss://w"), {"depth": 25, "speed": 2.0, "host": "us"})
    assert every.order_codec() == (("https://r", "wss://a"), {"host": "us", "demo": True})


@pytest.mark.parametrize("name", [name for name in registry.known() if registry.connector(name).spec.environments])
def test_an_environment_gives_the_hosts_of_market_data_and_orders(name):
    spec = registry.connector(name).spec
    for environment, hosts in spec.environments.items():
        chosen = ConnectorSettings("mine", name, environment=environment)
        assert chosen.rest_base == hosts.rest
        assert chosen.market_codec().instruments_request().url.startswith(hosts.rest)
        assert chosen.market_codec().ws_url().startswith(hosts.ws)
        assert chosen.order_codec().account().host == hosts.rest
        real = ConnectorSettings("mine", name, environment="real")
        assert real.market_codec().ws_url() == ConnectorSettings("mine", name).market_codec().ws_url()
        given = ConnectorSettings("mine", name, "http://127.0.0.1:1", environment=environment)
        assert given.market_codec().instruments_request().url.startswith("http://127.0.0.1:1/")
        assert given.rest_base == "http://127.0.0.1:1"


def test_an_unknown_environment_names_those_there_are():
    for name in registry.known():
        if name == "acme":
            continue
        known = ", ".join(("real", *registry.connector(name).spec.environments))
        for made in (ConnectorSettings.market_codec, ConnectorSettings.order_codec, lambda one: one.rest_base):
            with pytest.raises(Misconfigured, match=f"'moon' is not one of {known}, those of {name}"):
                made(ConnectorSettings("mine", name, environment="moon"))


def test_a_codec_gets_no_option_that_is_not_configured():
    assert settings().market_codec() == (("https://r", "wss://w"), {})
    assert settings().order_codec() == (("https://r", "wss://a"), {})


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"width": 1}, "acme has no such option; its options are depth, speed, host, demo"),
        ({"depth": 11}, "11 is not allowed; it is one of 10, 25"),
        ({"depth": "10"}, "'10' is not a whole number; it is one of 10, 25"),
        ({"depth": True}, "True is not a whole number"),
        ({"speed": 0.1}, "0.1 is not allowed; it is at least 0.5 and at most 10.0"),
        ({"speed": "1"}, "'1' is not a number"),
        ({"host": 1}, "1 is not text"),
        ({"demo": 1}, "1 is not true or false"),
    ],
)
def test_what_the_connector_does_not_take_is_refused_with_what_it_takes(options, reason):
    for make in (settings(**options).market_codec, settings(**options).order_codec):
        with pytest.raises(Misconfigured) as caught:
            make()
        assert reason in caught.value.reason
        assert f"{next(iter(options))!r} of mine" in caught.value.what


def test_a_whole_number_is_good_for_a_number():
    assert SPEED.problem(2) is None


@pytest.mark.parametrize(
    ("name", "url", "is_refused"),
    [
        ("rest", "http://exchange.example", True),
        ("ws", "ws://192.0.2.1:9443/path", True),
        ("ws_api", "WS://[2001:db8::1]:1", True),
        ("rest", "http://127.0.0.1.example", True),
        ("rest", "http://localhost@exchange.example", True),
        ("rest", "https://exchange.example", False),
        ("rest", "http://localhost:1", False),
        ("ws", "ws://127.8.8.8", False),
        ("ws_api", "ws://[::1]:1", False),
    ],
)
def test_no_key_goes_over_a_network_in_clear(name, url, is_refused):
    """Market data may: it needs no key."""
    given = ConnectorSettings("binance", **{name: url})
    given.market_codec()
    if not is_refused:
        given.order_codec()
        return
    with pytest.raises(Misconfigured, match=f"{name} of binance: .* would send the account's key in clear"):
        given.order_codec()
