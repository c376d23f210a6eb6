"""Accounts and the journal in the configuration: what is refused, and what reaches the children."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from tests.fakes.connectors import lent
from tests.fakes.planted import find_in_text, passphrase, plant, write_0600
from venuemesh.actors.account.settings import GatewaySettings, StreamSettings
from venuemesh.actors.orders.settings import Limits, OrderManagerSettings, OrderSettings
from venuemesh.config.checks import check_accounts
from venuemesh.config.mesh import MeshConfig, check_config, load_config
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.connectors.spec import Limit
from venuemesh.journal.settings import JournalSettings
from venuemesh.keystore.key import make_key
from venuemesh.keystore.settings import KeySettings
from venuemesh.keystore.store import Keystore
from venuemesh.model.errors import ConfigError, Misconfigured
from venuemesh.supervisor.tree.child import ChildSpec, Restart, Tier
from venuemesh.supervisor.tree.desired import Desired

PASSPHRASE = passphrase()
PLANTED = plant("hmac", (PASSPHRASE,))
ACCOUNT = "[exchanges.binance.accounts.main]\n"
GOOD = f"""
[mesh]
name = "m"
[journal]
url = "sqlite:///state/orders.sqlite3"
keep_days = 30
[exchanges.binance]
rest = "http://127.0.0.1:1"
ws_api = "ws://127.0.0.1:2"
egress = "second"
nodes = {{ zone = "a" }}
{ACCOUNT}
keys = "main"
keystore = "keystore"
passphrase_file = "passphrase"
max_open_orders = 5
max_order_notional = "1000.50"
price_band = "5e-2"
maker_fee = 0
on_shutdown = "cancel"
dead_man_s = 60
[exchanges.binance.accounts.main.pairs."BTC-USDT"]
max_order_notional = 20000
[exchanges.binance.accounts.mounted]
api_key_file = "/run/secrets/key"
secret_file = "~/secret"
kind = "rsa"
account_limits = {{ orders_10s = [100, 10] }}
orders = "websocket"
stream = "polling"
"""


def load(tmp_path: Path, text: str) -> MeshConfig:
    path = tmp_path / "mesh.toml"
    path.write_text(text)
    return load_config(path)


def specs_of(config: MeshConfig, tmp_path: Path, node: str | None = "n1") -> dict[str, ChildSpec]:
    return {spec.address: spec for spec in Desired(config.for_supervisor(node, tmp_path)).first_specs()}


@pytest.mark.parametrize(
    ("rest", "is_live"),
    [
        ("", True),
        ('rest = "https://api.example.com"\n', True),
        ('rest = "http://127.0.0.1:7001"\n', True),  # a proxy of the exchange: its streams are elsewhere
        ('rest = "http://127.0.0.1:7001"\nws = "wss://stream.example.com"\n', True),
        ('rest = "http://127.0.0.1:7001"\nws = "ws://[::1]:7001"\nws_api = "wss://ws.example.com"\n', True),
        ('rest = "http://127.0.0.1:7001"\nws = "ws://127.0.0.1:7001"\n', False),
        ('rest = "http://[::1]:7001"\nws = "ws://[::1]:7001"\nws_api = "ws://localhost:7002"\n', False),
    ],
)
def test_keys_of_a_local_exchange_are_worth_nothing(tmp_path, rest, is_live):
    text = f'[exchanges.binance]\n{rest}{ACCOUNT}keys = "main"\n[exchanges.okx]\npairs = ["BTC-USDT"]\n'
    assert load(tmp_path, text).with_keys == (["binance"] if is_live else [])


def test_accounts_become_a_stream_and_a_manager_each(tmp_path):
    specs = specs_of(load(tmp_path, GOOD), tmp_path)
    orders, stream = specs["orders/binance/main"], specs["stream/binance/main"]
    needs = ("limits/binance/second", "catalog/binance")
    for spec, kind, tier in ((orders, "orders", Tier.ORDERS), (stream, "stream", Tier.STREAM)):
        assert (spec.kind, spec.tier, spec.after, spec.group, spec.restart) == (
            kind,
            tier,
            needs,
            "binance",
            Restart.PERMANENT,
        )
        assert (spec.node, spec.labels) == ("n1", (("zone", "a"),))
        assert "SQLite" in spec.pinned
        assert ChildSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    gateway = GatewaySettings(
        ConnectorSettings("binance", rest="http://127.0.0.1:1", ws_api="ws://127.0.0.1:2", egress="second"),
        KeySettings("main", str(tmp_path / "keystore"), str(tmp_path / "passphrase")),
    )
    assert stream.config == StreamSettings(gateway, "main")
    machine = OrderSettings(
        "binance",
        "main",
        limits=Limits(5, Decimal("1000.50"), Decimal("0.05"), 3.0),
        pair_limits={"BTC-USDT": Limits(max_order_notional=Decimal(20000))},
    )
    journal = JournalSettings(f"sqlite:///{tmp_path}/state/orders.sqlite3", keep_days=30)
    wanted = OrderManagerSettings(gateway, machine, journal, maker_fee=Decimal(0), on_shutdown="cancel", dead_man_s=60)
    assert orders.config == wanted
    assert orders.shutdown_s > stream.shutdown_s == specs["orders/binance/mounted"].shutdown_s
    mounted = specs["orders/binance/mounted"].config
    key = KeySettings(api_key_file="/run/secrets/key", secret_file="~/secret", kind="rsa")
    assert mounted.gateway.key == key
    assert mounted.account_limits == {"orders_10s": Limit(100, 10.0, "account")}
    assert (mounted.stop_s, mounted.send_by) == (5.0, "websocket")
    assert specs["stream/binance/mounted"].config.source == "polling"


def test_files_of_named_fields_start_at_the_folder_of_the_configuration(tmp_path):
    mounted = 'kind = "rsa"\nfield_files = {passphrase = "word"}'
    config = load(tmp_path, GOOD.replace('kind = "rsa"', mounted))
    key = config.exchanges["binance"].accounts["mounted"].key
    assert key.field_files == {"passphrase": str(tmp_path / "word")}


def test_it_is_the_same_after_its_way_to_the_host_process(tmp_path):
    config = load(tmp_path, GOOD)
    again = MeshConfig.model_validate_json(config.model_dump_json())
    assert again == config
    assert again.exchanges["binance"].accounts["main"].price_band == Decimal("0.05")


def test_without_a_journal_it_is_a_file_of_the_mesh_and_with_postgresql_nothing_is_pinned(tmp_path):
    begin = GOOD.partition("[journal]")[0]
    rest = "[exchanges.binance]" + GOOD.partition("[exchanges.binance]")[2]
    specs = specs_of(load(tmp_path, begin + rest), tmp_path)
    assert specs["orders/binance/main"].config.journal.url == f"sqlite:///{tmp_path}/m.journal.sqlite3"
    for journal in ('url = "postgresql+psycopg://mesh@db.test/orders"', 'url_file = "url"'):
        spec = specs_of(load(tmp_path, f"{begin}[journal]\n{journal}\n{rest}"), tmp_path)["orders/binance/main"]
        assert (spec.node, spec.pinned) == (None, "")
    assert spec.config.journal.url_file == str(tmp_path / "url")


def test_market_data_without_accounts_needs_no_journal(tmp_path):
    config = load(tmp_path, "[exchanges.binance]\n")
    assert not config.has_accounts
    assert all(not address.startswith(("orders/", "stream/")) for address in specs_of(config, tmp_path))
    assert config.for_supervisor().journal_node is None


@pytest.mark.parametrize(
    ("change", "key", "reason"),
    [
        (('keys = "main"', 'keys = "a b"'), "accounts.main.keys", "not a valid name"),
        (('keys = "main"', ""), "accounts.main", "names no key"),
        (('keys = "main"', 'keys = "main"\nkind = "hmac"'), "accounts.main", "only one of the two"),
        (('keys = "main"', 'keys = "main"\nsecret_file = "x"'), "accounts.main", "only one of the two"),
        (
            ('keys = "main"', 'keys = "main"\nsecret = "PLANTEDSECRET"'),
            "accounts.main.secret",
            "this key does not exist",
        ),
        (('kind = "rsa"', 'kind = "dsa"'), "accounts.mounted.kind", "hmac"),
        (('keys = "main"', 'keys = "main"\nfield_files = {passphrase = "x"}'), "accounts.main", "only one of the two"),
        (('kind = "rsa"', 'keystore = "x"'), "accounts.mounted", "but no entry: give keys"),
        (('"websocket"', '"telex"'), "accounts.mounted.orders", "websocket"),
        (('"polling"', '"telex"'), "accounts.mounted.stream", "polling"),
        (('"cancel"', '"sell"'), "accounts.main.on_shutdown", "cancel"),
        (("max_open_orders = 5", "max_open_orders = 0"), "accounts.main.max_open_orders", "greater"),
        (('"1000.50"', "1000.5"), "accounts.main.max_order_notional", "write it as text"),
        (('"1000.50"', '"-1"'), "accounts.main.max_order_notional", "greater"),
        (('"1000.50"', '"NaN"'), "accounts.main.max_order_notional", "not a number"),
        (('"1000.50"', "true"), "accounts.main.max_order_notional", "write it as text"),
        (('"5e-2"', '"11"'), "accounts.main.price_band", "less"),
        (("maker_fee = 0", 'maker_fee = "2"'), "accounts.main.maker_fee", "less"),
        (("maker_fee = 0", "recv_window_ms = 60001"), "accounts.main.recv_window_ms", "less"),
        (("[100, 10]", "[0, 10]"), "accounts.mounted.account_limits.orders_10s.0", "greater"),
        (('"BTC-USDT"', '"*-USDT"'), "accounts.main.pairs", "in full"),
        (("= 20000", '= "x"'), "accounts.main.pairs.BTC-USDT.max_order_notional", "not a number"),
        (("accounts.mounted", 'accounts."A B"'), "accounts.A B.[key]", "pattern"),
        (('"keystore"', '""'), "accounts.main.keystore", "name a file"),
    ],
)
def test_errors_name_file_key_and_reason(tmp_path, change, key, reason):
    assert change[0] in GOOD
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD.replace(*change))
    assert caught.value.file == str(tmp_path / "mesh.toml")
    assert caught.value.key == f"exchanges.binance.{key}"
    assert reason in caught.value.reason
    assert "\n" not in str(caught.value)
    assert "PLANTEDSECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("journal", "key", "reason"),
    [
        ('url = "mysql://x/y"', "journal.url", "must begin with sqlite"),
        ('url = "sqlite:///"', "journal.url", "name a file"),
        ('url = "sqlite:///x?mode=memory"', "journal.url", "no parameters"),
        ('url = "postgresql+psycopg://"', "journal.url", "must begin"),
        pytest.param(
            f'url = "postgresql+psycopg://u:{PLANTED.api_key}@db/x"', "journal.url", "url_file", id="password"
        ),
        pytest.param(
            f'url = "postgresql+psycopg://db/x?password={PLANTED.api_key}"', "journal.url", "url_file", id="parameter"
        ),
        ('url = "sqlite:///x"\nurl_file = "y"', "journal", "both"),
        ("keep_days = 0", "journal.keep_days", "greater"),
    ],
)
def test_a_journal_that_cannot_be(tmp_path, journal, key, reason):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"[journal]\n{journal}\n[exchanges.binance]\n")
    assert (caught.value.key, reason in caught.value.reason) == (key, True)
    assert find_in_text([PLANTED], f"{caught.value} {caught.value!r}") == []
    assert caught.value.__cause__ is None


def test_two_accounts_with_one_key_and_a_connector_that_does_not_trade(tmp_path):
    twin = ACCOUNT.replace("main", "twin") + 'keys = "main"\nkeystore = "keystore"\n'
    with pytest.raises(ConfigError, match="has the same key as"):
        load(tmp_path, GOOD + twin)

    with pytest.raises(ConfigError, match=r"no limit 'orders_1h' on orders \(there are: orders_10s, orders_1d\)"):
        load(tmp_path, GOOD.replace("orders_10s", "orders_1h"))

    class ReadsOnly:
        name, spec, codec = "binance", None, None

    with lent(ReadsOnly()), pytest.raises(ConfigError, match=r"exchanges\.binance\.accounts.*does not offer trading"):
        load(tmp_path, GOOD)


def test_a_relative_path_needs_a_file_to_be_relative_to():
    raw = {"exchanges": {"binance": {"accounts": {"main": {"keys": "x", "keystore": "relative"}}}}}
    with pytest.raises(ConfigError, match="absolute"):
        check_config(raw, "here")


# What `up` sees to


@pytest.fixture
def ready(tmp_path):
    """A configuration whose key and passphrase are there."""
    key = make_key("binance", PLANTED.api_key, PLANTED.secret)
    Keystore(tmp_path / "keystore", log2_n=4).add("main", key, PASSPHRASE, added="2026-11-22")
    write_0600(tmp_path / "passphrase", PASSPHRASE)
    return GOOD.partition("[exchanges.binance.accounts.mounted]")[0]


NODES = {"n1": {"zone": "a"}, "n2": {"zone": "b"}}


def test_a_node_that_has_everything(tmp_path, ready):
    check_accounts(load(tmp_path, ready), "n1", {"n1": NODES["n1"]})


@pytest.mark.parametrize("missing", ["keystore", "passphrase"])
def test_a_key_that_needs_a_person_to_unlock_it(tmp_path, ready, missing):
    config = load(tmp_path, ready)
    (tmp_path / missing).chmod(0o644)
    with pytest.raises(Misconfigured, match=rf"exchanges\.binance\.accounts\.main.*chmod 600 {tmp_path / missing}"):
        check_accounts(config, "n1", {"n1": NODES["n1"]})
    (tmp_path / missing).unlink()
    with pytest.raises(Misconfigured, match="No such file"):
        check_accounts(config, "n1", {"n1": NODES["n1"]})


def test_sqlite_on_several_nodes_must_be_accepted_and_must_be_here(tmp_path, ready):
    with pytest.raises(Misconfigured, match="postgresql"):
        check_accounts(load(tmp_path, ready), "n1", NODES)
    accepted = load(tmp_path, ready.replace("keep_days = 30", "pinned = true"))
    check_accounts(accepted, "n1", NODES)
    with pytest.raises(Misconfigured, match="labels"):
        check_accounts(accepted, "n2", NODES)


def test_with_postgresql_a_node_looks_at_its_own_files_where_it_is_eligible(tmp_path, ready):
    config = load(tmp_path, ready.replace('url = "sqlite:///state/orders.sqlite3"', 'url_file = "url"'))
    with pytest.raises(Misconfigured, match="journal URL file"):
        check_accounts(config, "n1", NODES)
    write_0600(tmp_path / "url", "postgresql+psycopg://u:p@db/x")
    check_accounts(config, "n1", NODES)
    (tmp_path / "passphrase").unlink()
    check_accounts(config, "n2", NODES)  # it lacks the labels: other nodes have the files
    with pytest.raises(Misconfigured, match="passphrase"):
        check_accounts(config, "n1", NODES)


def test_without_accounts_nothing_is_looked_at(tmp_path):
    check_accounts(load(tmp_path, "[journal]\npinned = true\n[exchanges.binance]\n"), "n1", NODES)
