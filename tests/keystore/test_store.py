"""The keystore: stored keys, refusals, and no part of a key in a forbidden place."""

from __future__ import annotations

import copy
import json
import os
import pickle
import stat
import threading
import traceback

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.planted import find_in_files, find_in_text, passphrase, plant, under_passphrase
from venuemesh.keystore.key import Key, make_key
from venuemesh.keystore.store import Damaged, Keystore, WrongPassphrase
from venuemesh.model.errors import Misconfigured

CHEAP = 4  # log2 of scrypt's cost: what is tested is not how long it takes
DAY = "2026-11-22"
PASSPHRASE = passphrase()
PLANTED = {kind: plant(kind, (PASSPHRASE,)) for kind in ("hmac", "ed25519", "rsa")}


def key_of(kind="hmac", exchange="binance"):
    return make_key(exchange, PLANTED[kind].api_key, PLANTED[kind].secret)


@pytest.fixture
def store(tmp_path):
    made = Keystore(tmp_path / "sub" / "keystore", log2_n=CHEAP)
    made.add("main", key_of(), PASSPHRASE, added=DAY)
    return made


def test_keys_of_all_kinds_come_back_as_they_were_given(store):
    for kind in ("ed25519", "rsa"):
        store.add(kind, key_of(kind), PASSPHRASE, added=DAY)
    for name, kind in (("main", "hmac"), ("ed25519", "ed25519"), ("rsa", "rsa")):
        got = store.get(name, PASSPHRASE)
        assert got == key_of(kind)
        assert (got.kind, got.api_key, got.secret) == (kind, PLANTED[kind].api_key, PLANTED[kind].secret)
    assert [(e.name, e.kind, e.exchange, e.added) for e in store.list()] == [
        ("ed25519", "ed25519", "binance", DAY),
        ("main", "hmac", "binance", DAY),
        ("rsa", "rsa", "binance", DAY),
    ]


def test_a_key_keeps_its_named_fields_and_shows_none(store):
    key = make_key("okx", "an-api-key-for-okx", "its-secret", fields={"passphrase": "PLANTEDWORD of a key"})
    store.add("okx", key, PASSPHRASE, added=DAY)
    assert store.get("okx", PASSPHRASE) == key
    assert store.get("okx", PASSPHRASE).fields == {"passphrase": "PLANTEDWORD of a key"}
    assert store.get("main", PASSPHRASE).fields == {}
    assert "PLANTEDWORD" not in store.path.read_text() + repr(key)
    for wrong in ("", "PLANTED\n", "PLANTED" * 100):
        with pytest.raises(Misconfigured, match="passphrase of the API key") as caught:
            make_key("okx", "an-api-key-for-okx", "its-secret", fields={"passphrase": wrong})
        assert "PLANTED" not in str(caught.value)


# Written before keys had named fields, with the passphrase below
OLD_STORE = """{"version": 1, "scrypt": {"log2_n": 4, "r": 8, "p": 1, "salt": "w56NQvYnQsI8iRrqGpZeNw=="}, "check":
{"nonce": "cSQ2YOGm6iVpzhbP", "box": "oidQtxifoJd/BkwClt3GY+INEoRwRhDNBdabpUenBIrOJg=="}, "digest":
"cf53ca745a396f492c8a678254c7df897a8168b6fc069ee1b7f37a529156ed8b", "entries": {"main": {"exchange": "binance", "kind":
"hmac", "hint": "an-a...", "added": "2026-11-22", "nonce": "CK0NEaI8S3miPT3C", "box":
"zIF9LsHHQp+qMPPa+OqldR3YxISu9FL3ANnLtW8r6k+pwMTnZnkYJEd1GRoEE6IfLFDU"}}}"""


def test_a_store_from_before_named_fields_opens(tmp_path):
    path = tmp_path / "keystore"
    path.touch(mode=0o600)
    path.write_text(OLD_STORE)
    assert Keystore(path).get("main", "the old passphrase") == make_key("binance", "an-api-key-of-old", "its-secret")


def test_the_file_holds_no_secret_and_only_its_owner_may_read_it(store):
    for kind in ("ed25519", "rsa"):
        store.add(kind, key_of(kind), PASSPHRASE, added=DAY)
    assert find_in_files(PLANTED.values(), store.path.parent) == []
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert store.entry("main").hint == PLANTED["hmac"].api_key[:4] + "..."
    assert sorted(p.name for p in store.path.parent.iterdir()) == ["keystore", "keystore.lock"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601])
def test_a_wider_mode_is_refused_and_the_error_says_what_to_do(store, mode):
    store.path.chmod(mode)
    for attempt in (store.list, lambda: store.get("main", PASSPHRASE), lambda: store.remove("main")):
        with pytest.raises(Misconfigured, match=f"chmod 600 {store.path}"):
            attempt()


def test_another_passphrase_is_distinguished_from_damage(store):
    with pytest.raises(WrongPassphrase):
        store.get("main", PASSPHRASE + " ")
    with pytest.raises(WrongPassphrase):
        store.add("second", key_of(), "another one entirely", added=DAY)
    assert [entry.name for entry in store.list()] == ["main"]
    content = json.loads(store.path.read_text())
    content["check"]["box"] = "A" + content["check"]["box"][1:]
    store.path.write_text(json.dumps(content))
    with pytest.raises(Damaged):
        store.get("main", PASSPHRASE)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["entries"].update(other=c["entries"].pop("main")),
        lambda c: c["entries"]["main"].update(exchange="elsewhere"),
        lambda c: c["entries"]["main"].update(kind="rsa"),
        lambda c: c["entries"]["main"].update(hint="XXXX..."),
        lambda c: c["entries"]["main"].update(added="2020-01-01"),
        lambda c: c["entries"]["main"].update(box=c["check"]["box"], nonce=c["check"]["nonce"]),
    ],
)
def test_an_entry_that_was_changed_does_not_open(store, change):
    content = json.loads(store.path.read_text())
    change(content)
    store.path.write_text(json.dumps(content))
    with pytest.raises(Damaged, match="was changed"):
        store.get(store.list()[0].name, PASSPHRASE)


@given(cut=st.integers(0, 1200), flip=st.integers(0, 1200), bit=st.integers(0, 7))
@settings(max_examples=120, deadline=None)
def test_a_damaged_file_is_a_typed_error_and_never_another_key(tmp_path_factory, cut, flip, bit):
    path = tmp_path_factory.mktemp("k") / "keystore"
    Keystore(path, log2_n=CHEAP).add("main", key_of(), PASSPHRASE, added=DAY)
    raw = bytearray(path.read_bytes())
    whole = len(raw)
    raw[flip % whole] ^= 1 << bit
    if cut < whole:
        del raw[whole - cut :]
    path.write_bytes(raw)
    reason, got = "", None
    try:
        got = Keystore(path).get("main", PASSPHRASE)
    except Misconfigured as error:
        reason = str(error)
    assert find_in_text(PLANTED.values(), reason) == []
    assert got in (None, key_of())  # white space, say, may change without harm


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"version": 1}', '{"version": true}', "\xff", "[" * 5000])
def test_what_is_no_keystore(tmp_path, text):
    path = tmp_path / "keystore"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(Damaged):
        Keystore(path).list()


def test_a_newer_version_and_an_unbearable_cost_are_refused(store):
    content = json.loads(store.path.read_text())
    store.path.write_text(json.dumps(content | {"version": 2}))
    with pytest.raises(Misconfigured, match="version 2"):
        store.list()
    content["scrypt"]["log2_n"] = 40
    store.path.write_text(json.dumps(content))
    with pytest.raises(Damaged):
        store.get("main", PASSPHRASE)


def test_names_are_unique_and_checked_and_errors_name_them(store):
    with pytest.raises(Misconfigured, match="exists already"):
        store.add("main", key_of("rsa"), PASSPHRASE, added=DAY)
    assert store.get("main", PASSPHRASE).kind == "hmac"
    store.add("main", key_of("rsa"), PASSPHRASE, added=DAY, replace=True)
    assert store.get("main", PASSPHRASE).kind == "rsa"
    for name in ("", "../x", "a b", "x" * 65, "-x", "ä"):
        with pytest.raises(Misconfigured, match="name"):
            store.add(name, key_of(), PASSPHRASE, added=DAY)
    with pytest.raises(Misconfigured, match="its entries are: main"):
        store.get("none", PASSPHRASE)
    with pytest.raises(Misconfigured, match="its entries are: main"):
        store.remove("none")
    store.remove("main")
    assert store.list() == []
    store.add("again", key_of(), PASSPHRASE, added=DAY)  # the passphrase holds also when nothing is in it


def test_a_short_passphrase_makes_no_keystore(tmp_path):
    with pytest.raises(Misconfigured, match="8 characters"):
        Keystore(tmp_path / "k").add("main", key_of(), "1234567", added=DAY)
    assert not (tmp_path / "k").exists()


def test_a_keystore_that_is_not_there_and_one_that_cannot_be(tmp_path):
    none = Keystore(tmp_path / "none" / "k")
    for attempt in (none.list, lambda: none.get("x", "p"), lambda: none.remove("x")):
        with pytest.raises(Misconfigured, match="No such file"):
            attempt()
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="cannot be written"):
        Keystore(tmp_path / "file" / "k").add("main", key_of(), PASSPHRASE, added=DAY)


def test_writers_at_the_same_time_lose_nothing(tmp_path):
    path = tmp_path / "keystore"
    Keystore(path, log2_n=CHEAP).add("first", key_of(), PASSPHRASE, added=DAY)
    names = [f"n{number}" for number in range(12)]
    threads = [
        threading.Thread(target=lambda name=name: Keystore(path).add(name, key_of(), PASSPHRASE, added=DAY))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(entry.name for entry in Keystore(path).list()) == sorted(["first", *names])


def test_a_failed_replacement_leaves_the_old_file_and_nothing_else(store, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = store.path.read_bytes()
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(Misconfigured, match="No space left"):
        store.add("second", key_of(), PASSPHRASE, added=DAY)
    assert store.path.read_bytes() == before
    assert sorted(p.name for p in store.path.parent.iterdir()) == ["keystore", "keystore.lock"]


def test_the_default_cost_takes_its_time(tmp_path):
    store = Keystore(tmp_path / "k")
    store.add("main", key_of(), PASSPHRASE, added=DAY)
    assert json.loads(store.path.read_text())["scrypt"]["log2_n"] == 15
    assert store.get("main", PASSPHRASE) == key_of()


# The key itself


@pytest.mark.parametrize("kind", ["hmac", "ed25519", "rsa"])
def test_a_key_shows_nothing_and_stays_here(kind):
    key = key_of(kind)
    shown = f"{key} {key!r} {[key]} {key.hint} %s" % (key,)
    assert find_in_text([PLANTED[kind]], shown) == []
    for leave in (pickle.dumps, copy.copy, copy.deepcopy, lambda k: pickle.dumps(k, 0), lambda k: pickle.dumps([k])):
        with pytest.raises(TypeError, match="stays in its process"):
            leave(key)
    with pytest.raises(TypeError):
        json.dumps(key)
    assert key == key_of(kind)
    assert key != Key("okx", key.kind, key.api_key, key.secret)
    assert Key("binance", "hmac", "short", "x").hint == "..."


def test_a_pem_under_a_passphrase_is_opened_once_and_held_without(store):
    closed = under_passphrase(PLANTED["ed25519"], "of the pem")
    with pytest.raises(Misconfigured, match="its own passphrase"):
        make_key("binance", "K" * 20, closed)
    with pytest.raises(Misconfigured, match="its passphrase is wrong"):
        make_key("binance", "K" * 20, closed, pem_passphrase="not it")
    assert make_key("binance", "K" * 20, closed, pem_passphrase="of the pem").secret == PLANTED["ed25519"].secret


@pytest.mark.parametrize(
    ("kind", "api_key", "secret", "reason"),
    [
        ("dsa", "K" * 20, "s", "not one of hmac, ed25519, rsa"),
        (None, "", "s", "API key"),
        (None, "K y", "s", "API key"),
        (None, "K\r\nX-Evil: 1", "s", "API key"),
        (None, "K" * 600, "s", "API key"),
        (None, "K" * 20, "", "one line"),
        (None, "K" * 20, "PLANTED SECRET", "one line"),
        (None, "K" * 20, "a\nb", "one line"),
        ("ed25519", "K" * 20, "PLANTEDSECRET", "does not contain a PEM"),
        ("hmac", "K" * 20, PLANTED["rsa"].secret, "the given kind is hmac"),
        ("ed25519", "K" * 20, PLANTED["rsa"].secret, "of kind rsa"),
        (None, "K" * 20, PLANTED["rsa"].public_pem, "PUBLIC KEY"),
        (None, "K" * 20, PLANTED["rsa"].secret[:400], "cannot be read"),
        (None, "K" * 20, "-----BEGIN PRIVATE KEY-----\nUExBTlRFRA==\n-----END PRIVATE KEY-----\n", "cannot be read"),
    ],
)
def test_what_cannot_be_a_key_is_refused_without_being_repeated(kind, api_key, secret, reason):
    with pytest.raises(Misconfigured, match=reason) as caught:
        make_key("binance", api_key, secret, kind=kind, what="file /x")
    shown_text = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert find_in_text(PLANTED.values(), str(caught.value)) == []
    assert "PLANTED SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "UExBTlRFRA" not in shown_text


def test_an_rsa_key_that_is_too_short():
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    for private, reason in (
        (rsa.generate_private_key(public_exponent=65537, key_size=1024), "1024 bits"),
        (ec.generate_private_key(ec.SECP256R1()), "neither Ed25519 nor RSA"),
    ):
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        with pytest.raises(Misconfigured, match=reason):
            make_key("binance", "K" * 20, pem)
