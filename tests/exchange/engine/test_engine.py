"""The matching engine, by tables and invariants."""

from __future__ import annotations

import contextlib
import random
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from venuemesh.exchange.engine.accounts import FULL_MEMORY, Account, Memory, Ticket
from venuemesh.exchange.engine.engine import Engine
from venuemesh.exchange.engine.market import ExecutionReport, Market, OrderChange, Quiet
from venuemesh.exchange.engine.rules import ONE, rules_for
from venuemesh.model.errors import Rejected
from venuemesh.model.events import Side

BUY, SELL = Side.BUY, Side.SELL
BTC = "BTCUSDT"
P = 64_000 * ONE  # a price
Q = ONE // 100  # a size: 0.01
TICK = ONE // 100


class EventRecorder(Quiet):
    def __init__(self) -> None:
        self.reports: list[ExecutionReport] = []
        self.tops = 0

    def report(self, report: ExecutionReport) -> None:
        self.reports.append(report)

    def top(self, market: Market) -> None:
        self.tops += 1


def stage(*names: str) -> tuple[Engine, Market, list[Account], EventRecorder]:
    listener = EventRecorder()
    engine = Engine(listener)
    market = engine.list(rules_for(BTC))
    accounts = [engine.add_account(Account(name)) for name in names]
    for account in accounts:
        account.deposit("BTC", 100 * ONE)
        account.deposit("USDT", 10_000_000 * ONE)
    return engine, market, accounts, listener


def test_best_price_trades_first_then_the_oldest_order() -> None:
    engine, market, (a, b, c), _ = stage("a", "b", "c")
    first = engine.place(a, BTC, SELL, "LIMIT", Q, P + TICK, 1)
    second = engine.place(b, BTC, SELL, "LIMIT", Q, P + TICK, 2)
    late_but_better = engine.place(b, BTC, SELL, "LIMIT", Q, P, 3)
    engine.place(c, BTC, BUY, "LIMIT", 2 * Q, P + TICK, 4)
    assert [t.maker_order for t in market.trades] == [late_but_better.id, first.id]
    assert [t.price for t in market.trades] == [P, P + TICK]
    assert (first.status, second.status) == ("FILLED", "NEW")
    assert market.asks.depth() == [(P + TICK, Q)]


def test_a_taker_gets_the_makers_price_and_the_rest_of_it_rests() -> None:
    engine, market, (a, b), _ = stage("a", "b")
    engine.place(a, BTC, SELL, "LIMIT", Q, P, 1)
    order = engine.place(b, BTC, BUY, "LIMIT", 3 * Q, P + 5 * TICK, 2)
    assert (order.status, order.filled, order.quote_filled) == ("PARTIALLY_FILLED", Q, P * Q // ONE)
    assert market.tops == ((P + 5 * TICK, 2 * Q), None)


@pytest.mark.parametrize(
    ("kind", "tif", "size", "price", "status", "filled", "left"),
    [
        ("LIMIT", "GTC", 5 * Q, P + TICK, "PARTIALLY_FILLED", 3 * Q, []),
        ("LIMIT", "IOC", 5 * Q, P + TICK, "EXPIRED", 3 * Q, []),
        ("LIMIT", "IOC", Q, P - TICK, "EXPIRED", 0, [(P, 2 * Q), (P + TICK, Q)]),
        ("LIMIT", "FOK", 5 * Q, P + TICK, "EXPIRED", 0, [(P, 2 * Q), (P + TICK, Q)]),
        ("LIMIT", "FOK", 3 * Q, P + TICK, "FILLED", 3 * Q, []),
        ("LIMIT", "FOK", 3 * Q, P, "EXPIRED", 0, [(P, 2 * Q), (P + TICK, Q)]),
        ("LIMIT_MAKER", "GTC", Q, P - TICK, "NEW", 0, [(P, 2 * Q), (P + TICK, Q)]),
        ("MARKET", "GTC", 2 * Q, None, "FILLED", 2 * Q, [(P + TICK, Q)]),
        ("MARKET", "GTC", 9 * Q, None, "EXPIRED", 3 * Q, []),
    ],
)
def test_order_types(
    kind: str, tif: str, size: int, price: int | None, status: str, filled: int, left: list[tuple[int, int]]
) -> None:
    engine, market, (a, b), _ = stage("a", "b")
    engine.place(a, BTC, SELL, "LIMIT", 2 * Q, P, 1)
    engine.place(a, BTC, SELL, "LIMIT", Q, P + TICK, 1)
    order = engine.place(b, BTC, BUY, kind, size, price, 2, tif)
    assert (order.status, order.filled, market.asks.depth()) == (status, filled, left)
    if order.status not in ("NEW", "PARTIALLY_FILLED"):
        assert b.balance("USDT").locked == 0
        assert not b.open


def test_a_market_order_by_quote_amount_spends_no_more_than_that() -> None:
    engine, _, (a, b), _ = stage("a", "b")
    engine.place(a, BTC, SELL, "LIMIT", 2 * Q, P, 1)
    engine.place(a, BTC, SELL, "LIMIT", 2 * Q, P + 100 * ONE, 1)
    before = b.balance("USDT").free
    order = engine.place(b, BTC, BUY, "MARKET", 0, None, 2, quote_size=2000 * ONE)
    spent = before - b.balance("USDT").free
    assert spent == order.quote_filled <= 2000 * ONE
    assert 2000 * ONE - spent < 2 * (P + 100 * ONE) * market_step(engine) // ONE
    assert b.balance("USDT").locked == 0


def market_step(engine: Engine) -> int:
    return engine.market(BTC).rules.step


@pytest.mark.parametrize(
    ("mode", "taker", "maker", "left"),
    [
        ("NONE", "FILLED", "PARTIALLY_FILLED", Q),
        ("EXPIRE_TAKER", "EXPIRED_IN_MATCH", "NEW", 3 * Q),
        ("EXPIRE_MAKER", "PARTIALLY_FILLED", "EXPIRED_IN_MATCH", Q),  # continues, fills against the other order, rests
        ("EXPIRE_BOTH", "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH", 0),
        ("DECREMENT", "EXPIRED_IN_MATCH", "NEW", Q),
    ],
)
def test_self_trade_prevention(mode: str, taker: str, maker: str, left: int) -> None:
    engine, market, (a, b), _ = stage("a", "b")
    resting = engine.place(a, BTC, SELL, "LIMIT", 3 * Q, P, 1)
    if mode == "EXPIRE_MAKER":
        engine.place(b, BTC, SELL, "LIMIT", Q, P, 1)
    order = engine.place(a, BTC, BUY, "LIMIT", 2 * Q, P, 2, self_trade=mode)
    assert (order.status, resting.status) == (taker, maker)
    held = market.bids.depth() if mode == "EXPIRE_MAKER" else market.asks.depth()
    assert sum(size for _, size in held) == left
    assert len(market.trades) == (1 if mode in ("NONE", "EXPIRE_MAKER") else 0)


def test_a_skipped_own_order_raises_the_price_of_a_market_buy_which_still_pays_only_what_it_has() -> None:
    engine, _, (a, b), _ = stage("a", "b")
    engine.place(a, BTC, SELL, "LIMIT", Q, P, 1)
    engine.place(b, BTC, SELL, "LIMIT", Q, P + 10_000 * ONE, 1)
    a.balance("USDT").free = P * Q // ONE  # just enough at the price that will be skipped
    order = engine.place(a, BTC, BUY, "MARKET", Q, None, 2)
    assert (order.status, order.filled) == ("EXPIRED", 0)
    assert a.balance("USDT").free == P * Q // ONE
    assert a.balance("USDT").locked == 0


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"price": P + 1}, "PRICE"),
        ({"price": 0}, "PRICE"),
        ({"size": Q + 1}, "SIZE"),
        ({"size": 10_000 * ONE, "price": TICK}, "SIZE"),
        ({"size": 1000, "price": 2 * ONE}, "NOTIONAL"),
        ({"size": 100 * ONE, "price": 100_000 * ONE}, "NOTIONAL"),
        ({"side": SELL, "size": 101 * ONE}, "INSUFFICIENT_BALANCE"),
        ({"kind": "STOP"}, "BAD_ORDER"),
        ({"time_in_force": "GTD"}, "BAD_ORDER"),
        ({"kind": "MARKET"}, "BAD_ORDER"),
        ({"price": None}, "BAD_ORDER"),
        ({"symbol": "XXXUSDT"}, "UNKNOWN_SYMBOL"),
        ({"kind": "LIMIT_MAKER", "price": P + 1000 * ONE}, "WOULD_TAKE"),
        ({"client_id": "mine"}, "DUPLICATE_ORDER"),
    ],
)
def test_refusals_name_the_rule_and_change_nothing(fields: dict[str, object], code: str) -> None:
    engine, market, (a, b), _ = stage("a", "b")
    engine.place(a, BTC, SELL, "LIMIT", Q, P + 1000 * ONE, 1)
    engine.place(b, BTC, BUY, "LIMIT", Q, P - ONE, 1, client_id="mine")
    before = (market.update_id, b.balance("USDT").free, b.balance("USDT").locked, len(b.open))
    asked = {"symbol": BTC, "side": BUY, "kind": "LIMIT", "size": Q, "price": P, "now_ns": 2} | fields
    with pytest.raises(Rejected) as caught:
        engine.place(b, **asked)  # type: ignore[arg-type]
    assert caught.value.code == code
    assert (market.update_id, b.balance("USDT").free, b.balance("USDT").locked, len(b.open)) == before


def test_a_halted_symbol_takes_no_orders_but_cancels() -> None:
    engine, market, (a,), _ = stage("a")
    order = engine.place(a, BTC, BUY, "LIMIT", Q, P, 1)
    engine.change_rules(BTC, status="HALT")
    with pytest.raises(Rejected, match="MARKET_CLOSED"):
        engine.place(a, BTC, BUY, "LIMIT", Q, P, 2)
    engine.cancel(BTC, order.id, 3)
    assert market.bids.depth() == []
    with pytest.raises(Rejected, match="UNKNOWN_ORDER"):
        engine.cancel(BTC, order.id, 4)


def test_fees_are_taken_from_what_is_received() -> None:
    engine, _, (a, b), listener = stage("a", "b")
    engine.change_rules(BTC, maker_fee=50_000, taker_fee=100_000)
    engine.place(a, BTC, SELL, "LIMIT", Q, P, 1)
    engine.place(b, BTC, BUY, "LIMIT", Q, P, 2)
    quote = P * Q // ONE
    assert a.balance("USDT").free == 10_000_000 * ONE + quote - quote * 50_000 // ONE
    assert b.balance("BTC").free == 100 * ONE + Q - Q * 100_000 // ONE
    assert engine.fees.balance("BTC").free == Q * 100_000 // ONE
    kinds = [(report.account.name, report.kind) for report in listener.reports]
    assert kinds == [("a", "NEW"), ("b", "NEW"), ("a", "TRADE"), ("b", "TRADE")]
    assert [(fill.maker, fill.fee_asset) for fill in (a.fills[0], b.fills[0])] == [(True, "USDT"), (False, "BTC")]


def test_every_change_of_a_level_has_the_next_number() -> None:
    engine, market, (a, b), _ = stage("a", "b")
    reader = market.level_changes()
    start = market.update_id
    engine.place(a, BTC, SELL, "LIMIT", Q, P, 1)
    engine.place(a, BTC, SELL, "LIMIT", Q, P + TICK, 1)
    engine.place(b, BTC, BUY, "LIMIT", 3 * Q, P + TICK, 2)
    engine.cancel(BTC, 3, 3)
    changes = market.log.since(start, 100)
    assert [(c.id - start, c.side, c.price, c.size) for c in changes] == [
        (1, 1, P, Q),
        (2, 1, P + TICK, Q),
        (3, 1, P, 0),
        (4, 1, P + TICK, 0),
        (5, 0, P + TICK, Q),
        (6, 0, P + TICK, 0),
    ]
    assert reader.take() == (start + 1, start + 6, {P + TICK: 0}, {P: 0, P + TICK: 0})
    assert reader.take() is None
    assert engine.skip_ids(BTC, 4) == start + 10
    engine.place(a, BTC, SELL, "LIMIT", Q, P, 4)
    assert reader.take() == (start + 11, start + 11, {}, {P: Q})


def test_top_is_reported_only_where_it_is_watched_and_changed() -> None:
    engine, market, (a,), listener = stage("a")
    engine.place(a, BTC, SELL, "LIMIT", Q, P, 1)
    market.top_watchers.add("somebody")
    engine.place(a, BTC, SELL, "LIMIT", Q, P + TICK, 1)
    assert listener.tops == 0
    order = engine.place(a, BTC, SELL, "LIMIT", Q, P, 1)
    engine.cancel(BTC, order.id, 2)
    assert listener.tops == 2


def test_aggregates_join_the_fills_of_one_taker_at_one_price() -> None:
    engine, market, (a, b), _ = stage("a", "b")
    for price in (P, P, P + TICK):
        engine.place(a, BTC, SELL, "LIMIT", Q, price, 1)
    engine.place(b, BTC, BUY, "LIMIT", 3 * Q, P + TICK, 2)
    assert [(g.price, g.size, g.last - g.first + 1) for g in market.aggregates] == [(P, 2 * Q, 2), (P + TICK, Q, 1)]
    assert len(market.trades) == 3


def test_delisting_frees_all_funds() -> None:
    engine, _, (a,), _ = stage("a")
    engine.place(a, BTC, BUY, "LIMIT", Q, P, 1)
    engine.delist(BTC, 2)
    assert a.balance("USDT").locked == 0
    assert not a.open
    with pytest.raises(Rejected, match="UNKNOWN_SYMBOL"):
        engine.market(BTC)


# ------------------------------------------------------------------------------------------------- properties

ORDER = st.tuples(
    st.integers(0, 2),
    st.sampled_from([BUY, SELL]),
    st.sampled_from(["LIMIT", "LIMIT", "LIMIT", "LIMIT_MAKER", "MARKET", "QUOTE", "CANCEL"]),
    st.integers(1, 40),
    st.integers(-6, 6),
    st.sampled_from(["GTC", "GTC", "IOC", "FOK"]),
    st.sampled_from(["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT"]),
)


def play(actions: list[tuple[int, Side, str, int, int, str, str]]) -> tuple[Engine, Market, list[Account]]:
    engine, market, accounts, _ = stage("a", "b", "c")
    for now, (who, side, kind, lots, ticks, tif, mode) in enumerate(actions):
        account = accounts[who]
        price = P + ticks * TICK
        size = lots * ONE // 1000
        try:
            if kind == "CANCEL":
                if account.open:
                    engine.cancel(BTC, list(account.open)[lots % len(account.open)], now, account)
            elif kind == "QUOTE":
                engine.place(account, BTC, side, "MARKET", 0, None, now, quote_size=lots * 37 * ONE, self_trade=mode)
            elif kind == "MARKET":
                engine.place(account, BTC, side, "MARKET", size, None, now, self_trade=mode)
            else:
                engine.place(account, BTC, side, kind, size, price, now, tif, self_trade=mode)
        except Rejected as refused:
            if refused.code not in ("WOULD_TAKE", "INSUFFICIENT_BALANCE", "NOTIONAL", "NO_LIQUIDITY"):
                raise
    return engine, market, accounts


@settings(max_examples=150, deadline=None)
@given(st.lists(ORDER, max_size=60))
def test_what_must_always_hold(actions: list[tuple[int, Side, str, int, int, str, str]]) -> None:
    engine, market, accounts = play(actions)
    # Nothing is made or lost: balances of all accounts and the fees add up to what was paid in.
    everyone = [*accounts, engine.fees]
    assert sum(a.balance("BTC").free + a.balance("BTC").locked for a in everyone) == 300 * ONE
    assert sum(a.balance("USDT").free + a.balance("USDT").locked for a in everyone) == 30_000_000 * ONE
    # The locked amounts are those of the open orders, and no balance is negative.
    for account in accounts:
        for asset, side in (("BTC", SELL), ("USDT", BUY)):
            balance = account.balance(asset)
            assert balance.free >= 0
            assert balance.locked == sum(o.locked for o in account.open.values() if o.side is side)
    # The level book is the open orders, in order of time, and is not crossed.
    for side in (market.bids, market.asks):
        sizes: dict[int, int] = defaultdict(int)
        for account in accounts:
            for order in account.open.values():
                if order.side is side.side:
                    assert order.price is not None
                    assert order.remaining > 0
                    sizes[order.price] += order.remaining
        assert dict(side.depth()) == dict(sizes)
        assert side.keys == sorted(side.keys)
        for level in side.best_first():
            assert list(level.orders) == sorted(level.orders)
    bid, ask = market.tops
    assert bid is None or ask is None or bid[0] < ask[0]
    # The log replays to the book.
    book: dict[tuple[int, int], int] = {}
    for change in market.log.since(0, 10_000):
        book[change.side, change.price] = change.size
    standing = {(0, p): s for p, s in market.bids.depth()} | {(1, p): s for p, s in market.asks.depth()}
    assert {key: size for key, size in book.items() if size} == standing


@settings(max_examples=60, deadline=None)
@given(st.lists(ORDER, max_size=40))
def test_priority_against_a_plain_model(actions: list[tuple[int, Side, str, int, int, str, str]]) -> None:
    """Plain GTC orders, compared with a list that is searched for the best and oldest order each time."""
    engine, market, accounts, _ = stage("a", "b", "c")
    resting: list[list[int]] = []  # [id, sign, price, remaining]
    expected: list[tuple[int, int, int]] = []
    for now, (who, side, _, lots, ticks, _, _) in enumerate(actions):
        sign, size, price = (1 if side is BUY else -1), lots * ONE // 1000, P + ticks * TICK
        order = engine.place(accounts[who], BTC, side, "LIMIT", size, price, now, self_trade="NONE")
        left = size
        while left:
            against = [r for r in resting if r[1] == -sign and (price - r[2]) * sign >= 0]
            if not against:
                resting.append([order.id, sign, price, left])
                break
            best = min(against, key=lambda r: (r[2] * sign, r[0]))
            traded = min(left, best[3])
            expected.append((best[0], best[2], traded))
            left -= traded
            best[3] -= traded
            if not best[3]:
                resting.remove(best)
    assert [(t.maker_order, t.price, t.size) for t in market.trades] == expected


# ------------------------------------------------------------------------------------- what other exchanges allow


def test_a_larger_size_goes_to_the_end_of_the_queue_and_locks_more() -> None:
    engine, market, (a, b, c), _ = stage("a", "b", "c")
    grown = engine.submit(a, BTC, Ticket(BUY, "LIMIT", Q, P), 1)
    first = engine.submit(b, BTC, Ticket(BUY, "LIMIT", Q, P), 2)
    made = engine.amend(grown, 3 * Q, "", 3)
    assert (made.old_size, made.new_size, made.old_price, made.new_price) == (Q, 3 * Q, P, P)
    assert a.balance("USDT").locked == 3 * P * Q // ONE
    assert market.bids.depth() == [(P, 4 * Q)]
    engine.place(c, BTC, SELL, "LIMIT", Q, P, 4)
    assert (first.status, grown.status) == ("FILLED", "NEW")


def test_another_price_moves_an_order_and_lets_it_trade() -> None:
    engine, market, (a, b), listener = stage("a", "b")
    order = engine.submit(a, BTC, Ticket(BUY, "LIMIT", 2 * Q, P, client_id="mine"), 1)
    resting = engine.submit(b, BTC, Ticket(SELL, "LIMIT", Q, P + TICK), 2)
    engine.amend(order, 2 * Q, "mine", 3, P - TICK)
    assert (market.bids.depth(), order.status) == ([(P - TICK, 2 * Q)], "NEW")
    assert a.balance("USDT").locked == (P - TICK) * 2 * Q // ONE
    market.top_watchers.add("somebody")
    tops = listener.tops
    engine.amend(order, 2 * Q, "mine", 4, P + 2 * TICK)
    assert (order.status, order.filled, resting.status) == ("PARTIALLY_FILLED", Q, "FILLED")
    assert market.bids.depth() == [(P + 2 * TICK, Q)]
    assert a.balance("USDT").locked == (P + 2 * TICK) * Q // ONE
    assert listener.tops == tops + 1
    assert [report.kind for report in listener.reports if report.account is a] == [
        "NEW",
        "REPLACED",
        "REPLACED",
        "TRADE",
    ]


@pytest.mark.parametrize(
    ("size", "price", "code"),
    [
        (Q, P, "AMEND_NOTHING"),
        (Q, P + 1, "PRICE"),
        (Q + 1, P, "SIZE"),
        (Q, P + 2 * TICK, "WOULD_TAKE"),
        (20 * Q, P, "INSUFFICIENT_BALANCE"),
    ],
)
def test_a_move_that_is_refused_changes_nothing(size: int, price: int, code: str) -> None:
    engine, market, (a, b), listener = stage("a", "b")
    a.deposit("USDT", -9_990_000 * ONE)
    order = engine.submit(a, BTC, Ticket(BUY, "LIMIT_MAKER", Q, P, client_id="mine"), 1)
    engine.submit(b, BTC, Ticket(SELL, "LIMIT", Q, P + TICK), 2)
    before = (order.size, order.price, order.amends, a.balance("USDT").locked, market.update_id, len(listener.reports))
    with pytest.raises(Rejected) as caught:
        engine.amend(order, size, "", 3, price)
    assert caught.value.code == code
    assert before == (
        *(order.size, order.price, order.amends),
        *(a.balance("USDT").locked, market.update_id, len(listener.reports)),
    )


def test_a_held_order_is_accepted_and_only_then_works_or_is_rejected() -> None:
    engine, market, (a, b), listener = stage("a", "b")
    engine.submit(b, BTC, Ticket(SELL, "LIMIT", Q, P), 1)
    taken = engine.submit(a, BTC, Ticket(BUY, "LIMIT", 2 * Q, P, client_id="taken"), 2, hold=True)
    refused = engine.submit(a, BTC, Ticket(BUY, "LIMIT", Q, P - TICK, client_id="refused"), 2, hold=True)
    gone = engine.submit(a, BTC, Ticket(BUY, "LIMIT", Q, P - TICK, client_id="gone"), 2, hold=True)
    assert (market.bids.depth(), taken.filled, a.balance("USDT").locked > 0) == ([], 0, True)
    engine.cancel(BTC, gone.id, 3, a)
    for order in (refused, gone):
        engine.reject(order, 4)
    for order in (taken, refused, gone):
        engine.start(order, 5)
    assert (taken.filled, refused.status, gone.status) == (Q, "REJECTED", "CANCELED")
    assert market.bids.depth() == [(P, Q)]
    assert a.balance("USDT").locked == P * Q // ONE
    kinds = [(report.order.client_id, report.kind) for report in listener.reports if report.account is a]
    assert kinds == [
        *[("taken", "NEW"), ("refused", "NEW"), ("gone", "NEW")],
        *[("gone", "CANCELED"), ("refused", "REJECTED"), ("taken", "TRADE")],
    ]


def test_changes_of_orders_add_up_to_the_book() -> None:
    engine, market, (a, b, c), _ = stage("a", "b", "c")
    book: dict[int, tuple[Side, int, int]] = {}
    kinds = Counter[str]()

    def follow(where: Market, change: OrderChange) -> None:
        kinds[change.kind] += 1
        assert (where, change.update_id) == (market, market.update_id)
        assert (change.order_id in book) == (change.kind != "add")
        if change.kind == "remove":
            assert (change.size, book.pop(change.order_id)[:2]) == (0, (change.side, change.price))
        else:
            book[change.order_id] = change.side, change.price, change.size

    market.order_watchers.append(follow)
    draw = random.Random(5)
    for now in range(400):
        account = draw.choice((a, b, c))
        standing = [order for order in account.open.values() if order.working_ns >= 0]
        size, price = draw.randint(1, 9) * Q, P + draw.randint(-5, 5) * TICK
        with contextlib.suppress(Rejected):
            if standing and draw.random() < 0.5:
                order = draw.choice(standing)
                if draw.random() < 0.5:
                    engine.cancel(BTC, order.id, now, account)
                else:
                    engine.amend(order, size, "", now, draw.choice((None, price)))
            else:
                mode = draw.choice(("DECREMENT", "EXPIRE_MAKER"))
                side = draw.choice((BUY, SELL))
                engine.submit(account, BTC, Ticket(side, "LIMIT", size, price, self_trade=mode), now)
        for side, levels in ((BUY, market.bids), (SELL, market.asks)):
            sums: dict[int, int] = defaultdict(int)
            for where, at, rests in book.values():
                if where is side:
                    sums[at] += rests
            assert sums == dict(levels.depth())
    assert min(kinds[kind] for kind in ("add", "change", "remove")) > 20


def test_a_lookup_finds_an_order_as_long_as_the_exchange_remembers() -> None:
    engine, _, (a,), _ = stage("a")
    order = engine.submit(a, BTC, Ticket(BUY, "LIMIT", Q, P, client_id="mine"), 100)
    late, short, only_open = Memory(appears_ns=50), Memory(lasts_ns=10), Memory(lasts_ns=0)
    assert a.find(None, "mine", 100, FULL_MEMORY) is a.find(order.id, None, 100, only_open) is order
    assert (a.find(None, "mine", 149, late), a.find(None, "mine", 150, late)) == (None, order)
    engine.cancel(BTC, order.id, 200, a)
    assert (a.find(None, "mine", 209, short), a.find(None, "mine", 210, short)) == (order, None)
    assert a.find(order.id, None, 200, only_open) is None
    assert a.find(None, "mine", 10**18, FULL_MEMORY) is order
    assert a.find(None, "other", 200, FULL_MEMORY) is None


@pytest.mark.parametrize(
    ("symbol", "price", "size"), [("BTCUSDT", 2, 5), ("XRPUSDT", 4, 1), ("LTCBTC", 6, 3), ("NKNUSDT", 4, 0)]
)
def test_a_symbol_says_how_many_decimals_it_needs(symbol: str, price: int, size: int) -> None:
    rules = rules_for(symbol)
    assert (rules.price_decimals, rules.size_decimals) == (price, size)
