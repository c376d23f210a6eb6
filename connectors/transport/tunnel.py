"""Connections through SOCKS proxies, and the errors that every library of the transports uses for the network."""

from __future__ import annotations

import os
import socket

import aiohttp
from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError, ProxyType
from python_socks.async_.asyncio import Proxy as Tunnel

from .proxy import Proxy

SOCKS_ERRORS = (ProxyError, ProxyTimeoutError, ProxyConnectionError)
# OSError: sockets, names and TLS. EOFError: a stream that ended. RuntimeError: uvloop and aiohappyeyeballs.
NETWORK_ERRORS = (OSError, TimeoutError, EOFError, RuntimeError, aiohttp.ClientError, *SOCKS_ERRORS)


def is_network_error(error: BaseException) -> bool:
    """Return whether any library of the transports uses `error` for the network.

    aiohttp_socks raises its own errors from those of python-socks.
    """
    return isinstance(error, NETWORK_ERRORS) or isinstance(error.__cause__, SOCKS_ERRORS)


def system_reason(error: OSError) -> str:
    """Return the system's words for an error: "Connection refused", "Name or service not known"."""
    number = error.errno
    return os.strerror(number) if number is not None and number > 0 else error.strerror or str(error)


def _kind(proxy: Proxy) -> ProxyType:
    return ProxyType.SOCKS4 if proxy.scheme.startswith("socks4") else ProxyType.SOCKS5


async def open_tunnel(proxy: Proxy, host: str, port: int) -> socket.socket:
    """Return a socket that is connected to `host` through a SOCKS proxy. Raises NETWORK_ERRORS."""
    tunnel = Tunnel(_kind(proxy), proxy.host, proxy.port, proxy.username, proxy.password, proxy.resolves)
    connected: socket.socket = await tunnel.connect(host, port)
    return connected


def connector_through(proxy: Proxy, connections: int, keepalive_s: float) -> aiohttp.BaseConnector:
    """Make the connector of a session whose requests go through a SOCKS proxy."""
    from aiohttp_socks import ProxyConnector  # only where there is such a proxy

    connector: aiohttp.BaseConnector = ProxyConnector(
        proxy.host,
        proxy.port,
        _kind(proxy),
        proxy.username,
        proxy.password,
        proxy.resolves,
        limit=connections,
        keepalive_timeout=keepalive_s,
    )
    return connector
