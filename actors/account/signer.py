"""Where keys are read: once, on the node that signs, in the process that signs, when its role starts.

The key becomes the connector's `Auth` and is dropped; nothing else of it stays here. Configuration names files, never
secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...connectors.order_codec import Auth, TradingConnector
from ...keystore.secrets import read_key_async


async def open_auth(config: Mapping[str, Any], connector: TradingConnector) -> Auth:
    """Read the key that `config` names and return what signs with it. A keystore takes about 0.1 s, in a thread.

    Raises:
        Misconfigured: the key cannot be read or used; names the file and what is wrong, never the content.
    """
    key = await read_key_async(config)
    return connector.auth(key.kind, key.api_key, key.secret)
