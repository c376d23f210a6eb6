"""The class of each role, the imports of a spare, and that accounts' children fit their roles."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.fakes.context import context_of
from tests.fakes.planted import find_in_text, plant, write_0600
from venuemesh.actors.cell.kinds import KINDS, build, load
from venuemesh.actors.cell.role import RoleSpec
from venuemesh.config.mesh import check_config
from venuemesh.model.errors import Misconfigured
from venuemesh.supervisor.tree.desired import Desired


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_names_a_role(kind):
    role = load(kind)
    for method in ("start", "stop", "handle", "poll", "status", "beat"):
        assert callable(getattr(role, method)), f"{kind} has no {method}"
    assert isinstance(role.reads, frozenset)


def test_an_invalid_kind():
    for kind in ("nothing", "venuemesh.actors.book.role:Nothing", "nowhere.at.all:Role"):
        with pytest.raises(Misconfigured):
            load(kind)


def test_only_a_spare_for_managers_imports_the_database_library():
    look = (
        "import sys; from venuemesh.actors.cell.kinds import preload; preload({}); print('sqlalchemy' in sys.modules)"
    )
    for trading in (False, True):
        done = subprocess.run(
            [sys.executable, "-c", look.format(trading)], capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stdout.strip() == str(trading)


def test_the_children_of_an_account_are_what_their_roles_take(tmp_path):
    planted = plant("ed25519")
    account = {
        "api_key_file": str(write_0600(tmp_path / "key", planted.api_key)),
        "secret_file": str(write_0600(tmp_path / "secret", planted.secret)),
        "max_order_notional": "100",
        "account_limits": {"orders_10s": [100, 10.0]},
        "pairs": {"BTC-USDT": {"max_open_orders": 3}},
    }
    config = check_config({"exchanges": {"binance": {"accounts": {"main": account}}}}, "here")
    specs = {spec.address: spec for spec in Desired(config.for_supervisor("node", tmp_path)).first_specs()}

    for address in ("orders/binance/main", "stream/binance/main"):
        spec = specs[address]
        role = build(RoleSpec(spec.kind, spec.config), context_of(address, segments=tmp_path))
        assert find_in_text([planted], repr(spec) + repr(spec.to_dict()) + repr(role)) == []
