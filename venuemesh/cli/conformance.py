"""`venuemesh conformance`: the suites for one connector, on its samples and on an exchange, a line per check."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..conformance.market.checks import MarketDataConformance
from ..conformance.market.live import TITLES, plan, run_live
from ..conformance.runner import Outcome, Result, checks, run_checks, samples_of, suite_of
from ..conformance.trading.checks import TradingConformance
from ..connectors import registry
from ..model.errors import Misconfigured
from .conforming_trading import Trade, why_not
from .conforming_trading import describe as describe_trading
from .conforming_trading import suite_of as trading_suite_of


@dataclass(frozen=True, slots=True)
class Plan:
    """What to check: the samples (of a file, or the connector's own), an exchange if `live`, and trading.

    With a key (`trade.account`) it trades where the URLs say, else at the connector's testnet; without one on the local
    exchange, unless `live`.
    """

    exchange: str
    samples: Path | None
    live: bool
    rest: str | None
    ws: str | None
    pair: str | None
    seconds: float
    trade: Trade = field(default_factory=Trade)


def _suite(wanted: Plan) -> type[MarketDataConformance] | None:
    connector = registry.connector(wanted.exchange)
    samples = samples_of(connector, wanted.samples)
    if samples is None and not wanted.live and wanted.trade.account is None:
        raise Misconfigured(
            f"conformance {wanted.exchange}", "the connector brings no samples: name a file (--samples), or --live"
        )
    return None if samples is None else suite_of(connector, samples)


def describe(wanted: Plan) -> Iterator[str]:
    """Lines that say what would be done, and what it would cost.

    Raises:
        UnknownExchange, Misconfigured: nothing can be done.
    """
    suite = _suite(wanted)
    connector = registry.connector(wanted.exchange)
    if suite is not None:
        yield f"on samples, costing nothing: {len(checks(suite))} checks"
        yield from (f"  {name.removeprefix('test_')}: {title}" for name, title in checks(suite))
    if not wanted.live and wanted.trade.account is not None:
        yield "no market data is asked of an exchange (--live, or --rest and --ws)"
    elif not wanted.live:
        yield "nothing is sent (market data against an exchange: --live, or --rest and --ws)"
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
        yield f"  in all {', '.join(spent)}, for {wanted.seconds:g} s of frames; more if a snapshot comes too early"
    if (without := why_not(connector, wanted.trade, wanted.live)) is not None:
        yield f"no trading: {without}"
        yield "balances needed: none; market data takes no account"
        return
    yield from describe_trading(connector, wanted.trade, wanted.rest, wanted.ws, wanted.pair)
    listed = checks(TradingConformance)
    yield f"  {len(listed)} checks:"
    yield from (f"  {name.removeprefix('test_')}: {title}" for name, title in listed)


def carry_out(wanted: Plan, say: Callable[[str], None]) -> int:
    """Run the checks and say a line for each. Return 0, or 1 when one failed.

    Raises:
        UnknownExchange, UnknownInstrument, Misconfigured: it cannot be checked.
        RetryLater, OutcomeUnknown, Rejected: the exchange does not serve us.
        Misconfigured: the key does not do, or the account holds too little.
    """
    suite = _suite(wanted)
    seen: list[Result] = []

    def tell(result: Result) -> None:
        seen.append(result)
        reason = f" ({result.reason})" if result.reason else ""
        name = result.name.removeprefix("test_").replace("_", " ")
        say(f"{result.outcome.value:<8}{name}{reason}  {result.seconds * 1e3:.0f} ms")

    if suite is not None:
        for result in run_checks(suite):
            tell(result)
    if wanted.live:
        asyncio.run(_live(wanted, tell))
    connector = registry.connector(wanted.exchange)
    without = why_not(connector, wanted.trade, wanted.live)
    if without is not None:
        say(f"no trading: {without}")
    else:
        for result in run_checks(trading_suite_of(connector, wanted.trade, wanted.rest, wanted.ws, wanted.pair)):
            tell(result)
    count = {outcome: sum(result.outcome is outcome for result in seen) for outcome in Outcome}
    say(f"{count[Outcome.PASSED]} passed, {count[Outcome.FAILED]} failed, {count[Outcome.SKIPPED]} skipped")
    return 1 if count[Outcome.FAILED] else 0


async def _live(wanted: Plan, tell: Callable[[Result], None]) -> None:
    async for result in run_live(wanted.exchange, wanted.pair, wanted.rest, wanted.ws, wanted.seconds):
        tell(result)
