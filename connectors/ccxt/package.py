"""Finds the exchanges of the ccxt package, which is an optional extra: `pip install 'venuemesh[ccxt]'`.

ccxt is imported when the first connector `ccxt:ID` is used, because its import takes a second and all its classes.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from ...model.errors import Misconfigured, UnknownExchange
from ..registry import CCXT

PREFIX = CCXT
HOW = "install it with `pip install 'venuemesh[ccxt]'`"


@cache
def package() -> Any:
    """Return the package, with its websocket side loaded. Raises Misconfigured: it is not installed."""
    try:
        return import_module("ccxt.pro")
    except ImportError as error:
        raise Misconfigured("ccxt", f"the package cannot be imported ({error}); {HOW}") from error


@cache
def version() -> str:
    return str(import_module("ccxt").__version__) if package() else ""


def exchange_ids() -> list[str]:
    """Return every id of ccxt, sorted. Raises Misconfigured as `package`."""
    package()
    return sorted(import_module("ccxt.async_support").exchanges)


def has_websocket(exchange_id: str) -> bool:
    return exchange_id in package().exchanges


def exchange_class(exchange_id: str) -> type[Any]:
    """Return ccxt's asynchronous class of an exchange, with its websocket side where ccxt has one.

    Raises:
        UnknownExchange: ccxt has no such id; the error lists its ids.
        Misconfigured: as `package`.
    """
    if exchange_id not in exchange_ids():
        raise UnknownExchange(f"{PREFIX}{exchange_id}", [f"{PREFIX}{one}" for one in exchange_ids()])
    module = package() if has_websocket(exchange_id) else import_module("ccxt.async_support")
    found: type[Any] = getattr(module, exchange_id)
    return found
