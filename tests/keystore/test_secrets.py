"""The place of a role's key: keystore or mounted files; a refusal names the file and shows nothing of its content."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.planted import find_in_text, passphrase, plant, under_passphrase, write_0600
from venuemesh.keystore import secrets
from venuemesh.keystore.key import make_key
from venuemesh.keystore.private import read_private
from venuemesh.keystore.settings import KeySettings
from venuemesh.keystore.store import Keystore
from venuemesh.model.errors import Misconfigured

PASSPHRASE = passphrase()
PLANTED = {kind: plant(kind, (PASSPHRASE,)) for kind in ("hmac", "ed25519", "rsa")}


@pytest.fixture
def kept(tmp_path):
    """A configuration whose key is in a keystore."""
    key = make_key("binance", PLANTED["hmac"].api_key, PLANTED["hmac"].secret)
    Keystore(tmp_path / "keystore", log2_n=4).add("main", key, PASSPHRASE, added="2026-11-22")
    file = write_0600(tmp_path / "passphrase", PASSPHRASE + "\n")
    return KeySettings("main", str(tmp_path / "keystore"), str(file))


@pytest.fixture(params=["hmac", "ed25519", "rsa"])
def mounted(request, tmp_path):
    """A configuration whose key is in mounted files, with a line end as editors write it."""
    planted = PLANTED[request.param]
    return mounted_at(
        write_0600(tmp_path / "key", planted.api_key + "\n"), write_0600(tmp_path / "secret", planted.secret + "\r\n")
    ), planted


def mounted_at(key: Path, secret: Path) -> KeySettings:
    return KeySettings(api_key_file=str(key), secret_file=str(secret))


def test_a_key_of_the_keystore(kept):
    secrets.check_key(kept, "binance")
    key = secrets.read_key(kept, "binance")
    assert (key.api_key, key.secret) == (PLANTED["hmac"].api_key, PLANTED["hmac"].secret)


def test_a_key_of_mounted_files_of_every_kind(mounted):
    config, planted = mounted
    secrets.check_key(config, "binance")
    key = secrets.read_key(config, "binance")
    assert (key.kind, key.api_key, key.secret) == (planted.kind, planted.api_key, planted.secret)


def test_named_fields_come_from_separate_files(tmp_path):
    config = mounted_at(write_0600(tmp_path / "key", "an-api-key\n"), write_0600(tmp_path / "secret", "a-secret\n"))
    word = write_0600(tmp_path / "word", "the word\n")
    config = replace(config, field_files={"passphrase": str(word)})
    secrets.check_key(config, "okx")
    assert secrets.read_key(config, "okx").fields == {"passphrase": "the word"}
    os.chmod(word, 0o640)
    for attempt in (secrets.check_key, secrets.read_key):
        with pytest.raises(Misconfigured, match=f"chmod 600 {word}"):
            attempt(config, "okx")


async def test_it_is_unlocked_outside_the_event_loop(kept, monkeypatch):
    where = []
    monkeypatch.setattr(secrets, "read_key", lambda settings, connector: where.append(threading.current_thread()))
    await secrets.read_key_async(kept, "binance")
    assert where != [threading.main_thread()]


def test_the_environment_may_name_the_passphrase_file_and_may_hold_no_secret(kept, monkeypatch):
    path, kept = kept.passphrase_file, replace(kept, passphrase_file=None)
    with pytest.raises(Misconfigured, match="VENUEMESH_PASSPHRASE_FILE is set: set one to a file"):
        secrets.check_key(kept, "binance")
    monkeypatch.setenv("VENUEMESH_PASSPHRASE_FILE", path)
    assert secrets.read_key(kept, "binance").kind == "hmac"
    monkeypatch.setenv("VENUEMESH_PASSPHRASE", PASSPHRASE)
    for attempt in (secrets.check_key, secrets.read_key):
        with pytest.raises(Misconfigured, match="inherits a secret") as caught:
            attempt(kept, "binance")
        assert PASSPHRASE not in str(caught.value)


@pytest.mark.parametrize("name", ["passphrase_file", "keystore"])
@pytest.mark.parametrize("attempt", [secrets.check_key, secrets.read_key])
def test_a_file_of_the_keystore_that_is_missing_or_open_to_others(kept, name, attempt):
    os.chmod(getattr(kept, name), 0o640)
    with pytest.raises(Misconfigured, match=f"chmod 600 {getattr(kept, name)}"):
        attempt(kept, "binance")
    os.unlink(getattr(kept, name))
    with pytest.raises(Misconfigured, match=f"{getattr(kept, name)}.*No such file"):
        attempt(kept, "binance")


@pytest.mark.parametrize("name", ["api_key_file", "secret_file"])
@pytest.mark.parametrize("attempt", [secrets.check_key, secrets.read_key])
def test_a_mounted_file_that_is_missing_or_open_to_others(mounted, name, attempt):
    config, _ = mounted
    os.chmod(getattr(config, name), 0o604)
    with pytest.raises(Misconfigured, match=f"chmod 600 {getattr(config, name)}"):
        attempt(config, "binance")
    os.unlink(getattr(config, name))
    with pytest.raises(Misconfigured, match=f"{getattr(config, name)}.*No such file"):
        attempt(config, "binance")


def test_an_entry_of_another_exchange_or_none(kept):
    for attempt in (secrets.check_key, secrets.read_key):
        with pytest.raises(Misconfigured, match="is a key of binance, not of okx"):
            attempt(kept, "okx")
        with pytest.raises(Misconfigured, match="its entries are: main"):
            attempt(replace(kept, keys="other"), "binance")
        with pytest.raises(Misconfigured, match="names neither"):
            attempt(KeySettings(), "binance")


def test_the_content_of_bad_files_is_in_no_error(tmp_path):
    planted = PLANTED["ed25519"]
    closed = under_passphrase(planted, "of the pem")
    for content in ("", "\n", PLANTED["hmac"].secret + "\nmore", planted.secret[:90], closed, "\udcff"):
        path = write_0600(tmp_path / "secret", "")
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
        config = mounted_at(write_0600(tmp_path / "key", planted.api_key), path)
        with pytest.raises(Misconfigured, match=str(path)) as caught:
            secrets.read_key(config, "binance")
        assert find_in_text(PLANTED.values(), repr(caught.value) + str(caught.value)) == []
        assert caught.value.__cause__ is None


def test_no_fifo_holds_it_up_and_no_folder_is_read(tmp_path):
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path in (tmp_path / "fifo", tmp_path):
        with pytest.raises(Misconfigured, match="not a regular file"):
            secrets.read_key(mounted_at(path, path), "binance")


def test_the_url_of_a_journal(tmp_path):
    url = f"postgresql+psycopg://mesh:{PLANTED['hmac'].api_key}@db.test:5432/orders?sslmode=verify-full"
    assert secrets.journal_url("sqlite:////x", None) == "sqlite:////x"
    path = write_0600(tmp_path / "url", url + "\n")
    assert secrets.journal_url(None, str(path)) == url
    assert secrets.has_password(url)
    assert secrets.has_password("postgresql://db/x?user=u&password=p")
    assert not secrets.has_password("postgresql+psycopg://mesh@db.test/orders")
    assert secrets.masked(url) == "postgresql+psycopg://db.test:5432/orders"
    assert secrets.masked("sqlite:////var/lib/x.sqlite3") == "sqlite:////var/lib/x.sqlite3"
    with pytest.raises(Misconfigured, match="set `url`"):
        secrets.journal_url(None, str(write_0600(tmp_path / "lite", "sqlite:////x")))
    path.chmod(0o644)
    with pytest.raises(Misconfigured, match="chmod 600"):
        secrets.journal_url(None, str(path))


def test_the_search_finds_what_is_planted_in_every_form(tmp_path):
    import base64
    from urllib.parse import quote

    for planted in PLANTED.values():
        line = max(planted.secret.splitlines(), key=len)
        for shift in ("", "x", "xy", "xyz"):
            text = base64.b64encode(f"{shift}{line}tail".encode()).decode()
            assert find_in_text([planted], text), f"base64 after {len(shift)} bytes"
        for text in (line, line.encode().hex(), quote(line, safe=""), repr({"a": line}), planted.api_key):
            assert find_in_text([planted], f"before {text} after")
        assert find_in_text([planted], f"before {PASSPHRASE} after")
        assert not find_in_text([planted], planted.api_key[:4] + "...")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path):
    path = write_0600(tmp_path / "key", "word")
    os.chown(path, 65534, -1)
    with pytest.raises(Misconfigured, match=r"key .*belongs to user nobody, who can change it at any time"):
        read_private(path, "key")
