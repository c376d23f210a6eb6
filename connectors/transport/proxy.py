"""Finds the proxy that the environment sets (HTTPS_PROXY, ALL_PROXY, NO_PROXY, the platform's settings)."""

from __future__ import annotations

import os
import sys
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

SCHEMES = ("http", "https", "all", "no")


def proxy_for(url: str) -> str | None:
    """Return the proxy's URL for `url` (`http`, `https`, `ws` or `wss`), or None for a direct connection."""
    parts = urlsplit(url)
    if not parts.hostname:
        return None
    if sys.platform in ("darwin", "win32"):  # their settings are not in the environment alone
        proxies, direct = getproxies(), proxy_bypass(parts.hostname)
    else:
        proxies = _from_environment()
        direct = proxy_bypass(parts.hostname, proxies)
    if direct:
        return None
    secure = parts.scheme in ("https", "wss")
    return proxies.get("https" if secure else "http") or proxies.get("all")


def _from_environment() -> dict[str, str]:
    """Return proxies by scheme, as `getproxies` does.

    Variables are read by name: a walk through `os.environ` fails when another thread removes a variable meanwhile.
    """
    proxies = {}
    for scheme in SCHEMES:
        name = f"{scheme}_proxy"
        value = os.environ.get(name)
        if value is None and not (
            scheme == "http" and "REQUEST_METHOD" in os.environ
        ):  # a CGI request may set HTTP_PROXY
            value = os.environ.get(name.upper())
        if value:
            proxies[scheme] = value
    return proxies
