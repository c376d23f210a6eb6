"""Accounts from a file, and the content of a command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.signed_ws import Key
from venuemesh.exchange.accounts_file import read_accounts
from venuemesh.exchange.binance.auth import is_signed
from venuemesh.exchange.options import parse
from venuemesh.model.errors import Misconfigured

SECRET = "PLANTED-a8f3"


def written(folder: Path, text: str, name: str = "accounts.toml", mode: int = 0o600) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return path


def test_accounts_with_keys_of_three_kinds(tmp_path: Path) -> None:
    (tmp_path / "ed.pem").write_text(Key.ed25519("K3").public_pem)
    (tmp_path / "rsa.pem").write_text(Key.rsa("K4").public_pem)
    (tmp_path / "k2.secret").write_text(f"{SECRET}\n")
    path = written(
        tmp_path,
        f"""
        [accounts.main]
        balances = {{BTC = "10", USDT = "0.5"}}
        keys = [
            {{key = "K1", secret = "{SECRET}"}},
            {{key = "K2", secret_file = "k2.secret", only = "trade"}},
            {{key = "K3", public_key_file = "ed.pem", only = "read"}},
            {{key = "K4", public_key_file = "rsa.pem"}},
        ]
        [accounts.other]
        keys = [{{key = "K5", secret = "x", passphrase = "{SECRET} too"}}]
        """,
    )
    main, other = parse(["--accounts", str(path)]).accounts
    assert [(key.name, key.kind, key.can_read, key.can_trade) for key in main.keys.values()] == [
        ("K1", "HMAC", True, True),
        ("K2", "HMAC", False, True),
        ("K3", "ED25519", True, False),
        ("K4", "RSA", True, True),
    ]
    signature = Key("", SECRET).sign("a=1")
    assert is_signed(main.keys["K1"], b"a=1", signature)
    assert is_signed(main.keys["K2"], b"a=1", signature)
    assert (main.balances["BTC"].free, main.balances["USDT"].free) == (10 * 10**8, 5 * 10**7)
    assert other.name == "other"
    assert [key.passphrase for key in other.keys.values()] == [f"{SECRET} too"]
    assert main.keys["K1"].passphrase == "passphrase"
    assert SECRET not in repr(other)
    assert SECRET not in repr(main)


def test_json_and_further_keys_of_the_command_line(tmp_path: Path) -> None:
    text = '{"accounts": {"main": {"keys": [{"key": "K1", "secret": "s"}]}}}'
    path = written(tmp_path, text, "accounts.json")
    options = parse(["--accounts", str(path), "--account", "two:K2:t:BTC=1", "--account-key", "main:K3:u:read"])
    assert [sorted(account.keys) for account in options.accounts] == [["K1", "K3"], ["K2"]]
    assert not options.accounts[0].keys["K3"].can_trade


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[accounts.main]\nkeys = []", "accounts.main.keys"),
        ('[accounts.main]\nkeys = [{key = "a b", secret = "PLANTED-a8f3"}]', "accounts.main.keys.0.key"),
        ('[accounts.main]\nkeys = [{key = "K", secret = "PLANTED-a8f3", secret_file = "f"}]', "one of secret"),
        ('[accounts.main]\nkeys = [{key = "K"}]', "one of secret"),
        ('[accounts.main]\nkeys = [{key = "K", secret_file = "nowhere"}]', "nowhere"),
        ('[accounts.main]\nkeys = [{key = "K", secret = "PLANTED-a8f3", more = 1}]', "more"),
        ('[accounts.main]\nkeys = [{key = "K", secret = ["PLANTED-a8f3"]}]', "secret"),
        ('[accounts.main]\nbalances = {BTC = "-1"}\nkeys = [{key = "K", secret = "s"}]', "must not be negative"),
        ('[accounts.a]\nkeys = [{key = "K", secret = "s"}]\n[accounts.b]\nkeys = [{key = "K", secret = "t"}]', "twice"),
        ("accounts = PLANTED-a8f3", "not TOML"),
        ("accounts = " + "[" * 10_000, "not TOML"),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_is_repeated(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        read_accounts(written(tmp_path, text))
    assert reason in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_file_that_others_may_open_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, '[accounts.main]\nkeys = [{key = "K", secret = "s"}]', mode=0o640)
    with pytest.raises(Misconfigured, match="chmod 600"):
        parse(["--accounts", str(path)])
    with pytest.raises(Misconfigured, match="cannot read"):
        parse(["--accounts", str(tmp_path / "none.toml")])
