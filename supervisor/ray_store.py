"""Stores plain values that survive the supervisor in the key-value store of Ray's GCS, by mesh."""

from __future__ import annotations

import time
from typing import Any

import msgpack
from ray.experimental import internal_kv

from ..actors.cell.ray_calls import AWAY
from .retrying_store import StoreAway

_NAMESPACE = b"venuemesh"
EPOCH = "epoch"


class GcsStore:
    """The values of one mesh. Every method blocks and raises `StoreAway` while the GCS does not answer."""

    def __init__(self, mesh: str) -> None:
        self._prefix = f"{mesh}/"

    def get(self, name: str) -> Any:
        """Return the value of a name, or None."""
        raw = self._do(internal_kv._internal_kv_get, self._key(name))
        return None if raw is None else msgpack.unpackb(raw, strict_map_key=False)

    def put(self, name: str, value: Any) -> None:
        self._do(internal_kv._internal_kv_put, self._key(name), msgpack.packb(value), overwrite=True)

    def delete(self, name: str) -> None:
        self._do(internal_kv._internal_kv_del, self._key(name))

    def names(self, beginning: str) -> list[str]:
        """Return the names of all values that begin so."""
        keys: list[bytes] = self._do(internal_kv._internal_kv_list, self._key(beginning))
        return [key.decode().removeprefix(self._prefix) for key in keys]

    def next_epoch(self) -> int:
        """Return an epoch above all earlier ones, and never below the wall clock in ms."""
        epoch = max((self.get(EPOCH) or 0) + 1, time.time_ns() // 1_000_000)
        self.put(EPOCH, epoch)
        return epoch

    def clear(self) -> None:
        """Delete all values except the epoch."""
        for key in self._do(internal_kv._internal_kv_list, self._prefix.encode()):
            if key != self._key(EPOCH):
                self._do(internal_kv._internal_kv_del, key)

    def _key(self, name: str) -> bytes:
        return f"{self._prefix}{name}".encode()

    def _do(self, operation: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return operation(*arguments, **options, namespace=_NAMESPACE)
        except AWAY as error:
            raise StoreAway(f"{type(error).__name__}: {error}"[:300]) from error
