"""The proxy of a URL, as the environment sets it."""

import collections.abc
import os
import sys

import pytest

from venuemesh.connectors.transport.proxy import proxy_for
from venuemesh.model.errors import Misconfigured

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other platforms have their own settings")
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUEST_METHOD")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, "https://a.example", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://a.example", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "wss://a.example/ws", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://a.example", None),
        ({"HTTP_PROXY": "http://p:1"}, "ws://a.example", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, "ws://a.example", None),
        ({"HTTPS_PROXY": "http://p:1", "https_proxy": "http://q:2"}, "https://a.example", "http://q:2"),
        ({"HTTPS_PROXY": "http://p:1", "https_proxy": ""}, "https://a.example", None),
        ({"ALL_PROXY": "http://p:1"}, "https://a.example", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "b.example, .example"}, "https://a.example", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "other.test"}, "https://a.example", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "no_proxy": "*"}, "https://a.example", None),
    ],
)
def test_the_environment_names_the_proxy(monkeypatch, variables, url, proxy):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(url)
    assert (None if found is None else found.url) == proxy


@pytest.mark.parametrize(
    ("value", "url", "resolves"),
    [
        ("p.example:3128", "http://p.example:3128", False),
        (" HTTP://p.example ", "http://p.example:80", False),
        ("socks5h://p.example", "socks5h://p.example:1080", True),
        ("socks5://me:a%40b@p.example:9", "socks5://me:a%40b@p.example:9", False),
        ("socks4a://me@[::1]:9", "socks4a://me:@[::1]:9", True),
    ],
)
def test_a_value_is_read_as_other_programs_read_it(monkeypatch, value, url, resolves):
    monkeypatch.setenv("ALL_PROXY", value)
    found = proxy_for("wss://a.example")
    assert found is not None
    assert (found.url, found.resolves) == (url, resolves)


@pytest.mark.parametrize(
    "value", ["ftp://me:hush@p:1", "http://me:hush@:1", "socks5h://me:hush@p:port", "http://[me:hush"]
)
def test_a_value_that_is_no_proxy_names_its_variable_and_no_secret(monkeypatch, value):
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(Misconfigured, match="the variable HTTPS_PROXY") as caught:
        proxy_for("https://a.example")
    assert "hush" not in f"{caught.value} {caught.value!r} {caught.value.__cause__}"


def test_no_walk_through_the_environment(monkeypatch):
    """Another thread may remove a variable at any time; a walk then raises KeyError."""

    class Changing(collections.abc.MutableMapping):
        def __iter__(self):
            raise KeyError("REMOVED")

        def __getitem__(self, name):
            return {"ALL_PROXY": "http://p:1"}[name]

        def __len__(self):
            return 1

        __setitem__ = __delitem__ = None

    with monkeypatch.context() as during:
        during.setattr(os, "environ", Changing())
        found = proxy_for("https://a.example")
    assert found is not None
    assert found.url == "http://p:1"
