"""Shows the declared features of each installed connector, and the suites it has passed (`venuemesh exchanges`).

Only the suites in the connector's record are called supported. Nothing is sent to an exchange.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from ..conformance import record as records
from ..connectors import registry
from ..connectors.market_codec import Connector
from ..connectors.order_codec import trading_connector
from ..connectors.spec import REAL, BookSource, ExchangeSpec, Offer, Option, Proof
from ..model.errors import MeshError, NotOffered

UNTRIED = "No connector of venuemesh has run against its real exchange yet: all were tested on the local exchange,"
UNTRIED_BUT = "with recordings and with the messages in the manuals."
SUPPORTED = "Supported: all checks passed on the day shown; `venuemesh conformance EXCHANGE` runs the checks."
BEGIN = "Begin with `venuemesh connect EXCHANGE`: it tries each step and sends no order."
SOURCES = {
    BookSource.REST: "whole books by REST",
    BookSource.REQUESTED: "whole books on request",
    BookSource.PUSHED: "whole books in the feed",
    BookSource.EVERY_FRAME: "a whole book in every message",
}
PROOFS = {
    Proof.RANGE: "ranges of numbers prove that no change is missing",
    Proof.CHAIN: "a chain of numbers proves that no change is missing",
    Proof.STEP: "consecutive numbers prove that no change is missing",
    Proof.CHECKSUM: "checksums prove that no change is missing",
    Proof.CONNECTION: "only the connection proves that no change is missing",
}
TRANSPORTS = {"rest": "REST", "websocket": "websocket"}
# Features of interest to a trader, by the field of `Offer`
EXTRAS = {
    "amend": "amend",
    "replace": "replace",
    "cancel_all": "cancel all",
    "dead_man_s": "dead-man switch",
    "quote_amount": "market orders by quote amount",
}


def offers() -> dict[str, Any]:
    """Return the features of every installed connector as plain data for JSON."""
    exchanges = [_offers(name) for name in registry.known()]
    return {"exchanges": exchanges, "met_real_exchange": False}


def _offers(name: str) -> dict[str, Any]:
    try:
        connector = registry.connector(name)
        declared = {**_market(connector), "trading": _trading(connector)}
        return {"exchange": name, "error": None, **declared, **_passed(connector)}
    except MeshError as error:
        return {"exchange": name, "error": str(error)}


def _passed(connector: Connector) -> dict[str, Any]:
    """Return the suites that the record proves, and the record with the checks added since; None without a record."""
    record = records.found(connector)
    if record is None:
        return {"supported": [], "record": None}
    missing = record.missing()
    supported = [suite for suite, names in record.passed.items() if names and not missing[suite]]
    return {"supported": supported, "record": {**asdict(record), "not_run": missing}}


def _market(connector: Connector) -> dict[str, Any]:
    spec = connector.spec
    return {
        "sister_of": spec.sister_of,
        "market_data": {
            "books": {"source": spec.book.source.value, "proof": spec.book.proof.value, "window": spec.book.window},
            "trades": True,
            "tickers": "tickers" in spec.endpoints,
            "order_level": _order_level(spec),
        },
        "candles": list(spec.candles.intervals) if spec.candles is not None else [],
        "live_candles": spec.candles is not None and spec.candles.stream is not None,
        "options": [_option(option) for option in spec.options],
        "environments": [REAL, *spec.environments],
    }


def _order_level(spec: ExchangeSpec) -> dict[str, Any] | None:
    offer = spec.order_level
    if offer is None:
        return None
    feed = {"source": offer.book.source.value, "proof": offer.book.proof.value, "window": offer.book.window}
    return {**feed, "needs_account": offer.needs_account}


def _option(option: Option[Any]) -> dict[str, Any]:
    return {
        "name": option.name,
        "default": option.default,
        "choices": list(option.choices),
        "least": option.least,
        "most": option.most,
        "meaning": option.words,
    }


def _trading(connector: Connector) -> dict[str, Any] | None:
    try:
        offer: Offer = trading_connector(connector).trading().offer
    except NotOffered:
        return None
    return {
        "user_stream": offer.stream,
        "orders": ["rest", "websocket"] if offer.ws_orders else ["rest"],
        "order_types": sorted(kind.value for kind in offer.order_types),
        "times_in_force": sorted(kind.value for kind in offer.times_in_force),
        "order_lists": sorted(offer.order_lists),
        "batch_place": offer.batch_place,
        "batch_cancel": offer.batch_cancel,
        **{field: getattr(offer, field) for field in EXTRAS},
        **{field: sorted(change.value for change in getattr(offer, field)) for field in ("amend", "amend_keeps_place")},
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield `offers()` as text."""
    rows = {each["exchange"]: each for each in found["exchanges"]}
    alike = {name: main for name, each in rows.items() if (main := _main_of(each, rows)) is not None}
    for name, each in rows.items():
        if name in alike:
            continue
        yield name
        if each["error"] is not None:
            yield f"  cannot be used: {each['error']}"
            continue
        spec = registry.connector(name).spec
        yield f"  market data   {_market_text(spec, each['market_data'])}"
        live = ", also live" if each["live_candles"] else ""
        if (offer := spec.order_level) is not None:
            whose = ", for accounts" if offer.needs_account else ""
            yield f"  order-level   books ({SOURCES[offer.book.source]}; {PROOFS[offer.book.proof]}){whose}"
        yield f"  candles       {', '.join(each['candles']) or 'not offered'}{live}"
        yield from (f"  {text}" for text in _trading_lines(each["trading"]))
        yield from _option_lines(each["options"])
        yield f"  environments  {', '.join(each['environments'])}"
        yield from (f"  {text}" for text in _record_lines(each["supported"], each["record"]))
        if sisters := [sister for sister, main in alike.items() if main == name]:
            yield f"  sisters       {', '.join(sisters)}: the same at other hosts; the suites ran for {name} only"
    yield ""
    yield from (UNTRIED, UNTRIED_BUT, SUPPORTED, BEGIN)


def _main_of(each: dict[str, Any], rows: Mapping[str, dict[str, Any]]) -> str | None:
    """Return the exchange from which this exchange differs only in hosts; None: it has separate lines."""
    main = rows.get(each.get("sister_of") or "")
    if main is None or any(each.get(part) != main.get(part) for part in ("market_data", "candles", "trading")):
        return None
    return str(main["exchange"])


def _record_lines(supported: list[str], record: dict[str, Any] | None) -> Iterator[str]:
    if record is None:
        yield "supported     nothing: the connector has no record of passed checks"
        return
    counts = []
    for suite, names in record["passed"].items():
        skipped = len(record["skipped"].get(suite, ()))
        apart = f", {skipped} do not apply" if skipped else ""
        newer = len(record["not_run"][suite])
        later = f", {newer} newer {'check' if newer == 1 else 'checks'} did not run" if newer else ""
        counts.append(f"{len(names)} checks of {suite} passed{apart}{later}")
    yield f"supported     {', '.join(supported) or 'nothing'} ({record['date']}, version {record['version']})"
    yield from (f"              {text}" for text in counts)
    scanner = f", and {record['scanner_lines']} of a byte scanner" if record["scanner_lines"] else ""
    yield f"code          {sum(record['lines'].values())} lines{scanner}"


def _market_text(spec: ExchangeSpec, market: dict[str, Any]) -> str:
    chosen = " by default" if any(option.default == spec.book.window for option in spec.options) else ""
    window = f", {spec.book.window} levels a side{chosen}" if spec.book.window else ""
    tickers = ", 24-hour tickers" if market["tickers"] else ""
    return f"books ({SOURCES[spec.book.source]}{window}; {PROOFS[spec.book.proof]}), trades{tickers}"


def _trading_lines(trading: dict[str, Any] | None) -> Iterator[str]:
    if trading is None:
        yield "user stream   not offered"
        yield "trading       not offered"
        return
    yield f"user stream   {'by websocket, or by polling' if trading['user_stream'] else 'by polling only'}"
    extras = [words for field, words in EXTRAS.items() if trading[field]]
    extras += [f"order lists {', '.join(trading['order_lists'])}"] if trading["order_lists"] else []
    extras += [f"batches of up to {trading['batch_place']} orders"] if trading["batch_place"] else []
    extras += [f"batches of up to {trading['batch_cancel']} cancels"] if trading["batch_cancel"] else []
    transports = " or ".join(TRANSPORTS[transport] for transport in trading["orders"])
    yield f"trading       orders by {transports}: {', '.join(trading['order_types'])}"
    more = ", ".join(extras) or "nothing beyond place and cancel"
    yield f"              {', '.join(trading['times_in_force'])}; {more}"


def _option_lines(options: list[dict[str, Any]]) -> Iterator[str]:
    head = "options"
    for option in options:
        bounds = [f"from {option['least']}"] if option["least"] is not None else []
        bounds += [f"to {option['most']}"] if option["most"] is not None else []
        allowed = ", ".join(map(str, option["choices"])) or " ".join(bounds)
        value = str(option["default"]).lower() if isinstance(option["default"], bool) else option["default"]
        yield f"  {head:<13} {option['name']} = {value}{f' ({allowed})' if allowed else ''}: {option['meaning']}"
        head = ""
    if not options:
        yield "  options       none"
