"""`venuemesh connect` with a key: the ways to name one, each kind, and what is shown of it; local exchange."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.fakes.connectors import lent
from tests.fakes.exchange_process import ExchangeProcess
from tests.fakes.planted import find_in_text, passphrase, plant, write_0600
from venuemesh.cli.connect import Probe, ask
from venuemesh.cli.keys import KeyOptions, choose_key
from venuemesh.connectors import registry
from venuemesh.keystore.key import make_key
from venuemesh.keystore.store import Keystore
from venuemesh.model.errors import Misconfigured, NotOffered

PASSPHRASE = passphrase()
KEYS = {kind: plant(kind, (PASSPHRASE,)) for kind in ("hmac", "ed25519", "rsa")}
READER, STRANGER = plant("hmac"), plant("hmac")
PLANTED = (*KEYS.values(), READER, STRANGER)


@pytest.fixture(scope="module")
def exchange(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exchange")
    arguments = ["--account", f"main:{KEYS['hmac'].api_key}:{KEYS['hmac'].secret}:BTC=1.5,USDT=1000"]
    for kind in ("ed25519", "rsa"):
        (folder / kind).write_text(KEYS[kind].public_pem)
        arguments += ["--account-key", f"main:{KEYS[kind].api_key}:@{folder / kind}"]
    arguments += ["--account-key", f"main:{READER.api_key}:{READER.secret}:trade"]
    with ExchangeProcess("--seed", "5", "--rate", "200", *arguments) as running:
        yield running


def key_of(planted):
    return make_key("binance", planted.api_key, planted.secret)


@pytest.mark.parametrize("kind", ["hmac", "ed25519", "rsa"])
async def test_a_key_of_every_kind_shows_its_account(exchange, kind):
    probe = Probe("binance", rest=exchange.rest, ws=exchange.ws, key=key_of(KEYS[kind]))
    await probe.run()
    steps = {step.what: step.result for step in probe.checked}
    assert list(steps) == ["ping", "clock", "instruments", "key", "account", "websocket", "subscription", "frames"]
    assert steps["key"] == f"{kind} key {KEYS[kind].api_key[:4]}... accepted"
    assert steps["account"].startswith("may trade")
    balances = probe.balances()
    assert balances is not None
    assert {asset: str(held.total.normalize()) for asset, held in balances.items()} == {"BTC": "1.5", "USDT": "1E+3"}
    assert find_in_text(PLANTED, repr(vars(probe)) + repr(probe.checked)) == []


async def test_a_clock_that_is_off_is_corrected(exchange):
    exchange.admin.clock(60_000)
    try:
        probe = Probe("binance", rest=exchange.rest, ws=exchange.ws, key=key_of(KEYS["hmac"]))
        await probe.run()
    finally:
        exchange.admin.clock(0)
    assert probe.account is not None


@pytest.mark.parametrize("planted", [STRANGER, READER], ids=["unknown", "may not read"])
async def test_a_key_that_is_not_taken_is_an_error_that_does_not_show_it(exchange, planted):
    probe = Probe("binance", rest=exchange.rest, ws=exchange.ws, key=key_of(planted))
    with pytest.raises(Misconfigured) as caught:
        await probe.run()
    assert [step.what for step in probe.checked] == ["ping", "clock", "instruments"]
    assert find_in_text(PLANTED, f"{caught.value} {caught.value!r}") == []


@pytest.mark.parametrize("kind", ["hmac", "ed25519", "rsa"])
async def test_a_raw_request_is_signed_in_the_exchange_s_time(exchange, kind):
    exchange.admin.clock(60_000)
    try:
        key, at = key_of(KEYS[kind]), exchange.rest
        answer = await ask("binance", "get", "/api/v3/account", ["omitZeroBalances=true"], at, key)
        assert (answer.status, answer.error) == (200, None)
        assert {row["asset"] for row in json.loads(answer.body)["balances"]} == {"BTC", "USDT"}
        form = ["symbol=BTCUSDT", "side=BUY", "type=LIMIT", "timeInForce=GTC", "quantity=0.01", "price=50000"]
        answer = await ask("binance", "POST", "/api/v3/order/test", form, at, key)
        assert (answer.status, answer.error) == (200, None)
        refused = await ask("binance", "GET", "/api/v3/account", [], at, key_of(STRANGER))
        assert isinstance(refused.error, Misconfigured)
        assert find_in_text(PLANTED, f"{refused} {answer}") == []
        for path in ("//elsewhere.test/api", "/elsewhere", "/api/../x"):
            with pytest.raises(Misconfigured):
                await ask("binance", "GET", path, [], at, key)
    finally:
        exchange.admin.clock(0)


def test_a_connector_that_does_not_trade():
    real = registry.connector("binance")

    class ReadsOnly:
        name, spec, codec = real.name, real.spec, real.codec

    with lent(ReadsOnly()), pytest.raises(NotOffered):
        Probe("binance", key=key_of(KEYS["hmac"]))


# Ways to name a key


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.delenv("VENUEMESH_PASSPHRASE_FILE", raising=False)
    Keystore(tmp_path / "keystore", log2_n=4).add("main", key_of(KEYS["hmac"]), PASSPHRASE, added="2026-11-22")
    write_0600(tmp_path / "passphrase", PASSPHRASE + "\n")
    write_0600(tmp_path / "key", KEYS["ed25519"].api_key)
    write_0600(tmp_path / "pem", KEYS["ed25519"].secret)
    (tmp_path / "mesh.toml").write_text(
        '[exchanges.second]\nconnector = "binance"\nrest = "http://127.0.0.1:9"\nws = "ws://127.0.0.1:8"\n'
        '[exchanges.second.accounts.main]\nkeys = "main"\nkeystore = "keystore"\npassphrase_file = "passphrase"\n'
        '[exchanges.second.accounts.other]\napi_key_file = "key"\nsecret_file = "pem"\n'
        "[exchanges.binance]\n"
    )
    return tmp_path


def test_an_account_of_a_configuration_comes_with_where_it_trades(kept):
    chosen = choose_key("second", None, None, KeyOptions(config=kept / "mesh.toml", account="main"))
    assert (chosen.connector, chosen.rest, chosen.ws) == ("binance", "http://127.0.0.1:9", "ws://127.0.0.1:8")
    assert chosen.key == key_of(KEYS["hmac"])
    chosen = choose_key("second", "http://x", None, KeyOptions(config=kept / "mesh.toml", account="other"))
    assert (chosen.rest, chosen.key) == ("http://x", key_of(KEYS["ed25519"]))
    assert choose_key("binance", None, None, KeyOptions(config=kept / "mesh.toml")).key is None
    for exchange, given, reason in (
        ("second", KeyOptions(config=kept / "mesh.toml"), "give --account with one of second's accounts: main, other"),
        ("second", KeyOptions(config=kept / "mesh.toml", account="x"), "main, other"),
        ("third", KeyOptions(config=kept / "mesh.toml", account="main"), "no table"),
        ("second", KeyOptions(account="main"), "give --config"),
    ):
        with pytest.raises(Misconfigured, match=reason):
            choose_key(exchange, None, None, given)


def test_an_entry_or_two_files_and_only_one_way_at_once(kept):
    entry = KeyOptions(keys="main", keystore=kept / "keystore", passphrase_file=kept / "passphrase")
    assert choose_key("binance", None, None, entry).key == key_of(KEYS["hmac"])
    files = KeyOptions(api_key_file=kept / "key", secret_file=kept / "pem")
    assert choose_key("binance", None, None, files).key == key_of(KEYS["ed25519"])
    assert choose_key("binance", None, None, KeyOptions()).key is None
    for given, reason in (
        (KeyOptions(keys="main", secret_file=kept / "pem"), "give one of"),
        (KeyOptions(secret_file=kept / "pem"), "api_key_file"),
        (KeyOptions(keys="main", field_files=("passphrase=x",)), "belongs to --api-key-file"),
        (KeyOptions(keys="none", keystore=kept / "keystore"), "its entries are: main"),
    ):
        with pytest.raises(Misconfigured, match=reason):
            choose_key("binance", None, None, given)


def test_the_command_shows_balances_and_no_secret(exchange, kept):
    write_0600(kept / "secret", KEYS["hmac"].secret)
    write_0600(kept / "hmac-key", KEYS["hmac"].api_key)
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from venuemesh.__main__ import main; main()", "connect", "binance"),
            *("--rest", exchange.rest, "--ws", exchange.ws),
            *("--keys", "main", "--keystore", str(kept / "keystore"), "--passphrase-file", str(kept / "passphrase")),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "200"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for reason in ("may trade", "BTC", "1.5", "USDT", "1000", KEYS["hmac"].api_key[:4] + "..."):
        assert reason in done.stdout
    assert find_in_text(PLANTED, done.stdout + done.stderr) == []
    assert json.dumps(done.stdout).count("accepted") == 1
