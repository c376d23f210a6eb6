"""The cost of a call depends on the open records, not on the history: counted in SQLite's steps, without a clock."""

import pytest

from tests.fakes.records import ACCOUNT, intent, order, put, put_event, put_fill
from venuemesh.journal.journal import Journal
from venuemesh.journal.records import Filter
from venuemesh.journal.writes import Batch, CloseRequest
from venuemesh.model.order import OrderStatus

CALLS = {
    "load": lambda journal, epoch: journal.load(*ACCOUNT),
    "order": lambda journal, epoch: journal.order(*ACCOUNT, "done7"),
    "order_by_exchange_id": lambda journal, epoch: journal.order_by_exchange_id(*ACCOUNT, "BTC-USDT", "7"),
    "open orders": lambda journal, epoch: journal.orders(Filter(*ACCOUNT, open=True)),
    "fills of an order": lambda journal, epoch: journal.fills(Filter(*ACCOUNT, client_order_id="done7")),
    "a page of orders": lambda journal, epoch: journal.orders(Filter(*ACCOUNT), limit=10),
    "a page of fills": lambda journal, epoch: journal.fills(Filter(*ACCOUNT), limit=10),
    "newest events": lambda journal, epoch: journal.events(*ACCOUNT, journal.event_range(*ACCOUNT)[1] - 5),
    "is_tombstone": lambda journal, epoch: journal.is_tombstone(*ACCOUNT, "done7"),
    "commit": lambda journal, epoch: journal.commit(
        *ACCOUNT, epoch, [Batch("last", (put("x"), put_event(), intent()))]
    ),
    "trim of nothing": lambda journal, epoch: journal.trim(*ACCOUNT, before_ns=0),
}


def grown(url, history):
    """Make a journal of ten open orders and `count` done orders."""
    journal = Journal.open(url)
    epoch = journal.take(*ACCOUNT, "holder", 1)
    writes = []
    for n in range(history):
        name = f"done{n}"
        writes += [
            put(name, OrderStatus.FILLED, exchange_order_id=str(n)),
            put_fill(name, name),
            put_event(order(name)),
        ]
        writes += [intent(name, name), CloseRequest(name, "accepted", 5_000)]
    for n in range(10):
        writes += [put(f"open{n}"), put_fill(f"open{n}", f"open{n}"), intent(f"open{n}", f"open{n}")]
    journal.commit(*ACCOUNT, epoch, [Batch("all", tuple(writes))])
    return journal, epoch


def steps(journal, work):
    """Return how many instructions of SQLite's virtual machine the work takes."""
    counted = 0

    def count():
        nonlocal counted
        counted += 1
        return 0

    raw = journal.database.run(lambda connection: connection.connection.driver_connection, write=False)
    raw.set_progress_handler(count, 1)
    try:
        work()
    finally:
        raw.set_progress_handler(None, 0)
    return counted


@pytest.fixture(scope="module")
def journals(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cost")
    made = [grown(f"sqlite:///{directory}/{history}.db", history) for history in (600, 3000)]
    yield made
    for journal, _ in made:
        journal.close()


@pytest.mark.parametrize("name", list(CALLS))
def test_five_times_the_history_costs_about_the_same(journals, name):
    small, large = (steps(journal, lambda j=journal, e=epoch: CALLS[name](j, e)) for journal, epoch in journals)
    assert 0 < large <= 1.5 * small + 200, (small, large)
