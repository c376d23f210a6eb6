"""OKX signatures: those of a public client, the end of their validity, and secrecy of keys."""

from __future__ import annotations

import json
import pickle
from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256
from hmac import digest

import pytest

from tests.fakes.captures import captures
from venuemesh.connectors.okx import CONNECTOR, OKX_EEA
from venuemesh.connectors.order_codec import Draft, Kind
from venuemesh.model.errors import Misconfigured, NotOffered

SECRET, WORD = "22582BD0CFF14C41EDBF1AB98506286D", "a passphrase"
NOW_NS = 1_607_418_537_715_400_000  # 2020-12-08T09:08:57.715Z
BALANCE = Draft(Kind.ACCOUNT, ("GET", "/api/v5/account/balance"), None, (("ccy", "BTC"),), host="https://h")
PLACE = Draft(Kind.PLACE, ("POST", "/api/v5/trade/order"), None, (("sz", "1"), ("banAmend", "true")), host="https://h")


def auth(**change: object):
    return CONNECTOR.auth(**{"kind": "hmac", "api_key": "a-key-of-okx", "secret": SECRET, "passphrase": WORD} | change)


def test_what_is_signed_is_the_manuals_text() -> None:
    """authentication-signature.md: its timestamp, path and secret; the manual shows no signature of them."""
    signed = auth().sign(BALANCE, "r", NOW_NS, 30_000)
    headers = dict(signed.request.headers)
    assert headers["OK-ACCESS-TIMESTAMP"] == "2020-12-08T09:08:57.715Z"
    text = "2020-12-08T09:08:57.715ZGET/api/v5/account/balance?ccy=BTC"
    assert headers["OK-ACCESS-SIGN"] == b64encode(digest(SECRET.encode(), text.encode(), "sha256")).decode()
    assert (headers["OK-ACCESS-KEY"], headers["OK-ACCESS-PASSPHRASE"]) == ("a-key-of-okx", WORD)
    assert signed.request.url == "https://h/api/v5/account/balance?ccy=BTC"
    assert "expTime" not in headers


def test_recorded_signatures_are_ours() -> None:
    """The timestamp is set back by the rest of 30 s: with the full window it is the client's timestamp."""
    recorded = json.loads((captures("okx") / "signing.json").read_text())
    keys = recorded["keys"]
    key = CONNECTOR.auth("hmac", keys["apiKey"], keys["secret"], passphrase=keys["password"])
    for request in recorded["requests"]:
        assert key.signature(request["signed_text"]) == request["headers"]["OK-ACCESS-SIGN"]
        path, _, query = request["url"].removeprefix("https://www.okx.com").partition("?")
        if request["method"] == "GET":
            params = tuple(tuple(part.split("=")) for part in query.split("&") if part)
            draft = Draft(Kind.RAW, ("GET", path), None, params, host="https://www.okx.com")
            made = key.sign(draft, "r", recorded["clock_ms"] * 1_000_000, 30_000).request
            assert made.url == request["url"]
            assert dict(request["headers"]).items() <= dict(made.headers).items()


def test_a_request_of_any_kind_ends_with_its_validity() -> None:
    signed = auth().sign(BALANCE, "r", NOW_NS, 5_000)
    stamp = dict(signed.request.headers)["OK-ACCESS-TIMESTAMP"]
    at = datetime.fromisoformat(stamp.replace("Z", "+00:00")).astimezone(UTC)
    assert stamp == "2020-12-08T09:08:32.715Z"
    refused_ns = (int(at.timestamp() * 1_000) + 30_000 + 1) * 1_000_000
    assert signed.not_after_ns == refused_ns - 1
    for wrong in (0, 30_001):
        with pytest.raises(Misconfigured, match="validity"):
            auth().sign(BALANCE, "r", NOW_NS, wrong)


def test_an_order_brings_its_end_for_the_engine_too() -> None:
    signed = auth().sign(PLACE, "r", NOW_NS, 5_000)
    headers = dict(signed.request.headers)
    assert headers["expTime"] == str(NOW_NS // 1_000_000 + 5_000)
    assert signed.request.body == b'{"sz":"1","banAmend":true}'
    assert headers["Content-Type"] == "application/json"
    assert signed.text == 'POST /api/v5/trade/order {"sz":"1","banAmend":true}'
    assert len(signed.digest) == len(sha256().hexdigest())


def test_demo_trading_is_a_header() -> None:
    (demo,) = (CONNECTOR.trading(environment="demo").account(),)
    assert ("x-simulated-trading", "1") in auth().sign(demo, "r", NOW_NS, 5_000).request.headers
    assert "simulated" not in auth().sign(demo, "r", NOW_NS, 5_000).request.url
    real = CONNECTOR.trading().account()
    assert "x-simulated-trading" not in dict(auth().sign(real, "r", NOW_NS, 5_000).request.headers)
    assert OKX_EEA.trading(environment="demo").account().host == "https://eea.okx.com"
    with pytest.raises(Misconfigured, match="demo"):
        CONNECTOR.trading(environment="testnet")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "rsa"}, "is not hmac"),
        ({"passphrase": ""}, "no passphrase"),
        ({"account": "x"}, "no account"),
        ({"secret": "  "}, "secret is empty"),
        ({"api_key": "a\nkey"}, "API key"),
        ({"passphrase": "a\nword"}, "passphrase"),
    ],
)
def test_what_cannot_be_a_key(change: dict[str, str], reason: str) -> None:
    with pytest.raises(Misconfigured, match=reason) as caught:
        auth(**change)
    assert SECRET not in str(caught.value)


def test_a_key_shows_nothing_and_stays_here() -> None:
    key = auth()
    assert SECRET not in repr(key) + key.key_hint
    assert WORD not in repr(key)
    assert key.key_hint == "a-ke..."
    with pytest.raises(TypeError):
        pickle.dumps(key)
    signed = key.sign(PLACE, "r", NOW_NS, 5_000)
    assert WORD not in f"{signed!r}{signed.request!r}{signed.text}"
    with pytest.raises(NotOffered):
        key.sign_call(PLACE, "r", NOW_NS, 5_000)
