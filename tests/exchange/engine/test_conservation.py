"""Invariants under any actions of accounts: no amount is created or lost or locked without an order; lists end."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from venuemesh.exchange.engine.accounts import Account, Order, Ticket
from venuemesh.exchange.engine.engine import Engine
from venuemesh.exchange.engine.market import ExecutionReport, Market, Quiet
from venuemesh.exchange.engine.rules import ONE, rules_for
from venuemesh.model.errors import Rejected
from venuemesh.model.events import Side

BTC = "BTCUSDT"
P = 64_250 * ONE  # where trading begins
TICK = ONE // 100
PAID_IN = {"BTC": 3 * 2 * ONE, "USDT": 3 * 100_000 * ONE}
ENDED = ("FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED")
EXPECTED = {
    "WOULD_TAKE",
    "WOULD_TRIGGER",
    "OCO_PRICES",
    "INSUFFICIENT_BALANCE",
    "NO_LIQUIDITY",
    "STOP_ORDERS",
    "AMENDS",
    "AMEND_NOTHING",
    "AMEND_UNSUPPORTED",
    "SIZE",
    "NOTIONAL",
}


class Ledger(Quiet):
    """Records the last report of each order, and checks that reports are numbered and never go back."""

    def __init__(self) -> None:
        self.last: dict[int, tuple[str, int]] = {}
        self.execution = 0

    def report(self, report: ExecutionReport) -> None:
        assert report.id > self.execution
        self.execution = report.id
        order = report.order
        status, filled = self.last.get(order.id, ("", 0))
        assert status not in ENDED, (order.id, status, report.kind)
        assert order.filled >= filled
        assert order.filled + order.prevented <= order.size
        if report.kind == "TRADE":
            assert report.fill is not None
            assert report.fill.size == order.filled - filled
        self.last[order.id] = (order.status, order.filled)


WHO = st.integers(0, 2)
SIDE = st.sampled_from([Side.BUY, Side.SELL])
LOTS = st.integers(1, 400)
TICKS = st.integers(-8, 8)
MODE = st.sampled_from(["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT"])
TIF = st.sampled_from(["GTC", "GTC", "IOC", "FOK"])
ACTION = st.one_of(
    st.tuples(st.just("LIMIT"), WHO, SIDE, LOTS, TICKS, TIF, MODE),
    st.tuples(st.just("LIMIT"), WHO, SIDE, LOTS, TICKS, TIF, MODE),
    st.tuples(st.sampled_from(["LIMIT_MAKER", "MARKET", "QUOTE"]), WHO, SIDE, LOTS, TICKS, TIF, MODE),
    st.tuples(
        st.sampled_from(["STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"]),
        *(WHO, SIDE, LOTS, TICKS, TIF, MODE),
    ),
    st.tuples(st.sampled_from(["OCO", "OTO", "OTOCO", "OTO_STOP"]), WHO, SIDE, LOTS, TICKS, TIF, MODE),
    st.tuples(st.sampled_from(["CANCEL", "AMEND", "AMEND", "MOVE", "HELD"]), WHO, SIDE, LOTS, TICKS, TIF, MODE),
)


def act(engine: Engine, account: Account, action: Any, now: int) -> None:
    kind, _, side, lots, ticks, tif, mode = action
    size, price = lots * ONE // 1000, P + ticks * TICK
    opposite = Side.SELL if side is Side.BUY else Side.BUY
    away = TICK if side is Side.BUY else -TICK

    def ticket(name: str, where: Side = side, **fields: Any) -> Ticket:
        return Ticket(where, name, size, self_trade=mode, fee_in_quote=lots % 4 == 0, **fields)

    def pair(where: Side) -> tuple[Ticket, Ticket]:
        last, up = engine.market(BTC).bars.last_price, TICK if where is Side.BUY else -TICK
        stop, limit = last + up * (1 + lots % 5), last - up * (1 + lots % 3)
        kinds = [("STOP_LOSS", None), ("STOP_LOSS_LIMIT", stop)][lots % 2]
        first = ticket(kinds[0], where, stop_price=stop, price=kinds[1], time_in_force=tif)
        if lots % 3:
            return first, ticket("LIMIT_MAKER", where, price=limit)
        return first, ticket("TAKE_PROFIT", where, stop_price=limit)

    if kind in ("CANCEL", "AMEND", "MOVE"):
        standing = list(account.open.values())
        if standing:
            order = standing[lots % len(standing)]
            if kind == "CANCEL":
                engine.cancel(BTC, order.id, now, account)
            elif kind == "MOVE":
                engine.amend(order, size, "", now, price)
            elif order.size > ONE // 1000:
                engine.amend(order, order.size // 2 // (ONE // 1000) * (ONE // 1000), "", now)
    elif kind == "HELD":
        held = engine.submit(account, BTC, ticket("LIMIT", price=price, time_in_force=tif), now, hold=True)
        if lots % 2:
            engine.reject(held, now)
        else:
            engine.start(held, now)
    elif kind == "QUOTE":
        amount = lots * 37 * ONE
        taken = Ticket(side, "MARKET", 0, quote_size=amount, self_trade=mode, fee_in_quote=lots % 4 == 0)
        engine.submit(account, BTC, taken, now)
    elif kind == "MARKET":
        engine.submit(account, BTC, ticket("MARKET"), now)
    elif kind in ("LIMIT", "LIMIT_MAKER"):
        engine.submit(account, BTC, ticket(kind, price=price, time_in_force=tif), now)
    elif kind == "OCO":
        engine.submit_list(account, BTC, "OCO", pair(side), "", now)
    elif kind == "OTO":
        then = ticket("LIMIT", opposite, price=price + away * 3)
        engine.submit_list(account, BTC, "OTO", (ticket("LIMIT", price=price, time_in_force=tif), then), "", now)
    elif kind == "OTO_STOP":
        then = ticket("STOP_LOSS", opposite, stop_price=price - away * 3)
        engine.submit_list(account, BTC, "OTO", (ticket("LIMIT", price=price), then), "", now)
    elif kind == "OTOCO":
        engine.submit_list(account, BTC, "OTO", (ticket("LIMIT", price=price), *pair(opposite)), "", now)
    else:
        limit = price + away * 2 if kind.endswith("_LIMIT") else None
        engine.submit(account, BTC, ticket(kind, price=limit, stop_price=price, time_in_force=tif), now)


def due(order: Order) -> int:
    """Return the amount that an open order must lock: its remaining value; for an OCO pair the larger value, once."""
    pair = order.group.pair if order.group is not None else ()
    sharing = [o for o in pair if o.id in o.account.open] if order in pair else [order]
    if order.status == "PENDING_NEW" or order is not next((o for o in sharing if o.kind == "LIMIT_MAKER"), sharing[0]):
        return 0
    if order.side is Side.SELL:
        return max(o.remaining for o in sharing)
    worth = max(-(-(o.price or o.stop_price or 0) * o.remaining // ONE) for o in sharing)
    return worth - (-worth * (order.fee_reserve or 0) // ONE)


def check(engine: Engine, market: Market, accounts: list[Account], ledger: Ledger) -> None:
    everyone = [*accounts, engine.fees]
    for asset, paid_in in PAID_IN.items():
        assert sum(a.balance(asset).free + a.balance(asset).locked for a in everyone) == paid_in
    sizes: dict[Side, dict[int, int]] = {Side.BUY: defaultdict(int), Side.SELL: defaultdict(int)}
    for account in accounts:
        for asset, side in (("BTC", Side.SELL), ("USDT", Side.BUY)):
            balance = account.balance(asset)
            assert balance.free >= 0
            assert balance.locked == sum(o.locked for o in account.open.values() if o.side is side)
        assert account.open_here.get(BTC, 0) == len(account.open)
        assert set(account.client_ids.values()) == set(account.open)
        for order in account.open.values():
            assert order.status in ("NEW", "PARTIALLY_FILLED", "PENDING_NEW")
            assert order.locked == due(order)
            assert (order.id in market.waiting) == (order.working_ns < 0 and order.status == "NEW")
            if order.working_ns >= 0:
                assert order.price is not None
                sizes[order.side][order.price] += order.remaining
        for order in account.orders:
            assert order.id in account.open or (order.status in ENDED and not order.locked)
            last_report = ledger.last[order.id]
            assert last_report == (order.status, order.filled)
            fills = [fill for fill in account.fills if fill.order_id == order.id]
            assert sum(fill.size for fill in fills) == order.filled
            assert sum(fill.quote for fill in fills) == order.quote_filled
        for group in account.lists.values():
            standing = [order for order in group.orders if order.id in account.open]
            assert (group.status == "ALL_DONE") == (not standing)
            assert (group.id in account.list_ids.values()) == bool(standing)
            traded = [order for order in group.pair if order.filled]
            assert len(traded) <= 1  # one cancels the other
            if traded:
                assert all(order is traded[0] or order.status in ENDED for order in group.pair)
            if group.working is not None and group.working.status != "FILLED":
                assert not any(order.filled for order in group.pending)
    assert dict(market.bids.depth()) == dict(sizes[Side.BUY])
    assert dict(market.asks.depth()) == dict(sizes[Side.SELL])
    bid, ask = market.tops
    assert bid is None or ask is None or bid[0] < ask[0]


def play(actions: Iterable[Any]) -> tuple[Counter[str], Counter[str]]:
    """Play actions with a check after each; return the accepted actions by kind, and the ends of orders."""
    ledger = Ledger()
    engine = Engine(ledger)
    market = engine.list(rules_for(BTC))
    accounts = [engine.add_account(Account(name)) for name in ("a", "b", "c")]
    for account in accounts:
        account.deposit("BTC", 2 * ONE)
        account.deposit("USDT", 100_000 * ONE)
    taken: Counter[str] = Counter()
    for now, action in enumerate(actions):
        try:
            act(engine, accounts[action[1]], action, now)
            taken[action[0]] += 1
        except Rejected as refused:
            if refused.code not in EXPECTED:
                raise
        check(engine, market, accounts, ledger)
    ended = Counter(order.expiry_reason or order.status for account in accounts for order in account.orders)
    return taken, ended


@settings(max_examples=150, deadline=None)
@given(st.lists(ACTION, min_size=5, max_size=60))
def test_balances_add_up_and_orders_end_under_random_orders_lists_amendments_and_cancels(actions: list[Any]) -> None:
    play(actions)


def test_the_same_in_long_runs_that_reach_every_kind_and_end() -> None:
    kinds = [*["LIMIT"] * 6, "LIMIT_MAKER", "MARKET", "QUOTE", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT"]
    kinds += ["TAKE_PROFIT_LIMIT", "OCO", "OTO", "OTOCO", "OTO_STOP", "CANCEL", "AMEND", "MOVE", "HELD"]
    modes = ["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT"]
    taken: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for seed in range(25):
        draw = random.Random(seed)
        actions = [
            (
                draw.choice(kinds),
                draw.randrange(3),
                draw.choice([Side.BUY, Side.SELL]),
                draw.randint(1, 400),
                draw.randint(-8, 8),
                draw.choice(["GTC", "GTC", "IOC", "FOK"]),
                draw.choice(modes),
            )
            for _ in range(120)
        ]
        some = play(actions)
        taken += some[0]
        ended += some[1]
    assert set(taken) == set(kinds)
    assert set(ended) >= {
        "FILLED",
        "CANCELED",
        "EXPIRED_IN_MATCH",
        "REJECTED",
        "OCO_TRIGGER",
        "OTO_PHASE_ONE_EXPIRED",
        "UNFILLED_IOC_QUANTITY_EXPIRED",
        "UNFILLED_FOK_ORDER_EXPIRED",
        "INSUFFICIENT_LIQUIDITY",
    }
