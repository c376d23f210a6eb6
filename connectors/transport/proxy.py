"""Finds the proxy that the environment sets (HTTPS_PROXY, ALL_PROXY, NO_PROXY, the platform's settings).

REST and websockets use the same proxy in the same way. As curl does, `socks5h` and `socks4a` leave names to the proxy,
`socks5` and `socks4` look them up here.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from ...model.errors import Misconfigured

SCHEMES = ("http", "https", "all", "no")
PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, from the value of a variable."""

    scheme: str  # one of PORTS
    host: str
    port: int
    username: str | None
    password: str | None

    @property
    def is_socks(self) -> bool:
        return self.scheme.startswith("socks")

    @property
    def resolves(self) -> bool:
        """Whether the proxy looks up the names of hosts."""
        return self.scheme in ("socks5h", "socks4a")

    @property
    def url(self) -> str:
        user = "" if self.username is None else f"{quote(self.username, '')}:{quote(self.password or '', '')}@"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{user}{host}:{self.port}"


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy for `url` (`http`, `https`, `ws` or `wss`), or None for a direct connection.

    Raises:
        Misconfigured: the variable's value is not a proxy that REST and websockets can use. Nothing was sent.
    """
    parts = urlsplit(url)
    if not parts.hostname:
        return None
    if sys.platform in ("darwin", "win32"):  # their settings are not in the environment alone
        proxies, direct = getproxies(), proxy_bypass(parts.hostname)
        named = {scheme: (f"{scheme}_proxy", value) for scheme, value in proxies.items()}
    else:
        named = _from_environment()
        direct = proxy_bypass(parts.hostname, {scheme: value for scheme, (_, value) in named.items()})
    if direct:
        return None
    found = named.get("https" if parts.scheme in ("https", "wss") else "http") or named.get("all")
    return None if found is None else _parsed(*found)


def _from_environment() -> dict[str, tuple[str, str]]:
    """Return variable and value by scheme, chosen as `getproxies` does.

    Variables are read by name: a walk through `os.environ` fails when another thread removes a variable meanwhile.
    """
    proxies = {}
    for scheme in SCHEMES:
        name = f"{scheme}_proxy"
        value = os.environ.get(name)
        if value is None and not (
            scheme == "http" and "REQUEST_METHOD" in os.environ
        ):  # a CGI request may set HTTP_PROXY
            name = name.upper()
            value = os.environ.get(name)
        if value:
            proxies[scheme] = name, value
    return proxies


def _parsed(variable: str, value: str) -> Proxy:
    """Read a variable's value; without a scheme it is an HTTP proxy. No error shows the value, which has a password."""
    given = value.strip()
    try:
        parts = urlsplit(given if "://" in given else f"http://{given}")
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError as error:
        raise Misconfigured(f"the variable {variable}", f"its value is not a URL: {error}") from None
    if scheme not in PORTS:
        raise Misconfigured(f"the variable {variable}", f"{scheme}:// is not one of {', '.join(PORTS)}")
    if not host:
        raise Misconfigured(f"the variable {variable}", "its value names no host")
    user, password = (None if text is None else unquote(text) for text in (parts.username, parts.password))
    return Proxy(scheme, host, port or PORTS[scheme], user, password)
