"""The trading half of `venuemesh conformance`: where it trades, what it needs and costs, and the run itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from ..conformance.market.live import choose
from ..conformance.trading import sizes
from ..conformance.trading.checks import TradingConformance
from ..conformance.trading.venue import Venue
from ..connectors.market_codec import Connector
from ..connectors.order_codec import Kind, TradingConnector, trades
from ..connectors.transport import Rest
from ..model.errors import MeshError, Misconfigured, NotOffered
from ..model.instrument import Instrument
from .local_venue import SPEAKS, local_rules, local_venue

TESTNET = "testnet"


@dataclass(frozen=True, slots=True)
class Trade:
    """Whether, where and as whom to trade: `account` names the files of a key (None: on the local exchange).

    Raises:
        Misconfigured: a way to send orders, or to hear of them, that is not known.
    """

    wanted: bool = True
    account: Mapping[str, Any] | None = None
    ws_api: str | None = None
    orders: str = "rest"
    stream: str = "websocket"

    def __post_init__(self) -> None:
        for name, known in (("orders", ("rest", "websocket")), ("stream", ("websocket", "polling"))):
            if getattr(self, name) not in known:
                raise Misconfigured(f"--{name}", f"{getattr(self, name)!r} is neither {' nor '.join(known)}")


def account_of(
    keys: str | None,
    keystore: Path | None,
    passphrase_file: Path | None,
    api_key_file: Path | None,
    secret_file: Path | None,
    kind: str | None,
) -> dict[str, Any] | None:
    """The account's configuration from what the command line names; None when it names no key.

    Raises:
        Misconfigured: it names two, or half of one.
    """
    if keys is not None and (api_key_file is not None or secret_file is not None):
        raise Misconfigured("key", "give --keys, or --api-key-file with --secret-file")
    if (api_key_file is None) != (secret_file is None):
        raise Misconfigured("key", "--api-key-file and --secret-file are given together")
    if keys is None and api_key_file is None:
        return None
    given = {"keystore": keystore, "passphrase_file": passphrase_file}
    given |= {"api_key_file": api_key_file, "secret_file": secret_file}
    paths = {name: str(path) for name, path in given.items() if path is not None}
    return {**paths, **({"keys": keys} if keys is not None else {}), **({"kind": kind} if kind is not None else {})}


def why_not(connector: Connector, trade: Trade, live: bool) -> str | None:
    """Why no trading check is run; None when they are.

    Raises:
        Misconfigured, NotOffered: a key was given for a connector that does not trade.
    """
    if not trade.wanted:
        return "not wanted"
    try:
        trades(connector)
    except NotOffered as error:
        if trade.account is not None:
            raise
        return str(error)
    if trade.account is not None:
        return None
    if live:
        return "against an exchange it needs a key (--keys, or --api-key-file and --secret-file)"
    if connector.name not in SPEAKS:
        return f"the local exchange speaks {', '.join(SPEAKS)} only; against a testnet it needs its URLs and a key"
    return None


def remote_venue(connector: Connector, trade: Trade, rest: str | None, ws: str | None, pair: str | None) -> Venue:
    """An exchange to trade on with a key: by the URLs given, else the connector's testnet. Never the real one unasked.

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
            "it names no testnet: give --rest, --ws and --ws-api of where to trade",
        )
    return Venue(account, hosts.rest, ws or hosts.ws, trade.ws_api or hosts.ws_api, pair)


@contextlib.contextmanager
def _opened(connector: Connector, trade: Trade, rest: str | None, ws: str | None, pair: str | None) -> Iterator[Venue]:
    if trade.account is not None:
        yield remote_venue(connector, trade, rest, ws, pair)
        return
    with local_venue(connector.name, trade.orders, trade.stream) as venue:
        yield replace(venue, pair=pair)


def suite_of(
    connector: Connector, trade: Trade, rest: str | None, ws: str | None, pair: str | None
) -> type[TradingConformance]:
    """The trading suite for one connector at one place."""

    def venue(cls: type[TradingConformance]) -> AbstractContextManager[Venue]:
        return _opened(connector, trade, rest, ws, pair)

    members = {"connector": trades(connector), "venue": classmethod(venue)}
    return type(f"Test{connector.name}Trades", (TradingConformance,), members)


def describe(connector: Connector, trade: Trade, rest: str | None, ws: str | None, pair: str | None) -> Iterator[str]:
    """Lines on what the account must hold and what a run costs. Of another exchange two public questions are asked."""
    found = trades(connector)
    if trade.account is None:
        instrument, bid, ask = _local(connector.name)
        yield f"on the local exchange, started for it: trading {instrument.name} on an account of its own"
        yield from _costs(found, None, None, instrument, bid, ask)
        return
    venue = remote_venue(connector, trade, rest, ws, pair)
    yield f"trading at {venue.rest} and {venue.ws_api or 'no websocket API'}, with an account that does nothing else:"
    yield "  least amounts, resting a tenth from the touch or taking; what it places it cancels, whatever fails"
    try:
        instrument, bid, ask = asyncio.run(_asked(connector, venue))
    except MeshError as error:
        yield f"  what it needs is known once {venue.rest} can be asked for its rules and a price: {error}"
        return
    yield f"  asked now, without the key: the list of pairs and the best prices of {instrument.name}"
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
        f"  it costs about {_text(needs.cost)} {instrument.quote}: {sizes.TAKERS} orders of "
        f"{_text(needs.amount)} {instrument.base} trade at once, half of them buy, half sell, "
        f"at {_text(fee * 100)} % and half the spread"
    )
    spent = sizes.requests(codec, connector.codec(rest), instrument)
    said = (
        f"{amount} of {spec.limits[name].amount} {name} per {spec.limits[name].per_s:g} s"
        for name, amount in spent.items()
    )
    placed = sizes.REQUESTS[Kind.PLACE]
    yield f"  about {placed} orders are placed; requests spend about {', '.join(said)}"


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
            raise Misconfigured(instrument.name, "a side of its book is empty: nothing can be tried there")
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
    """At most five significant digits, plain."""
    return f"{Decimal(f'{number:.5g}').normalize():f}"
