"""Makes requests from a spec's endpoints: complete public requests, and drafts of account requests, signed later."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TypeVar

from ..model.errors import Misconfigured
from ..model.http import HttpRequest
from ..model.instrument import Instrument
from .order_codec import Draft, Kind
from .spec import Endpoint, ExchangeSpec

Params = Sequence[tuple[str, str]]
T = TypeVar("T")
METHODS = ("GET", "POST", "PUT", "DELETE")


def public(
    endpoint: Endpoint, host: str, query: str = "", size: int | None = None, headers: tuple[tuple[str, str], ...] = ()
) -> HttpRequest:
    """Return a request that needs no key. `size`: the number of requested rows, if the cost depends on it."""
    return HttpRequest(endpoint.method, f"{host}{endpoint.path}{query}", headers, cost=endpoint.spends(size))


def recognised(spec: ExchangeSpec, path: str) -> str | None:
    """Return the name of the spec's endpoint with the path of a recorded URL."""
    return next((name for name, endpoint in spec.endpoints.items() if path.endswith(endpoint.path)), None)


def draft(
    kind: Kind,
    endpoint: Endpoint,
    host: str,
    params: Params,
    ids: tuple[str, ...] = (),
    pair: Instrument | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> Draft:
    """Return a draft for an endpoint; `ids` are the client order ids of the request."""
    return Draft(
        kind,
        (endpoint.method, endpoint.path),
        endpoint.call,
        tuple(params),
        ids,
        None if pair is None else pair.name,
        endpoint.cost,
        True,
        host,
        endpoint.order_count,
        headers=headers,
    )


def raw(
    spec: ExchangeSpec,
    host: str,
    request: tuple[str, str],
    params: Params,
    signed: bool,
    below: Iterable[str],
    assumed_cost: tuple[tuple[str, int], ...],
    headers: tuple[tuple[str, str], ...] = (),
) -> Draft:
    """Return the draft of any request (method, path), for `market.request`.

    `below`: the prefixes of the interface's paths. `assumed_cost`: the cost of a request that the spec does not list.

    Raises:
        Misconfigured: an unknown method, or a path that is not plain or not of the exchange's interface.
    """
    method, path = request
    if method not in METHODS:
        raise Misconfigured("method", f"{method!r} is not one of {', '.join(METHODS)}")
    plain = path.isascii() and path.isprintable() and not any(mark in path for mark in "?#% ") and ".." not in path
    if not plain or not path.startswith(tuple(below)):
        raise Misconfigured("path", f"{path!r} is not a path below {' or '.join(below)}")
    costs = [endpoint.cost for endpoint in spec.endpoints.values() if (endpoint.method, endpoint.path) == request]
    cost = max(costs, default=assumed_cost)
    return Draft(Kind.RAW, request, None, tuple(params), (), None, cost, signed, host, headers=headers)


def plain(number: Decimal) -> str:
    """Return plain decimal text without an exponent and without trailing zeros."""
    digits = f"{number:f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def batches(names: Sequence[T], size: int) -> list[Sequence[T]]:
    """Cut `names` into parts of at most `size`."""
    return [names[at : at + size] for at in range(0, len(names), size)]
