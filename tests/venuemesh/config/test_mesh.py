"""Configuration errors name file, key and reason; the reference names every key."""

from pathlib import Path

import pytest

from venuemesh.config.accounts import AccountSettings, JournalSettings, PairLimits
from venuemesh.config.mesh import ExchangeSettings, MeshConfig, MeshSettings, RestartSettings, load_config
from venuemesh.connectors import registry
from venuemesh.model.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
GOOD = '[mesh]\nname = "m"\n[exchanges.binance]\npairs = ["BTC-USDT", "*-BTC"]\n'
OPTIONS = "[exchanges.binance.options]\n"


def load(tmp_path, text):
    path = tmp_path / "mesh.toml"
    path.write_text(text)
    return load_config(path)


def test_a_good_file(tmp_path):
    config = load(tmp_path, GOOD)
    plain = config.for_supervisor()
    assert plain["mesh"] == "m"
    assert plain["exchanges"]["binance"]["connector"] == "binance"
    assert plain["exchanges"]["binance"]["pairs"] == ["BTC-USDT", "*-BTC"]


def test_a_whole_number_is_good_for_seconds_and_a_base_url_has_its_own_scheme(tmp_path):
    urls = 'rest = "https://x.test:65535/a/"\nws = "ws://[::1]:1"\n'
    config = load(tmp_path, GOOD + "refresh_s = 60\n" + urls + "[exchanges.binance.options]\nsnapshot_limit = 500\n")
    exchange = config.exchanges["binance"]
    assert (exchange.refresh_s, exchange.options) == (60.0, {"snapshot_limit": 500})
    assert config.for_supervisor()["exchanges"]["binance"]["options"] == {"snapshot_limit": 500}
    assert (exchange.rest, exchange.ws) == ("https://x.test:65535/a", "ws://[::1]:1")
    assert MeshConfig.model_validate_json(config.model_dump_json()) == config  # the way it goes to a host process


def test_the_example_is_good():
    assert load_config(ROOT / "examples" / "mesh.toml").exchanges["binance"].pairs


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ("[mesh", "", "TOML"),
        ("", "", "no exchange"),
        (GOOD + "pears = 3\n", "exchanges.binance.pears", "no such key"),
        (GOOD.replace("BTC-USDT", "btcusdt"), "exchanges.binance.pairs", "BASE-QUOTE"),
        (GOOD.replace("*-BTC", "BTC-USDT"), "exchanges.binance.pairs", "twice"),
        (GOOD + "pairs_per_actor = 0\n", "exchanges.binance.pairs_per_actor", "greater"),
        (GOOD + "snapshot_limit = 7\n", "exchanges.binance.snapshot_limit", "no such key"),
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
        (GOOD + '[exchanges.again]\nconnector = "binance"\n', "", "spends the rate budget"),
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


def test_the_reference_names_every_key():
    text = (ROOT / "docs" / "configuration.md").read_text()
    for model in (MeshSettings, RestartSettings, ExchangeSettings, JournalSettings, AccountSettings, PairLimits):
        for key, field in model.model_fields.items():
            assert f"| `{key}` |" in text, f"{key} is not in the reference"
            assert field.description in text, f"the reference says something else of {key}"
    for name in registry.known():
        for option in registry.connector(name).spec.options:
            default = f'"{option.default}"' if isinstance(option.default, str) else option.default
            assert f"| `{name}` | `{option.name}` | `{default}` |" in text, f"{option.name} is not in the reference"
            assert option.words in text, f"the reference says something else of {option.name}"
    assert set(MeshConfig.model_fields) == {"mesh", "restart", "journal", "exchanges"}
