"""Order limits of an account: never more than the exchange counts, wherever its windows begin."""

from hypothesis import given
from hypothesis import strategies as st

from venuemesh.actors.limits.order_window import OrderWindow, OrderWindows
from venuemesh.connectors.spec import Limit
from venuemesh.model.time import SECOND_NS

TEN = Limit(10, per_s=10.0, scope="account")


@given(
    st.lists(st.tuples(st.integers(0, 3 * SECOND_NS), st.integers(1, 4)), max_size=120),
    st.integers(0, 10 * SECOND_NS),
)
def test_no_window_of_the_exchange_ever_sees_more_than_its_limit(steps, offset_ns):
    window, now_ns, placed = OrderWindow(TEN), 0, []
    for pause_ns, orders in steps:
        now_ns += pause_ns
        if window.wait_ns(orders, now_ns) == 0:
            window.add(orders, now_ns)
            placed += [now_ns] * orders
    counted = {}
    for at_ns in placed:
        number = (at_ns + offset_ns) // (10 * SECOND_NS)
        counted[number] = counted.get(number, 0) + 1
    assert max(counted.values(), default=0) <= TEN.amount


@given(st.lists(st.tuples(st.integers(0, 3 * SECOND_NS), st.integers(1, 10)), max_size=60))
def test_the_stated_wait_is_long_enough(steps):
    window, now_ns = OrderWindow(TEN), 0
    for pause_ns, orders in steps:
        now_ns += pause_ns
        now_ns += window.wait_ns(orders, now_ns)
        assert window.wait_ns(orders, now_ns) == 0
        window.add(orders, now_ns)


def test_a_burst_of_the_whole_limit_is_served_at_once_and_then_again_a_window_later():
    window = OrderWindow(TEN)
    window.add(10, 0)
    wait_ns = window.wait_ns(1, 0)
    assert 10 * SECOND_NS <= wait_ns <= 10.2 * SECOND_NS
    assert window.wait_ns(10, wait_ns) == 0


def test_more_than_the_limit_can_never_be_placed_at_once():
    assert OrderWindow(TEN).wait_ns(11, 0) is None


def test_a_successor_places_nothing_before_the_exchange_has_stated_its_counts():
    windows = OrderWindows({"orders_10s": TEN, "orders_1d": Limit(100, per_s=86_400.0)})
    assert windows.wait_ns(1, 0) is None
    windows.open({"orders_10s": 7, "orders_1d": 20}, 0)
    assert windows.wait_ns(3, 0) == 0
    assert windows.wait_ns(4, 0) > 0


def test_a_limit_that_the_exchange_does_not_state_counts_as_used_up():
    windows = OrderWindows({"orders_10s": TEN})
    windows.open({}, 0)
    assert windows.wait_ns(1, 0) >= 10 * SECOND_NS


def test_orders_of_others_are_seen_in_the_counts_of_the_exchange():
    windows = OrderWindows({"orders_10s": TEN})
    windows.open({"orders_10s": 0}, 0)
    windows.add(2, 0)
    windows.observe({"orders_10s": 9, "something_else": 5}, SECOND_NS)
    assert windows.windows["orders_10s"].used(SECOND_NS) == 9
    windows.observe({"orders_10s": 1}, 2 * SECOND_NS)
    assert windows.windows["orders_10s"].used(2 * SECOND_NS) == 9
    assert windows.wait_ns(1, 2 * SECOND_NS) == 0
    assert windows.wait_ns(2, 2 * SECOND_NS) > 0


def test_an_account_without_limits_is_open_at_once():
    assert OrderWindows({}).wait_ns(5, 0) == 0
