"""Finds the proxy that the environment sets (HTTPS_PROXY, ALL_PROXY, NO_PROXY, the platform's settings)."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass


def proxy_for(url: str) -> str | None:
    """Return the proxy's URL for `url` (`http`, `https`, `ws` or `wss`), or None for a direct connection."""
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    secure = parts.scheme in ("https", "wss")
    proxies = getproxies()
    return proxies.get("https" if secure else "http") or proxies.get("all")
