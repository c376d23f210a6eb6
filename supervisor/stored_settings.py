"""The settings of a mesh in the store: the supervisor's constructor gets only the name of the mesh and of its settings.

Ray keeps an argument above 100 kB in the process that created the actor, and cannot start the actor again once that
process has ended: https://github.com/ray-project/ray/issues/53727, read 2026-11-29.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from typing import Any

from loguru import logger

from ..model.plain import from_tagged, to_tagged
from .retrying_store import AWAY, Store, StoreAway
from .tree.child import ChildSpec
from .tree.settings import MeshSettings

_PREFIX = "settings/"


def put_settings(store: Store, settings: MeshSettings) -> str:
    """Store the settings of a mesh that is created now; return their name, which is the `birth` of the mesh.

    The values are plain, because a later version of the code reads them, too. Raises StoreAway.
    """
    birth = uuid.uuid4().hex
    plain = to_tagged(replace(settings, birth=birth, children=()))
    children = [child.to_dict() for child in settings.children]
    store.put(_PREFIX + birth, {"settings": plain, "children": children})
    return birth


def get_settings(store: Store, birth: str) -> MeshSettings:
    """Return the settings of a mesh and delete those of earlier ones. Blocks while the store is away.

    Raises:
        LookupError: the mesh was shut down.
    """
    tries = 0
    while True:
        try:
            stored: dict[str, Any] | None = store.get(_PREFIX + birth)
            for name in store.names(_PREFIX):
                if name != _PREFIX + birth:
                    store.delete(name)
            break
        except StoreAway as error:  # a constructor that fails is not called again
            tries += 1
            if tries == 1:
                logger.warning("the store is away: the supervisor waits for its settings", error=str(error))
            time.sleep(AWAY.delay_s(tries))
    if stored is None:
        raise LookupError(f"there are no settings {birth}: the mesh was shut down")
    settings: MeshSettings = from_tagged(stored["settings"])
    return replace(settings, children=tuple(map(ChildSpec.from_dict, stored["children"])))


def drop_settings(store: Store, birth: str) -> None:
    """Delete the settings of a mesh that was not created. Raises StoreAway."""
    store.delete(_PREFIX + birth)
