"""Reads an account's configuration into what its machine is given. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

from ...connectors.spec import Limit
from ...model.errors import Misconfigured
from ...model.ids import PREFIX
from .machine.effects import Limits, OrderSettings

ID_DIGITS = 9  # of the time in an id: see `model.ids`
_GIVEN = {"exchange", "account", "limits", "pair_limits"}


def order_settings(config: Mapping[str, Any]) -> OrderSettings:
    """Return the settings of an account; its `settings` table overrides single fields by name.

    Raises:
        Misconfigured: a field that there is not.
    """
    found = OrderSettings(
        exchange=str(config["exchange"]),
        account=str(config["account"]),
        limits=_limits(config),
        pair_limits={pair: _limits(own) for pair, own in (config.get("pairs") or {}).items()},
    )
    given = {name: value for name, value in (config.get("settings") or {}).items() if name != "processing_s"}
    known = {one.name for one in fields(OrderSettings)} - _GIVEN
    if unknown := set(given) - known:
        raise Misconfigured(f"settings of {found.account}", f"there is no {', '.join(sorted(unknown))}")
    changes: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in given.items()}
    return replace(found, **changes)


def _limits(config: Mapping[str, Any]) -> Limits:
    return Limits(
        config.get("max_open_orders"),
        _decimal(config.get("max_order_notional")),
        _decimal(config.get("price_band")),
    )


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def account_limits(given: Mapping[str, Any]) -> dict[str, Limit]:
    """Read limits on orders that override the connector's: name -> [amount, seconds]."""
    return {name: Limit(int(amount), float(per_s), "account") for name, (amount, per_s) in given.items()}


def born(client_order_id: str) -> int | None:
    """When the maker of an id began, ns since the Unix epoch: the id is not older. None: not an id of ours."""
    text = client_order_id.removeprefix(PREFIX)[:ID_DIGITS]
    if not client_order_id.startswith(PREFIX) or len(text) < ID_DIGITS:
        return None
    try:
        return int(text, 36) * 1_000_000
    except ValueError:
        return None
