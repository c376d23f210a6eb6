"""Configuration errors name file, key and reason; the reference names every key."""

import ast
import inspect
import json
import re
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from tests.fakes.connectors import lent
from tests.fakes.order_styles import CHECKSUM, order_connector
from venuemesh.actors.book.settings import BookSettings
from venuemesh.actors.catalog.settings import CatalogSettings
from venuemesh.actors.limits.settings import LimitsSettings
from venuemesh.config import accounts, mesh
from venuemesh.config.accounts import AccountTable, JournalTable, PairTable
from venuemesh.config.mesh import ExchangeTable, MeshConfig, MeshTable, RestartTable, check_config, load_config
from venuemesh.connectors import registry
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.model.errors import ConfigError
from venuemesh.supervisor.tree.child import ChildSpec
from venuemesh.supervisor.tree.settings import ExchangeSettings, MeshSettings

TABLES = (MeshTable, RestartTable, ExchangeTable, JournalTable, AccountTable, PairTable)
ROOT = Path(__file__).resolve().parents[3]
GOOD = '[mesh]\nname = "m"\n[exchanges.binance]\npairs = ["BTC-USDT", "*-BTC"]\n'
OPTIONS = "[exchanges.binance.options]\n"


def load(tmp_path, text):
    path = tmp_path / "mesh.toml"
    path.write_text(text)
    return load_config(path)


def test_nesting_without_end_is_an_error_of_the_file(tmp_path):
    with pytest.raises(ConfigError, match="nested too deeply"):
        load(tmp_path, "a = " + "[" * 10_000)


@pytest.mark.parametrize("text", ['[mesh]\n"{long}" = 1', '[mesh]\nname = "{long}"', "[mesh]\n{long}", '["{long}"]'])
def test_an_error_repeats_only_the_beginning_of_a_long_text(tmp_path, text):
    path = tmp_path / "mesh.toml"
    path.write_text(text.replace("{long}", "x\\u001b" * 5_000 if '"' in text else "x" * 100_000))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert len(str(caught.value)) < 3_000
    assert str(caught.value).startswith(f"{path}: ")


def test_a_good_file(tmp_path):
    config = load(tmp_path, GOOD)
    settings = config.for_supervisor()
    connector = ConnectorSettings("binance")
    books = ExchangeSettings(
        LimitsSettings(connector), CatalogSettings(connector), BookSettings(connector), pairs=("BTC-USDT", "*-BTC")
    )
    assert settings == MeshSettings("m", {"binance": books})


def test_the_supervisor_prefers_nodes_by_their_labels(tmp_path):
    labels = '{region = "west", "example.com/role" = "control"}'
    settings = load(tmp_path, GOOD.replace('"m"\n', f'"m"\nsupervisor_nodes = {labels}\n')).for_supervisor()
    assert settings.supervisor_nodes == {"region": "west", "example.com/role": "control"}


def test_a_whole_number_is_good_for_seconds_and_a_base_url_has_its_own_scheme(tmp_path):
    urls = 'rest = "https://x.test:65535/a/"\nws = "ws://[::1]:1"\n'
    config = load(tmp_path, GOOD + "refresh_s = 60\n" + urls + "[exchanges.binance.options]\nsnapshot_limit = 500\n")
    exchange = config.exchanges["binance"]
    assert (exchange.refresh_s, exchange.options) == (60.0, {"snapshot_limit": 500})
    assert config.for_supervisor().exchanges["binance"].connector.options == {"snapshot_limit": 500}
    assert (exchange.rest, exchange.ws) == ("https://x.test:65535/a", "ws://[::1]:1")
    assert MeshConfig.model_validate_json(config.model_dump_json()) == config  # the way it goes to a host process


def test_the_example_is_good():
    assert load_config(ROOT / "examples" / "mesh.toml").exchanges["binance"].pairs


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ("[mesh", "", "TOML"),
        ("", "", "no exchange"),
        ('[mesh]\nsupervisor_nodes = {zone = "!in(a)"}\n', "mesh.supervisor_nodes.zone", "match"),
        ('[mesh]\nsupervisor_nodes = {"a b" = "c"}\n', "mesh.supervisor_nodes.a b.[key]", "match"),
        (GOOD + "pears = 3\n", "exchanges.binance.pears", "not exist; the keys of this table are accounts, books, "),
        (GOOD.replace("BTC-USDT", "btcusdt"), "exchanges.binance.pairs", "BASE-QUOTE"),
        (GOOD.replace("BTC-USDT", "btc/usdt"), "exchanges.binance.pairs", "did you mean BTC-USDT"),
        (GOOD.replace("*-BTC", "BTC-USDT"), "exchanges.binance.pairs", "twice"),
        (GOOD + "pairs_per_actor = 0\n", "exchanges.binance.pairs_per_actor", "greater"),
        (GOOD + "snapshot_limit = 7\n", "exchanges.binance.snapshot_limit", "this key does not exist"),
        (GOOD + 'environment = "moon"\n', "exchanges.binance.environment", "'moon' is not one of real, testnet"),
        (GOOD + OPTIONS + "depth = 7\n", "exchanges.binance.options.depth", "are depth_speed, snapshot_limit"),
        (GOOD + OPTIONS + "snapshot_limit = 0\n", "exchanges.binance.options.snapshot_limit", "1 and at most 5000"),
        (GOOD + OPTIONS + "snapshot_limit = true\n", "exchanges.binance.options.snapshot_limit", "a whole number"),
        (GOOD + OPTIONS + "depth_speed = 100\n", "exchanges.binance.options.depth_speed", "100ms, 1000ms"),
        (GOOD + OPTIONS + 'depth_speed = "1ms"\n', "exchanges.binance.options.depth_speed", "100ms, 1000ms"),
        (GOOD + 'rest = "api.example.com"\n', "exchanges.binance.rest", "not a URL"),
        (GOOD + 'rest = "ws://127.0.0.1:1"\n', "exchanges.binance.rest", "https://host"),
        (GOOD + 'ws = "https://127.0.0.1:1"\n', "exchanges.binance.ws", "wss://host:port"),
        (GOOD + 'rest = "http://127.0.0.1:99999"\n', "exchanges.binance.rest", "ort"),
        (GOOD + 'rest = "http://127.0.0.1:0"\n', "exchanges.binance.rest", "port"),
        (GOOD + 'ws = "ws://127.0.0.1:x"\n', "exchanges.binance.ws", "ort"),
        (GOOD + 'ws = "ws://:80"\n', "exchanges.binance.ws", "host"),
        (GOOD + 'ws = "ws://[::1"\n', "exchanges.binance.ws", "not a URL"),
        (GOOD + "levels = true\n", "exchanges.binance.levels", "integer"),
        (GOOD + "levels = 5.0\n", "exchanges.binance.levels", "integer"),
        (GOOD + 'levels = "5"\n', "exchanges.binance.levels", "integer"),
        (GOOD + "refresh_s = true\n", "exchanges.binance.refresh_s", "number"),
        (GOOD + 'refresh_s = "5"\n', "exchanges.binance.refresh_s", "number"),
        (GOOD.replace('["BTC-USDT", "*-BTC"]', "[7]"), "exchanges.binance.pairs.0", "string"),
        (GOOD.replace('["BTC-USDT", "*-BTC"]', '"BTC-USDT"'), "exchanges.binance.pairs", "tuple"),
        (GOOD.replace('"m"', '"A B"'), "mesh.name", "pattern"),
        (GOOD + '[exchanges.again]\nconnector = "binance"\n', "", "already spends the rate budget"),
        (GOOD.replace("[exchanges.binance]", "[exchanges.nowhere]"), "", "no connector 'nowhere'"),
    ],
)
def test_errors_name_file_key_and_reason(tmp_path, text, key, reason):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert caught.value.file == str(tmp_path / "mesh.toml")
    assert caught.value.key == key
    assert reason in caught.value.reason
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml")


def settings_classes():
    """Every settings dataclass that a mesh's settings are made of, and the fields of each."""
    found, waiting = {ChildSpec}, [MeshSettings]
    while waiting:
        cls = waiting.pop()
        if cls in found:
            continue
        found.add(cls)
        hints = get_type_hints(cls)
        waiting += [part for field in fields(cls) for part in parts(hints[field.name]) if is_dataclass(part)]
    return found - {ChildSpec}


def parts(kind):
    return [kind, *(part for argument in get_args(kind) for part in parts(argument))]


def test_no_default_of_the_settings_stands_in_a_model_too():
    """A field of a model whose name a settings dataclass has takes its default from there, or is absent (None)."""
    with_default = {
        field.name for cls in settings_classes() for field in fields(cls) if field.default not in (MISSING, None)
    }
    assert {"levels", "intensity", "hang_limit_s", "recv_window_ms", "keep_days"} <= with_default
    twice = []
    for module in (accounts, mesh):
        for model in (node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.ClassDef)):
            for line in (node for node in model.body if isinstance(node, ast.AnnAssign) and node.value is not None):
                given = line.value.args[0] if isinstance(line.value, ast.Call) and line.value.args else line.value
                name = line.target.id
                if name in with_default and isinstance(given, ast.Constant) and given.value is not None:
                    twice.append(f"{model.name}.{name} = {given.value!r}")
    assert not twice


def test_roles_and_supervisor_read_no_setting_with_their_own_default():
    reads = re.compile(r"\b(config|settings)\.get\(")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in ("actors", "supervisor", "keystore", "journal")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in path.read_text().splitlines()
        if reads.search(line)
    ]
    assert not found


def test_order_level_books_need_a_connector_that_has_them_and_where_it_says_so_an_account():
    made = order_connector(CHECKSUM)
    offer = replace(made.spec.order_level, needs_account=True, ws="wss://l3.example")
    for spec, table, key, reason in (
        (replace(made.spec, order_level=None), {}, "books", "acme does not offer order-level books"),
        (replace(made.spec, order_level=offer), {}, "books", "add a table [exchanges.acme.accounts.NAME]"),
        (made.spec, {"books_account": "main"}, "books_account", "there is no account 'main'"),
        (made.spec, {"books": "levels", "books_account": "main"}, "books_account", 'with books = "orders" only'),
        (replace(made.spec, order_level=offer), {"ws": "wss://other"}, "ws_l3", "name the host of order-level books"),
        (replace(made.spec, order_level=offer), {"ws_l3": "ws://far"}, "ws_l3", "in clear over the network"),
    ):
        with lent(replace(made, spec=spec)), pytest.raises(ConfigError) as caught:
            check_config({"exchanges": {"acme": {"books": "orders", **table}}}, "t")
        assert caught.value.key == f"exchanges.acme.{key}"
        assert reason in str(caught.value)
    with lent(made):
        config = check_config({"exchanges": {"acme": {"books": "orders", "ws_l3": "wss://l3"}}}, "t")
    book = config.for_supervisor().exchanges["acme"].book
    assert (book.books, book.account, book.connector.ws_l3) == ("orders", None, "wss://l3")


def test_an_environment_reaches_every_role_and_has_a_separate_rate_budget():
    tables = {"binance": {}, "test": {"connector": "binance", "environment": "testnet"}}
    tables["test"]["accounts"] = {"main": {"api_key_file": "/k", "secret_file": "/s"}}
    settings = check_config({"exchanges": tables}, "test").for_supervisor("node", Path("/tmp"))
    made = settings.exchanges["test"]
    parts = [made.limits.connector, made.catalog.connector, made.book.connector]
    parts += [made.accounts["main"].stream.gateway.connector, made.accounts["main"].orders.gateway.connector]
    assert {part.environment for part in parts} == {"testnet"}
    assert settings.exchanges["binance"].limits.connector.environment is None


def test_the_reference_names_every_key():
    text = (ROOT / "docs" / "configuration.md").read_text()
    for model in TABLES:
        for key, field in model.model_fields.items():
            assert f"| `{key}` |" in text, f"{key} is not in the reference"
            assert field.description in text, f"the reference says something else of {key}"
            default = field.default if field.default_factory is None else field.default_factory()
            shown = "none" if default is None else f"`{json.dumps(default)}`" if default not in ((), {}) else "empty"
            assert f"| `{key}` | {shown} | {field.description} |" in text, f"the reference has another default of {key}"
    for name in registry.known():
        spec = registry.connector(name).spec
        shared = registry.connector(spec.sister_of).spec.options if spec.sister_of is not None else ()
        assert not shared or f"`{name}`" in text, f"{name} is not in the reference"
        for option in (one for one in spec.options if one not in shared):
            default = json.dumps(option.default)
            assert f"| `{name}` | `{option.name}` | `{default}` |" in text, f"{option.name} is not in the reference"
            assert option.words in text, f"the reference says something else of {option.name}"
    assert set(MeshConfig.model_fields) == {"mesh", "restart", "journal", "exchanges"}
