"""From a configuration file to a traded order: key, children's configuration and roles, without a leaked secret.

No Ray: `account_host` hosts both roles of an account with the settings that the supervisor would give them.
"""

from __future__ import annotations

import io
import json
import time
from dataclasses import dataclass
from functools import partial

import pytest

from tests.fakes.account_host import Mesh, Place, order, placing
from tests.fakes.exchange_process import ExchangeProcess
from tests.fakes.planted import find_in_files, find_in_text, passphrase, plant, write_0600
from venuemesh.actors.cell.kinds import build
from venuemesh.actors.cell.ray_cell import logs
from venuemesh.actors.cell.role import RoleSpec
from venuemesh.config.mesh import load_config
from venuemesh.keystore.key import make_key
from venuemesh.keystore.store import Keystore
from venuemesh.model.errors import MeshError, RuleViolation
from venuemesh.model.ids import OrderIds
from venuemesh.model.plain import from_plain, to_plain
from venuemesh.supervisor.tree.desired import Desired
from venuemesh.supervisor.tree.settings import AccountSettings

PASSPHRASE = passphrase()
HMAC, ED25519 = plant("hmac", (PASSPHRASE,)), plant("ed25519", (PASSPHRASE,))
PLANTED = (HMAC, ED25519)
CONFIG = """
[journal]
url = "sqlite:///journal.sqlite3"
[exchanges.binance]
rest = "{exchange.rest}"
ws = "{exchange.ws}"
ws_api = "{exchange.ws_api}"
[exchanges.binance.accounts.main]
{key}
recv_window_ms = 1000
max_order_notional = "2000"
maker_fee = "0.0002"
taker_fee = "0.0004"
[exchanges.binance.accounts.main.pairs."BTC-USDT"]
max_open_orders = 2
"""
KEPT = 'keys = "main"\nkeystore = "keys/store"\npassphrase_file = "keys/passphrase"\norders = "websocket"'
MOUNTED = 'api_key_file = "keys/key"\nsecret_file = "keys/pem"\nstream = "polling"'


@dataclass
class Configured(Place):
    """A place with the settings of the configuration, as the supervisor makes them."""

    account_settings: AccountSettings | None = None

    def settings(self) -> AccountSettings:
        return from_plain(AccountSettings, json.loads(json.dumps(to_plain(self.account_settings))))


@pytest.fixture(scope="module")
def exchange(tmp_path_factory):
    public = tmp_path_factory.mktemp("public") / "ed25519.pem"
    public.write_text(ED25519.public_pem)
    with ExchangeProcess(
        *("--seed", "5", "--rate", "0"),
        *("--account", f"main:{HMAC.api_key}:{HMAC.secret}:BTC=5,USDT=100000"),
        *("--account-key", f"main:{ED25519.api_key}:@{public}"),
    ) as running:
        yield running


@pytest.fixture
def keys(tmp_path):
    """The private files, in a separate folder, because all other folders are searched."""
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    Keystore(folder / "store").add(
        "main", make_key("binance", HMAC.api_key, HMAC.secret), PASSPHRASE, added="2026-11-22"
    )
    write_0600(folder / "passphrase", PASSPHRASE)
    write_0600(folder / "key", ED25519.api_key + "\n")
    write_0600(folder / "pem", ED25519.secret)
    return folder


@pytest.mark.parametrize("how", [KEPT, MOUNTED], ids=["keystore", "mounted files"])
async def test_an_account_trades_as_configured_and_shows_no_secret(exchange, keys, tmp_path, how):
    log = io.StringIO()
    logs.set_up("test", log)
    (tmp_path / "mesh.toml").write_text(CONFIG.format(exchange=exchange, key=how))
    settings = load_config(tmp_path / "mesh.toml").for_supervisor("here", tmp_path)
    spec = {spec.address: spec for spec in Desired(settings).first_specs()}["orders/binance/main"]
    account = settings.exchanges["binance"].accounts["main"]
    place = Configured(
        exchange.rest, exchange.ws_api, spec.config.journal.url, "main", "", "", {}, account_settings=account
    )
    mesh, ids = Mesh(place), OrderIds(time.time_ns(), 7)
    first, second = ids(), ids()
    await mesh.start()
    try:
        said_ready = await mesh.ready()
        placed = await mesh("place", placing(order(first, "buy", "0.001", "50000")))
        assert placed[0]["status"] == "OPEN"
        with pytest.raises(RuleViolation) as caught:
            await mesh("place", placing(order(second, "buy", "1", "50000")))
        assert caught.value.rule == "max_order_notional"
        fees = await mesh("fees", {"pair": "BTC-USDT"})
        assert (fees["maker"], fees["taker"], fees["source"]) == ("0.0002", "0.0004", "configuration")
        cancelled = await mesh("cancel", {"id": first})
        assert cancelled["done"]
        shown = [
            said_ready,
            placed,
            fees,
            cancelled,
            await mesh("key_check"),
            spec.to_dict(),
            settings,
            str(caught.value),
        ]
        shown += [mesh.manager, mesh.stream, mesh.manager.status(), mesh.stream.status()]
    finally:
        await mesh.stop()
    assert not mesh.failures
    assert find_in_text(PLANTED, repr(shown)) == []
    assert find_in_text(PLANTED, log.getvalue()) == []
    searched = [path for path in tmp_path.iterdir() if path != keys]
    assert any(path.name == "journal.sqlite3" for path in searched)
    assert find_in_files(PLANTED, *searched) == []


@pytest.mark.parametrize("how", [KEPT, MOUNTED], ids=["keystore", "mounted files"])
async def test_a_key_that_cannot_be_read_ends_the_start_and_names_the_file(exchange, keys, tmp_path, how):
    log = io.StringIO()
    logs.set_up("test", log)
    (tmp_path / "mesh.toml").write_text(CONFIG.format(exchange=exchange, key=how))
    settings = load_config(tmp_path / "mesh.toml").for_supervisor("here", tmp_path)
    for path in keys.iterdir():
        path.chmod(0o644)
    for spec in Desired(settings).first_specs():
        if spec.kind not in ("orders", "stream"):
            continue
        mesh = Mesh(Configured("", "", f"sqlite:///{tmp_path}/x", "main", "", ""))
        make = partial(build, RoleSpec(spec.kind, spec.config))
        with pytest.raises(MeshError, match=f"chmod 600 {keys}") as caught:
            await mesh.cells.start(spec.address, make)
        logs.logger.opt(exception=caught.value).error("failed: this cell ends")
    assert find_in_text(PLANTED, log.getvalue()) == []
    assert "chmod 600" in log.getvalue()
