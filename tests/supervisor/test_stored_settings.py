"""The settings of a mesh in the store: those of the newest creation, while the store is away, and after a shutdown."""

from __future__ import annotations

import pytest

from tests.fakes.cells import FakeStore
from tests.fakes.settings import mesh_settings
from venuemesh.supervisor.stored_settings import drop_settings, get_settings, put_settings

SETTINGS = mesh_settings("m", exchanges={"binance": {"pairs": ["BTC-USDT"]}})


def test_a_creation_has_its_own_settings_and_forgets_earlier_ones():
    store = FakeStore()
    earlier, birth = put_settings(store, mesh_settings("m")), put_settings(store, SETTINGS)
    found = get_settings(store, birth)
    assert (found.birth, found.exchanges) == (birth, SETTINGS.exchanges)
    with pytest.raises(LookupError, match="shut down"):
        get_settings(store, earlier)


def test_settings_of_a_creation_that_failed_are_dropped():
    store = FakeStore()
    birth, failed = put_settings(store, SETTINGS), put_settings(store, SETTINGS)
    drop_settings(store, failed)
    assert store.names("settings/") == [f"settings/{birth}"]


def test_a_supervisor_waits_for_a_store_that_is_away():
    store = FakeStore()
    birth = put_settings(store, SETTINGS)
    store.away = 2
    assert get_settings(store, birth).birth == birth
    assert store.failures == 2
