"""Signing for Kraken: the manual's vector, ccxt's vectors, the end of a request's validity, and client order ids."""

from __future__ import annotations

import json
import pickle
from datetime import datetime
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.captures import captures
from venuemesh.connectors.kraken import CONNECTOR
from venuemesh.connectors.kraken.auth import KrakenAuth
from venuemesh.connectors.order_codec import At, Draft, Kind, Never, WhenSuperseded
from venuemesh.connectors.uuid_ids import packed, unpacked
from venuemesh.model.errors import Misconfigured, NotOffered
from venuemesh.model.ids import OrderIds

NOW_NS = 1_700_000_000_123_456_789
# guides/spot-rest-auth, read 2026-11-27
SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
BODY = "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
SIGNATURE = "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="


def auth():
    return CONNECTOR.auth("hmac", "a-key-of-mine", SECRET)


def draft(kind: Kind = Kind.CANCEL, path: str = "/0/private/CancelOrder", **fields) -> Draft:
    return Draft(kind, ("POST", path), None, (("txid", "O1"),), host="https://api.kraken.com", **fields)


def test_the_signature_that_the_manual_prints():
    assert auth().api_sign("/0/private/AddOrder", "1616492376594", BODY) == SIGNATURE


def test_the_manual_s_request_as_a_draft():
    params = tuple(parse_qsl(BODY))[1:]
    signed = auth().sign(Draft(Kind.RAW, ("POST", "/0/private/AddOrder"), None, params, nonce=1616492376594), "1", 0, 1)
    assert signed.request is not None
    assert signed.request.body.decode() == BODY
    assert dict(signed.request.headers)["API-Sign"] == SIGNATURE


def test_what_ccxt_signs_has_the_same_signature_here():
    recorded = json.loads((captures("kraken") / "signing.json").read_text())
    key = KrakenAuth("hmac", recorded["keys"]["apiKey"], recorded["keys"]["secret"])
    for request in recorded["requests"]:
        (_, nonce), *params = parse_qsl(request["body"])
        made = Draft(
            Kind.RAW, (request["method"], urlsplit(request["url"]).path), None, tuple(params), nonce=int(nonce)
        )
        signed = key.sign(made, "1", NOW_NS, 5000)
        assert signed.request is not None
        assert signed.request.body.decode() == request["body"]
        headers = dict(signed.request.headers)
        assert {name: headers[name] for name in ("API-Key", "API-Sign")} == {
            name: request["headers"][name] for name in ("API-Key", "API-Sign")
        }


def test_a_later_nonce_ends_a_request_and_a_deadline_ends_an_order():
    cancel = auth().sign(draft(nonce=77), "1", NOW_NS, 5000)
    assert cancel.ends == WhenSuperseded(77)
    assert b"nonce=77&" in cancel.request.body
    place = auth().sign(draft(Kind.PLACE, "/0/private/AddOrder", nonce=78), "2", NOW_NS, 5000)
    (deadline,) = parse_qs(place.request.body.decode())["deadline"]
    at = datetime.fromisoformat(deadline)
    assert isinstance(place.ends, At)
    assert round(at.timestamp() * 1000) * 1_000_000 == place.ends.ns
    assert NOW_NS < place.ends.ns <= NOW_NS + 5_000_000_000


def test_a_draft_without_a_nonce_gets_the_time_in_ms():
    signed = auth().sign(draft(), "1", NOW_NS, 5000)
    assert signed.draft.nonce == 1_700_000_000_123


def test_public_requests_are_not_signed():
    signed = auth().sign(Draft(Kind.RAW, ("GET", "/0/public/Time"), None, (), signed=False), "1", NOW_NS, 5000)
    assert signed.ends == Never()
    assert signed.request is not None
    assert (signed.request.headers, signed.request.body) == ((), b"")


@pytest.mark.parametrize("validity_ms", [1, 1999, 60_001])
def test_a_deadline_that_the_exchange_does_not_take(validity_ms):
    with pytest.raises(Misconfigured):
        auth().sign(draft(Kind.PLACE), "1", NOW_NS, validity_ms)


def test_what_is_no_key():
    for kind, secret in (("ed25519", SECRET), ("hmac", ""), ("hmac", "no base64!"), ("hmac", b"-----BEGIN KEY-----")):
        with pytest.raises(Misconfigured) as raised:
            KrakenAuth(kind, "key", secret)
        assert str(secret) not in str(raised.value) or not secret
    with pytest.raises(Misconfigured):
        KrakenAuth("hmac", "two words", SECRET)


def test_a_key_shows_and_leaves_nothing():
    made = auth()
    assert SECRET not in repr(made)
    assert made.key_hint == "a-ke..."
    with pytest.raises(TypeError):
        pickle.dumps(made)
    with pytest.raises(NotOffered):
        made.sign_call(draft(), "1", NOW_NS, 5000)


def test_a_call_carries_the_token_and_the_journal_does_not():
    made = auth()
    made.token = "the-token-of-this-connection"
    cancel = Draft(Kind.CANCEL, ("POST", "/0/private/CancelOrder"), "cancel_order", (("txid", "O1"),))
    signed = made.sign_call(cancel, "3-17", NOW_NS, 5000)
    sent = json.loads(signed.call)
    assert sent["params"] == {"order_id": ["O1"], "token": made.token}
    assert (sent["method"], str(sent["req_id"])) == ("cancel_order", signed.call_id)
    assert made.token not in f"{signed} {signed.text}"
    assert signed.ends == At((NOW_NS // 10**6 + 5000) * 10**6)
    assert made.sign_call(cancel, "3-18", NOW_NS, 5000).call_id != signed.call_id


# ------------------------------------------------------------------ client order ids


@given(st.text("0123456789abcdefghijklmnopqrstuvwxyz", max_size=22))
def test_every_id_of_ours_becomes_a_uuid_and_comes_back(digits):
    sent = packed(f"vm{digits}")
    assert len(sent) == 36
    assert unpacked(sent) == unpacked(sent.replace("-", "").upper()) == f"vm{digits}"


def test_ids_of_one_maker_differ():
    made = OrderIds(NOW_NS, 2**64 - 1)
    ids = [made() for _ in range(100)]
    assert len({packed(one) for one in ids}) == 100
    assert [unpacked(packed(one)) for one in ids] == ids


@pytest.mark.parametrize("other", ["outside-1", "arb-20240509-00010", "VM0A", "6d1b345e-2821-40e2-ad83-4ecb18a06876"])
def test_an_id_of_another_program_stays_unchanged(other):
    assert packed(other) == other
    assert unpacked(other) == other
