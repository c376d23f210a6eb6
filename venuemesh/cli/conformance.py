"""`venuemesh conformance`: run the suites for one connector, on its samples and on an exchange."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from .. import __version__
from ..conformance import record as records
from ..conformance.market.checks import MarketDataConformance
from ..conformance.market.live import TITLES, choose, plan, run_live
from ..conformance.market.stopped import Faulty, StoppedStreams
from ..conformance.runner import Outcome, Result, checks, run_checks, samples_of, suite_of
from ..conformance.trading import sizes
from ..conformance.trading.checks import TradingConformance
from ..conformance.trading.venue import Venue
from ..connectors import registry
from ..connectors.market_codec import Connector
from ..connectors.order_codec import Kind, TradingConnector, trading_connector
from ..connectors.transport import Rest
from ..model.errors import MeshError, Misconfigured, NotOffered
from ..model.instrument import Instrument
from .keys import field_files
from .local_venue import SPEAKS, local_faults, local_rules, local_venue, protocol_of


@dataclass(frozen=True, slots=True)
class Trade:
    """Whether to trade, where, and with which account. `account` names the files of a key; None: the local exchange.

    Raises:
        Misconfigured: `orders` or `stream` is not a known word.
    """

    wanted: bool = True
    account: Mapping[str, Any] | None = None
    ws_api: str | None = None
    orders: str = "rest"
    stream: str = "websocket"

    def __post_init__(self) -> None:
        for name, known in (("orders", ("rest", "websocket")), ("stream", ("websocket", "polling"))):
            if getattr(self, name) not in known:
                raise Misconfigured(f"--{name}", f"{getattr(self, name)!r} is not one of {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class Plan:
    """The scope of a run: the samples (from a file, or the connector's samples), an exchange if `live`, and trading.

    With a key (`trade.account`) the checks trade at the given URLs, else at the connector's testnet. Without a key they
    trade on the local exchange, unless `live`.
    """

    exchange: str
    samples: Path | None
    live: bool
    rest: str | None
    ws: str | None
    pair: str | None
    seconds: float
    trade: Trade = field(default_factory=Trade)
    record: Path | None = None

    def __post_init__(self) -> None:
        """Raises Misconfigured: `record` is given, but the run does not use the connector's own samples."""
        if self.record is not None and (self.live or self.samples is not None or self.trade.account is not None):
            raise Misconfigured("--record", "a record needs the connector's own samples and the local exchange")


def _suite(wanted: Plan) -> type[MarketDataConformance] | None:
    connector = registry.connector(wanted.exchange)
    samples = samples_of(connector, wanted.samples)
    if samples is None and not wanted.live and wanted.trade.account is None:
        raise Misconfigured(
            f"conformance {wanted.exchange}", "the connector has no samples: give a file (--samples) or --live"
        )
    return None if samples is None else suite_of(connector, samples)


def describe(wanted: Plan) -> Iterator[str]:
    """Yield lines on the checks of a run and on its cost.

    Raises:
        UnknownExchange, Misconfigured: nothing can be checked.
    """
    suite = _suite(wanted)
    connector = registry.connector(wanted.exchange)
    if suite is not None:
        yield f"on samples, at no cost: {len(checks(suite))} checks"
        yield from (f"  {name.removeprefix('test_')}: {title}" for name, title in checks(suite))
    if not wanted.live and wanted.trade.account is not None:
        yield "no market data is requested from an exchange; --live, or --rest and --ws, requests it"
    elif not wanted.live:
        yield "nothing is sent to an exchange; --live, or --rest and --ws, checks market data against one"
    else:
        codec = connector.codec(wanted.rest, wanted.ws)
        yield f"against {wanted.rest or connector.spec.rest} and {wanted.ws or connector.spec.ws}:"
        yield from (f"  {name}: {title}" for name, title in TITLES)
        total: dict[str, int] = {}
        for what, cost in plan(codec, wanted.pair or connector.spec.example_pairs[0]):
            yield f"  {what}: {', '.join(f'{amount} {limit}' for limit, amount in cost)}"
            for limit, amount in cost:
                total[limit] = total.get(limit, 0) + amount
        limits = connector.spec.limits
        spent = (
            f"{amount} of {limits[name].amount} {name} per {limits[name].per_s:g} s" for name, amount in total.items()
        )
        yield f"  total: {', '.join(spent)}, for {wanted.seconds:g} s of frames; more if a snapshot comes too early"
    if streams_suite_of(connector, wanted) is not None:
        yield "on a local exchange, started for this check, which stops a stream:"
        yield from (f"  {name.removeprefix('test_')}: {title}" for name, title in checks(StoppedStreams))
    if (without := why_not(connector, wanted.trade, wanted.live)) is not None:
        yield f"no trading: {without}"
        yield "balances needed: none; market data needs no account"
        return
    yield from describe_trading(connector, wanted.trade, wanted.rest, wanted.ws, wanted.pair)
    listed = checks(TradingConformance)
    yield f"  {len(listed)} checks:"
    yield from (f"  {name.removeprefix('test_')}: {title}" for name, title in listed)


def row_of(part: str, result: Result) -> dict[str, Any]:
    """Return one check as plain values for JSON."""
    outcome = {"outcome": result.outcome.value, "reason": result.reason or None, "ms": round(result.seconds * 1e3, 1)}
    return {"suite": part, "name": result.name, **outcome}


def run_plan(wanted: Plan, say: Callable[[str], None], seen: list[tuple[str, Result]] | None = None) -> int:
    """Run the checks and pass a line for each to `say`. Return 0, or 1 when a check failed.

    `seen` gets each suite's name and result.

    Raises:
        UnknownExchange, UnknownInstrument: the exchange or its pair is not known.
        RetryLater, OutcomeUnknown, Rejected: the exchange does not answer, or refuses.
        Misconfigured: the connector cannot be checked, the key is not usable, or the account holds too little.
    """
    suite = _suite(wanted)
    seen = [] if seen is None else seen

    def show(result: Result, part: str = "market data") -> None:
        seen.append((part, result))
        reason = f" ({result.reason})" if result.reason else ""
        name = result.name.removeprefix("test_").replace("_", " ")
        say(f"{result.outcome.value:<8}{name}{reason}  {result.seconds * 1e3:.0f} ms")

    if suite is not None:
        for result in run_checks(suite):
            show(result)
    if wanted.live:
        asyncio.run(_live(wanted, show))
    connector = registry.connector(wanted.exchange)
    if (streams := streams_suite_of(connector, wanted)) is not None:
        for result in run_checks(streams):
            show(result, "streams")
    without = why_not(connector, wanted.trade, wanted.live)
    if without is not None:
        say(f"no trading: {without}")
    else:
        for result in run_checks(trading_suite_of(connector, wanted.trade, wanted.rest, wanted.ws, wanted.pair)):
            show(result, "trading")
    count = {outcome: sum(result.outcome is outcome for _, result in seen) for outcome in Outcome}
    say(f"{count[Outcome.PASSED]} passed, {count[Outcome.FAILED]} failed, {count[Outcome.SKIPPED]} skipped")
    if wanted.record is not None:
        say(f"recorded in {records.write(records.made(connector, __version__, seen), wanted.record)}")
    return 1 if count[Outcome.FAILED] else 0


async def _live(wanted: Plan, show: Callable[[Result], None]) -> None:
    async for result in run_live(wanted.exchange, wanted.pair, wanted.rest, wanted.ws, wanted.seconds):
        show(result)


def streams_suite_of(connector: Connector, wanted: Plan) -> type[StoppedStreams] | None:
    """Return the checks of streams on the local exchange; None: the run is about another exchange."""
    protocol = protocol_of(connector)
    if protocol is None or wanted.live or wanted.trade.account is not None or not wanted.trade.wanted:
        return None

    def exchange(cls: type[StoppedStreams]) -> AbstractContextManager[Faulty]:
        return local_faults(protocol)

    members = {"connector": connector, "exchange": classmethod(exchange)}
    return type(f"Test{connector.name}Streams", (StoppedStreams,), members)


TESTNET = "testnet"


def account_of(
    keys: str | None,
    keystore: Path | None,
    passphrase_file: Path | None,
    api_key_file: Path | None,
    secret_file: Path | None,
    kind: str | None,
    field_file: list[str] | None = None,
) -> dict[str, Any] | None:
    """Return the account's configuration from the command line's options; None when they name no key.

    Raises:
        Misconfigured: the options name two keys, or only a part of a key.
    """
    if keys is not None and (api_key_file is not None or secret_file is not None):
        raise Misconfigured("key", "give --keys, or --api-key-file with --secret-file")
    if (api_key_file is None) != (secret_file is None):
        raise Misconfigured("key", "--api-key-file and --secret-file are given together")
    if field_file and api_key_file is None:
        raise Misconfigured("--field-file", "belongs to --api-key-file and --secret-file")
    if keys is None and api_key_file is None:
        return None
    given = {"keystore": keystore, "passphrase_file": passphrase_file}
    given |= {"api_key_file": api_key_file, "secret_file": secret_file}
    paths = {name: str(path) for name, path in given.items() if path is not None}
    more = {"keys": keys, "kind": kind, "field_files": field_files(field_file) or None}
    return {**paths, **{name: value for name, value in more.items() if value is not None}}


def why_not(connector: Connector, trade: Trade, live: bool) -> str | None:
    """Return why the trading checks are not run; None when they are.

    Raises:
        Misconfigured, NotOffered: a key was given for a connector that does not trade.
    """
    if not trade.wanted:
        return "--no-trading was given"
    try:
        trading_connector(connector)
    except NotOffered as error:
        if trade.account is not None:
            raise
        return str(error)
    if trade.account is not None:
        return None
    if live:
        return "trading checks on an exchange need a key (--keys, or --api-key-file and --secret-file)"
    if protocol_of(connector) is None:
        return f"the local exchange speaks only {', '.join(SPEAKS)}; to use a testnet, give its URLs and a key"
    return None


def remote_venue(connector: Connector, trade: Trade, rest: str | None, ws: str | None, pair: str | None) -> Venue:
    """Return the exchange to trade on with a key: at the given URLs, else the connector's testnet.

    The real exchange is used only when its URL is given.

    Raises:
        Misconfigured: no URL was given and the connector names no testnet.
    """
    assert trade.account is not None
    account = {**trade.account, "orders": trade.orders, "stream": trade.stream}
    if rest is not None:
        return Venue(account, rest, ws, trade.ws_api, pair)
    hosts = connector.spec.environments.get(TESTNET)
    if hosts is None:
        raise Misconfigured(
            f"trading checks of {connector.name}",
            "the connector names no testnet: give --rest, --ws and --ws-api of the exchange to trade on",
        )
    return Venue(account, hosts.rest, ws or hosts.ws, trade.ws_api or hosts.ws_api, pair)


@contextlib.contextmanager
def _opened(connector: Connector, trade: Trade, rest: str | None, ws: str | None, pair: str | None) -> Iterator[Venue]:
    if trade.account is not None:
        yield remote_venue(connector, trade, rest, ws, pair)
        return
    with local_venue(protocol_of(connector) or connector.name, trade.orders, trade.stream) as venue:
        yield replace(venue, pair=pair)


def trading_suite_of(
    connector: Connector, trade: Trade, rest: str | None, ws: str | None, pair: str | None
) -> type[TradingConformance]:
    """Return the trading suite for one connector on one exchange."""

    def venue(cls: type[TradingConformance]) -> AbstractContextManager[Venue]:
        return _opened(connector, trade, rest, ws, pair)

    members = {"connector": trading_connector(connector), "venue": classmethod(venue)}
    return type(f"Test{connector.name}Trades", (TradingConformance,), members)


def describe_trading(
    connector: Connector, trade: Trade, rest: str | None, ws: str | None, pair: str | None
) -> Iterator[str]:
    """Yield lines on the needed balances and the cost of a run. A remote exchange gets two public requests."""
    found = trading_connector(connector)
    if trade.account is None:
        instrument, bid, ask = _local(connector.name)
        yield f"on a local exchange, started for this run: trading {instrument.name} on a new account"
        yield from _costs(found, None, None, instrument, bid, ask)
        return
    venue = remote_venue(connector, trade, rest, ws, pair)
    yield f"trading at {venue.rest} and {venue.ws_api or 'no websocket API'}, with an account that does nothing else:"
    yield "  orders have the smallest amount; they rest 10 % from the best price, or trade at once; none stays open"
    try:
        instrument, bid, ask = asyncio.run(_asked(connector, venue))
    except MeshError as error:
        yield f"  the needed balances are not known, because {venue.rest} did not return its rules and prices: {error}"
        return
    yield f"  requested now, without the key: the list of pairs and the best prices of {instrument.name}"
    yield from _costs(found, venue.rest, venue.ws_api, instrument, bid, ask)


def _costs(
    connector: TradingConnector,
    rest: str | None,
    ws_api: str | None,
    instrument: Instrument,
    bid: Decimal,
    ask: Decimal,
) -> Iterator[str]:
    codec, spec = connector.trading(rest, ws_api), connector.spec
    fee = codec.offer.taker_fee
    needs = sizes.needs(instrument, bid, ask, fee)
    base, quote = needs.recommended
    yield (
        f"  balances needed: {_text(needs.quote)} {instrument.quote} and {_text(needs.base)} {instrument.base}; "
        f"recommended: {_text(quote)} {instrument.quote} and {_text(base)} {instrument.base}"
    )
    yield (
        f"  a run costs about {_text(needs.cost)} {instrument.quote}: {sizes.TAKERS} orders of "
        f"{_text(needs.amount)} {instrument.base} trade at once, half of them buy, half sell, "
        f"at {_text(fee * 100)} % and half the spread"
    )
    spent = sizes.requests(codec, connector.codec(rest), instrument)
    shares = (
        f"{amount} of {spec.limit(name).amount} {name} per {spec.limit(name).per_s:g} s"
        for name, amount in spent.items()
    )
    placed = sizes.REQUESTS[Kind.PLACE]
    yield f"  about {placed} orders are placed; requests spend about {', '.join(shares)}"


async def _asked(connector: Connector, venue: Venue) -> tuple[Instrument, Decimal, Decimal]:
    codec, client = connector.codec(venue.rest, venue.ws), Rest(timeout_s=10.0)
    try:
        listed = await client.send(codec.instruments_request())
        if (error := codec.failure(listed)) is not None:
            raise error
        instrument = choose(codec, codec.instruments(listed.body), venue.pair)
        answer = await client.send(codec.snapshot_request(instrument, sizes.LEVELS))
        if (error := codec.failure(answer)) is not None:
            raise error
        book = codec.snapshot(instrument, answer.body, sizes.LEVELS, answer.recv_ns)
        if not len(book.bids) or not len(book.asks):
            raise Misconfigured(instrument.name, "a side of its book is empty: trading cannot be checked there")
        return instrument, instrument.price(int(book.bids[0][0])), instrument.price(int(book.asks[0][0]))
    finally:
        await client.close()


def _local(exchange: str) -> tuple[Instrument, Decimal, Decimal]:
    rules = local_rules()
    base, _, quote = rules["pair"].partition("-")
    instrument = Instrument(
        exchange,
        rules["pair"],
        base + quote,
        base,
        quote,
        8,
        8,
        price_increment=rules["tick"],
        size_increment=rules["step"],
        min_notional=rules["min_notional"],
    )
    return instrument, rules["price"] - rules["tick"], rules["price"]


def _text(number: Decimal) -> str:
    """Format a number with at most five significant digits, without an exponent."""
    return f"{Decimal(f'{number:.5g}').normalize():f}"
