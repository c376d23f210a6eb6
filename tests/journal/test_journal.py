import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.records import ACCOUNT, event, fill, intent, order, put, put_event, put_fill
from venuemesh.journal.journal import Journal
from venuemesh.journal.records import Filter, Owner, Pause
from venuemesh.journal.schema import BALANCES_KEPT, BATCHES_KEPT
from venuemesh.journal.writes import (
    Batch,
    CloseRequest,
    MoveFills,
    PutBalances,
    PutCursor,
    PutMark,
    PutOwner,
    PutPause,
    PutTombstone,
)
from venuemesh.model.errors import EventsTrimmed, Fenced, JournalRewound, Misconfigured
from venuemesh.model.order import EventType, Fee, OrderStatus, OrderType, Side, TimeInForce

S = OrderStatus


@pytest.fixture
def epoch(journal):
    return journal.take(*ACCOUNT, "holder", 1)


@pytest.fixture
def commit(journal, epoch):
    made = 0

    def one(*writes, batch=None):
        nonlocal made
        made += 1
        return journal.commit(*ACCOUNT, epoch, [Batch(batch or f"b{made}", writes)])[0]

    return one


def test_an_untaken_account_loads_empty(journal):
    loaded = journal.load(*ACCOUNT)
    assert (loaded.epoch, loaded.next_event, loaded.first_event) == (0, 1, 1)
    assert not loaded.orders
    assert journal.order(*ACCOUNT, "o1") is None
    assert journal.events(*ACCOUNT, 0) == []
    assert journal.event_range(*ACCOUNT) == (1, 1)
    assert journal.transitions(*ACCOUNT, "o1") == []
    assert not journal.is_tombstone(*ACCOUNT, "o1")
    assert journal.request(*ACCOUNT, "r1") is None
    with pytest.raises(JournalRewound, match="its epoch is 0, and it was 1"):  # it is not the journal that was taken
        journal.commit(*ACCOUNT, 1, [Batch("b", (put(),))])


def test_what_is_written_is_loaded_again(journal, commit, epoch):
    numbers = commit(
        put("o1", S.PENDING_NEW, "NEW"),
        intent("r1", "o1"),
        put_event(order("o1")),
        PutBalances({"BTC": (Decimal("1.10"), Decimal("0E-8"))}, 7),
        PutCursor("quoter", 5),
        PutPause("account", "night", 6),
        PutPause("BTC-USDT", "news", 6),
        PutOwner("quoter", "cancel", 8),
        PutMark("trades/BTC-USDT", "123"),
        PutMark("gone", "x"),
        PutTombstone("never", 9),
        put_fill("t1", "o1"),
    )
    commit(PutPause("BTC-USDT", None, 9), PutMark("gone", None), put("done", S.FILLED), put_fill("t2", "done"))
    loaded = journal.load(*ACCOUNT)
    assert numbers == [1]
    assert loaded.orders == [order("o1", S.PENDING_NEW)]
    assert loaded.fills == [fill("t1", "o1")]
    assert [(one.request_id, one.client_order_ids, one.epoch, one.outcome) for one in loaded.requests] == [
        ("r1", ("o1",), epoch, None)
    ]
    assert loaded.balances == {"BTC": (Decimal("1.10"), Decimal(0))}
    assert loaded.balances_ns == 7
    assert loaded.cursors == {"quoter": 5}
    assert loaded.pauses == {"account": Pause("night", 6)}
    assert loaded.owners == {"quoter": Owner("cancel", 8)}
    assert loaded.marks == {"trades/BTC-USDT": "123"}
    assert (loaded.epoch, loaded.next_event, loaded.first_event) == (epoch, 2, 1)
    assert journal.is_tombstone(*ACCOUNT, "never")
    assert journal.order(*ACCOUNT, "done") == order("done", S.FILLED)


def test_the_highest_id_that_begins_so_is_found_in_orders_and_tombstones(journal, commit, epoch):
    assert journal.highest_id(*ACCOUNT, "vma") == ""
    commit(put("vma0001"), put("vma000z", S.FILLED), put("vmb0009"), put("vm"), PutTombstone("vma0010", 9))
    assert [journal.highest_id(*ACCOUNT, begin) for begin in ("vma", "vmb", "vmc", "vma000")] == [
        "vma0010",
        "vmb0009",
        "",
        "vma000z",
    ]
    assert journal.highest_id("other", "main", "vma") == ""


DECIMALS = st.decimals(min_value=0, max_value=10**15, places=18)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_field_of_an_order_and_a_fill_survives(journal, commit, data):
    written = order(
        "x" + data.draw(TEXTS),
        data.draw(st.sampled_from(list(OrderStatus))),
        side=data.draw(st.sampled_from(list(Side))),
        order_type=data.draw(st.sampled_from(list(OrderType))),
        amount=data.draw(st.none() | DECIMALS),
        price=data.draw(st.none() | DECIMALS),
        time_in_force=data.draw(st.none() | st.sampled_from(list(TimeInForce))),
        quote_amount=data.draw(st.none() | DECIMALS),
        stop_price=data.draw(st.none() | DECIMALS),
        filled=data.draw(DECIMALS),
        quote_filled=data.draw(DECIMALS),
        fees=data.draw(st.dictionaries(TEXTS, DECIMALS, max_size=3)),
        exchange_order_id=data.draw(st.none() | TEXTS),
        reason=data.draw(st.none() | TEXTS),
        external=data.draw(st.booleans()),
        created_ns=data.draw(st.integers(0, 2**63 - 1)),
    )
    part = fill(
        data.draw(TEXTS), written.client_order_id, fee=data.draw(st.none() | DECIMALS), price=data.draw(DECIMALS)
    )
    happened = event(written, EventType.FILLED, fill=part, reason=data.draw(st.none() | TEXTS))
    name = str(hash((written.client_order_id, part.trade_id, repr(happened))))
    numbers = commit(replace(put(), order=written), put_event(None), replace(put_event(), event=happened), batch=name)
    read = journal.order(*ACCOUNT, written.client_order_id)
    assert read == written
    assert str(read.price) == str(written.price) or read.price == written.price
    assert journal.events(*ACCOUNT, numbers[1] - 1, 1) == [replace(happened, number=numbers[1])]


def test_transitions_tell_the_changes_of_status_only(journal, commit):
    commit(put("o1", S.PENDING_NEW, "NEW"), put("o1", S.OPEN, "ACK"), put("o1", S.OPEN, "ACK"))
    commit(put("o1", S.OPEN, "ACK"), put("o1", S.PENDING_CANCEL, "CANCEL_SENT"))
    commit(put("o1", S.CANCELED, "CANCELED", reason="asked"))
    assert [(one.before, one.after, one.step, one.reason) for one in journal.transitions(*ACCOUNT, "o1")] == [
        (None, "PENDING_NEW", "NEW", None),
        ("PENDING_NEW", "OPEN", "ACK", None),
        ("OPEN", "PENDING_CANCEL", "CANCEL_SENT", None),
        ("PENDING_CANCEL", "CANCELED", "CANCELED", "asked"),
    ]
    assert journal.load(*ACCOUNT).orders == []


def test_a_missing_fee_is_completed_once(journal, commit):
    bare = {"fee": None, "fee_asset": None}
    commit(put_fill("t1", **bare), put_fill("t2", **bare))
    commit(put_fill("t1", fee=Decimal("-0.5"), fee_asset="BNB", amount=Decimal(9)))
    commit(put_fill("t1", fee=Decimal(7), fee_asset="USDT"), put_fill("t1", **bare))
    found = {one.trade_id: (one.fee, one.fee_asset, one.amount) for one in journal.fills().rows}
    assert found == {"t1": (Decimal("-0.5"), "BNB", Decimal("0.5")), "t2": (None, None, Decimal("0.5"))}


def test_fees_in_several_assets_are_kept(journal, commit):
    more = (Fee("IDR", Decimal("1.50")), Fee("BNB", Decimal("-0.3")))
    bare = {"fee": None, "fee_asset": None}
    commit(put_fill("t1", more_fees=more), put_fill("t2", **bare))
    commit(put_fill("t1", fee=Decimal(9)), put_fill("t2", more_fees=more))
    commit(put_event(fill=fill("t1", more_fees=more)))
    assert [one.more_fees for one in journal.fills().rows] == [more, more]
    (event,) = journal.events(*ACCOUNT, 0, 1)
    assert event.fill is not None
    assert event.fill.fees == (Fee("BTC", Decimal("0.0005")), *more)


@pytest.mark.parametrize("zero", ["0", "0.000", "-0.0"])
def test_another_fee_replaces_a_fee_of_zero_once(journal, commit, zero):
    commit(put_fill("t1", fee=Decimal(zero)))
    for fee in ("0.20", "7"):
        commit(put_fill("t1", fee=Decimal(fee), fee_asset="BNB"))
    assert [(one.fee, one.fee_asset) for one in journal.fills().rows] == [(Decimal("0.20"), "BNB")]


def test_a_manager_starts_with_the_done_orders_whose_fees_are_missing(journal, commit):
    commit(put("o1", S.FILLED, "LAST_FILL"), put_fill("t1", "o1", fee=None, fee_asset=None), put_fill("t2", "o1"))
    commit(put("o2", S.FILLED, "LAST_FILL"), put_fill("t3", "o2"))
    loaded = journal.load(*ACCOUNT)
    assert [one.client_order_id for one in loaded.orders] == ["o1"]
    assert [one.trade_id for one in loaded.fills] == ["t1", "t2"]


def test_a_fill_counts_once(journal, commit):
    commit(put_fill("t1"), put_fill("t1", fee=None))
    commit(put_fill("t1", amount=Decimal(9)), put_fill("t1", pair="ETH-USDT"))
    assert [one.pair for one in journal.fills().rows] == ["BTC-USDT", "ETH-USDT"]
    assert journal.fills().rows[0] == fill("t1")


def test_a_repeated_batch_answers_with_its_first_numbers(journal, epoch):
    first = [Batch("a", (put_event(), put_event())), Batch("b", ()), Batch("c", (put_event(),))]
    assert journal.commit(*ACCOUNT, epoch, first) == [[1, 2], [], [3]]
    again = [Batch("c", (put_event(),)), Batch("d", (put_event(),)), Batch("a", (put_event(), put_event()))]
    assert journal.commit(*ACCOUNT, epoch, again) == [[3], [4], [1, 2]]
    assert journal.commit(*ACCOUNT, epoch, [Batch("e", (put_event(),)), Batch("e", ())]) == [[5], [5]]
    assert journal.event_range(*ACCOUNT) == (1, 6)
    assert [one.number for one in journal.events(*ACCOUNT, 0)] == [1, 2, 3, 4, 5]


def test_the_ids_of_batches_are_bounded(journal, epoch):
    rounds = BATCHES_KEPT // 100 + 3
    for start in range(rounds):
        journal.commit(*ACCOUNT, epoch, [Batch(f"{start}-{n}", ()) for n in range(100)])
    journal.commit(*ACCOUNT, epoch, [Batch(f"more-{n}", ()) for n in range(64)])
    newest = Batch(f"{rounds - 1}-99", (put_event(),))
    assert journal.commit(*ACCOUNT, epoch, [newest]) == [[]]
    assert journal.commit(*ACCOUNT, epoch, [Batch("0-0", (put_event(),))]) == [[1]]


def test_requests_stay_unresolved_until_an_outcome_is_known(journal, commit):
    commit(put("o1", S.CANCELED), intent("r1", "o1"), intent("r2", "o2"), intent("r3"))
    commit(
        CloseRequest("r1", "unknown", 10), CloseRequest("r2", "accepted", 11), CloseRequest("no such", "accepted", 1)
    )
    loaded = journal.load(*ACCOUNT)
    assert [(one.request_id, one.outcome) for one in loaded.requests] == [("r1", "unknown"), ("r3", None)]
    assert loaded.orders == [order("o1", S.CANCELED)]  # done, and still to be queried
    commit(
        CloseRequest("r1", "resolved: absent", 12), CloseRequest("r2", "unknown", 13), CloseRequest("r3", "not_sent", 1)
    )
    assert journal.load(*ACCOUNT).requests == []
    assert journal.request(*ACCOUNT, "r1").outcome == "resolved: absent"
    assert journal.request(*ACCOUNT, "r2").outcome == "accepted"
    commit(intent("r1", "o9"))
    assert journal.request(*ACCOUNT, "r1").client_order_ids == ("o1",)


def test_requests_of_a_kind_since_a_time_include_unresolved_ones(journal, commit):
    commit(intent("r1", "o1"), intent("r2", "o2"), intent("r3", "o3"))
    commit(CloseRequest("r1", "accepted", 10), CloseRequest("r2", "accepted", 20))
    kind = journal.request(*ACCOUNT, "r1").kind
    assert [one.request_id for one in journal.requests(*ACCOUNT, kind, 11)] == ["r2", "r3"]
    assert journal.requests(*ACCOUNT, "another", 0) == journal.requests("acme", "nobody", kind, 0) == []


def test_a_cursor_never_goes_back(journal, commit):
    commit(PutCursor("c", 5))
    commit(PutCursor("c", 3), PutCursor("d", 1))
    commit(PutCursor("c", 7), PutCursor("c", 6))
    assert journal.load(*ACCOUNT).cursors == {"c": 7, "d": 1}


def test_balances_are_bounded_and_the_last_counts(journal, commit):
    for n in range(3):
        commit(*(PutBalances({"BTC": (Decimal(k), Decimal(0))}, k) for k in range(n * 60, n * 60 + 60)))
    loaded = journal.load(*ACCOUNT)
    assert loaded.balances == {"BTC": (Decimal(179), Decimal(0))}
    kept = journal.database.run(lambda c: c.exec_driver_sql("SELECT count(*) FROM balances").scalar(), write=False)
    assert kept == BALANCES_KEPT


def test_accounts_are_apart(journal, commit):
    other = journal.take("acme", "hedge", "holder", 1)
    commit(put("o1"), put_fill("t1"), put_event(), intent("r1"))
    theirs = replace(order("o1", S.FILLED), account="hedge")
    numbers = journal.commit("acme", "hedge", other, [Batch("b1", (replace(put(), order=theirs), put_fill("t1")))])
    assert numbers == [[]]
    assert journal.order("acme", "hedge", "o1") == theirs
    assert journal.order(*ACCOUNT, "o1") == order("o1")
    assert journal.load("acme", "hedge").next_event == 1
    with pytest.raises(Misconfigured):
        journal.commit("acme", "hedge", other, [Batch("b2", (put("o1"),))])


def test_an_older_epoch_is_fenced_and_leaves_nothing(journal, commit, epoch):
    commit(put("o1"), put_event())
    assert journal.take(*ACCOUNT, "successor", 2) == epoch + 1
    with pytest.raises(Fenced) as caught:
        commit(put("o2"), put_event())
    assert (caught.value.address, caught.value.held, caught.value.seen) == (
        "orders/acme/main", (epoch, 0), (epoch + 1, 0)
    )  # fmt: skip
    assert journal.order(*ACCOUNT, "o2") is None
    assert journal.event_range(*ACCOUNT) == (1, 2)
    assert journal.commit(*ACCOUNT, epoch + 1, [Batch("n", (put_event(),))]) == [[2]]


def test_events_are_read_from_any_number_on(journal, commit):
    commit(*(put_event(order(f"o{n}"), ts_recv_ns=n) for n in range(1, 11)))
    assert [one.number for one in journal.events(*ACCOUNT, 3, 4)] == [4, 5, 6, 7]
    assert journal.events(*ACCOUNT, 10) == []
    assert journal.trim(*ACCOUNT, before_ns=0, keep_events=4).events == 6
    assert journal.event_range(*ACCOUNT) == (7, 11)
    assert [one.number for one in journal.events(*ACCOUNT, 6)] == [7, 8, 9, 10]
    with pytest.raises(EventsTrimmed) as caught:
        journal.events(*ACCOUNT, 5)
    assert caught.value.first == 7
    journal.trim(*ACCOUNT, before_ns=100)
    with pytest.raises(EventsTrimmed) as caught:
        journal.events(*ACCOUNT, 9)
    assert caught.value.first == 11
    assert journal.events(*ACCOUNT, 10) == []
    assert commit(put_event()) == [11]


def test_listings_come_in_pages_and_by_filter(journal, commit):
    for n in range(7):
        status = S.FILLED if n % 2 else S.OPEN
        pair = "ETH-USDT" if n == 3 else "BTC-USDT"
        commit(put(f"o{n}", status, created_ns=n, owner=f"w{n % 3}", pair=pair), put_fill(f"t{n}", f"o{n}", pair=pair))
    commit(put("o0", S.CANCELED, created_ns=0))  # a change does not move it
    first = journal.orders(limit=3)
    second = journal.orders(after=first.next, limit=3)
    third = journal.orders(after=second.next, limit=3)
    assert [[one.client_order_id for one in page.rows] for page in (first, second, third)] == [
        ["o0", "o1", "o2"], ["o3", "o4", "o5"], ["o6"]
    ]  # fmt: skip
    assert third.next is None
    assert journal.orders(limit=7).next is None  # all are here
    newest = journal.orders(limit=3, newest=True)
    older = journal.orders(limit=3, newest=True, before=newest.next)
    oldest = journal.orders(limit=3, newest=True, before=older.next)
    assert [[one.client_order_id for one in page.rows] for page in (oldest, older, newest)] == [
        ["o0"], ["o1", "o2", "o3"], ["o4", "o5", "o6"]
    ]  # fmt: skip
    assert oldest.next is None
    assert [one.trade_id for one in journal.fills(limit=1, newest=True, before=journal.fills(limit=2).next).rows] == [
        "t0"
    ]

    def ids(**chosen):
        return [one.client_order_id for one in journal.orders(Filter(**chosen)).rows]

    assert ids(open=True) == ["o2", "o4", "o6"]
    assert ids(open=False, pair="BTC-USDT") == ["o0", "o1", "o5"]
    assert ids(owner="w1") == ["o1", "o4"]
    assert ids(since_ns=2, until_ns=4) == ["o2", "o3"]
    assert ids(account="hedge") == []
    assert ids(exchange="acme", client_order_id="o5") == ["o5"]
    assert [one.trade_id for one in journal.fills(Filter(pair="ETH-USDT")).rows] == ["t3"]
    with pytest.raises(Misconfigured):
        journal.fills(Filter(owner="w1"))


def test_an_order_is_found_by_the_exchanges_id_within_its_pair(journal, commit):
    commit(put("o1", exchange_order_id="7"), put("o2", exchange_order_id="7", pair="ETH-USDT"))
    assert journal.order_by_exchange_id(*ACCOUNT, "ETH-USDT", "7").client_order_id == "o2"
    assert journal.order_by_exchange_id(*ACCOUNT, "ETH-USDT", "8") is None


def test_rows_are_plain_sql(journal, commit):
    commit(put("o1", fees={"BNB": Decimal("0.10")}))
    row = journal.database.run(lambda c: c.exec_driver_sql("SELECT price, fees FROM orders").one(), write=False)
    assert (row[0], json.loads(row[1])) == ("30000.10", {"BNB": "0.10"})


def test_a_closed_journal_opens_itself_again(journal, commit, url):
    commit(put("o1"))
    journal.close()
    assert journal.order(*ACCOUNT, "o1") == order("o1")
    again = Journal.open(url)
    assert again.load(*ACCOUNT).orders == [order("o1")]
    again.close()


def test_two_own_orders_that_meet_keep_a_fill_each(journal, commit):
    buy, sell = put_fill("t1", "o1"), put_fill("t1", "o2", exchange_order_id="78", side=Side.SELL)
    commit(put("o1"), put("o2", exchange_order_id="78"), buy, sell)
    commit(sell, buy)
    kept = [buy.fill, sell.fill]
    assert journal.fills().rows == kept
    assert journal.load(*ACCOUNT).fills == kept


def test_two_objects_of_one_epoch_take_turns(journal, url):
    epoch, other = journal.take(*ACCOUNT, "holder", 1), Journal.open(url)
    made = []
    for writer in (journal, journal, other) * 3:
        name = f"o{len(made)}"
        made += writer.commit(*ACCOUNT, epoch, [Batch(name, (put(name), put_event(order(name))))])
    assert made == [[n] for n in range(1, 10)]
    assert other.commit(*ACCOUNT, epoch, [Batch("o0", (put_event(),)), Batch("new", (put_event(),))]) == [[1], [10]]
    assert journal.event_range(*ACCOUNT) == (1, 11)
    assert [one.after for one in journal.transitions(*ACCOUNT, "o8")] == [order("o8").status.value]
    other.close()


def test_the_fills_of_an_order_become_those_of_another_record_of_it(journal, commit):
    name = fill("t1", of="external:1")
    commit(put("external:1"), put_fill("t1", of="external:1"), put_fill("t2", of="o2", exchange_order_id="other"))
    commit(MoveFills(name.pair, name.exchange_order_id, "o1"))
    commit(put_fill("t1", of="o1"))  # reported again
    found = {one.trade_id: one.client_order_id for one in journal.fills(Filter(*ACCOUNT), 0, 10).rows}
    assert found == {"t1": "o1", "t2": "o2"}
