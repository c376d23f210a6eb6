"""The last lines of the demonstration say what they count and what was waited for."""

from dataclasses import replace

from venuemesh.cli.demo.demo import Summary, restarted_unasked
from venuemesh.cli.demo.strategies import ManagerDeath, account_text, fates_text

DEATH = ManagerDeath("orders/binance/main", 77, ["a", "b", "c"])


def test_a_wait_for_proof_does_not_read_as_an_outage():
    assert fates_text(DEATH) == "killed orders/binance/main (process 77) with 3 orders in flight"
    serving = replace(DEATH, serving_ms=163.4)
    assert fates_text(serving).endswith(
        "; orders and cancels were taken again after 163 ms; proving what became of those 3"
    )
    settled = replace(serving, reconciled_ms=15371.0, fates={"a": "OPEN", "b": "OPEN", "c": "FAILED"})
    assert fates_text(settled).endswith(
        "taken again after 163 ms; after 15.4 s no unanswered request could still reach the exchange, "
        "which proved the outcomes: 1 FAILED (never on the exchange), 2 OPEN"
    )


def test_orders_that_the_exchange_never_had_are_named():
    trading = {"account": "binance/main", "orders": {"filled": 60, "canceled": 57, "rejected": 5}, "fills": 70}
    trading |= {"orders_at_exchange": 117, "events": 400, "balances": {"BTC": "1", "USDT": "2"}, "equal": True}
    assert account_text(trading) == (
        "account binance/main: 122 orders (57 canceled, 60 filled, 5 rejected), 70 fills, 400 events, 2 balances; "
        "compared with the exchange's ledger of 117 orders and 5 that were refused or never sent, "
        "which it does not list: all equal"
    )
    assert "never sent" not in account_text(trading | {"orders_at_exchange": 122})
    assert ": not equal" in account_text(trading | {"equal": False})


def test_an_actor_that_ended_by_itself_is_named_with_its_error():
    def row(address, restarts, error=None):
        return {"address": address, "restarts": restarts, "last_error": error}

    asked = {"recovery_ms": {"address": "book/binance/BNB-USDT"}, "manager": {"address": "orders/binance/main"}}
    actors = [row("book/binance/BNB-USDT", 1), row("orders/binance/main", 1), row("stream/binance/main", 0)]
    assert restarted_unasked(Summary(**asked, actors=actors)) == []
    actors = [row("orders/binance/main", 3, "AttributeError: no attribute 'when'"), row("stream/binance/main", 1)]
    assert restarted_unasked(Summary(**asked, actors=actors)) == [
        "orders/binance/main ended 2 times although the demonstration had not killed it: "
        "AttributeError: no attribute 'when'",
        "stream/binance/main ended once although the demonstration had not killed it: "
        "the supervisor has no error of it",
    ]
