"""What a starting mesh says of itself."""

import pytest

from venuemesh.mesh.progress import STALL_S, Patience, advance_of, missing_parts, progress_text


def book(name, child_state, book_state=None):
    address = f"book/binance/{name}"
    status = None if book_state is None else {"pairs": {name: {"state": book_state}}}
    return {
        "address": address,
        "state": child_state,
        "serves": [address],
        "status": status,
        "last_error": None,
        "why": None,
    }


def role(address, state, status=None):
    return {"address": address, "state": state, "serves": [], "status": status, "last_error": None, "why": None}


def test_progress_counts_and_names_what_is_missing():
    children = [role("limits/binance/default", "SERVING"), role("catalog/binance", "STARTING")]
    tree = {"children": children, "unread": ["binance"]}
    assert progress_text(tree) == (
        "1 of 2 actors serve, 0 of 0 books LIVE; waiting: catalog/binance is STARTING, "
        "the instruments of binance are not known"
    )


def test_progress_names_the_first_parts_only():
    children = [book(f"A{n}-B", "WAITING") for n in range(4)]
    tree = {"children": [*children, book("X-B", "REFUSED")], "unread": []}
    assert len(missing_parts(tree)) == 4  # an actor and its book are one part
    assert progress_text(tree).startswith(
        "0 of 4 actors serve, 0 of 4 books LIVE; waiting: book/binance/A0-B is WAITING"
    )
    assert progress_text(tree).endswith(" and 1 more")


def test_progress_at_the_end_names_nothing():
    children = [book("A-B", "SERVING", "LIVE"), role("orders/binance/main", "SERVING", {"ready": True})]
    assert progress_text({"children": children, "unread": []}) == "2 of 2 actors serve, 1 of 1 books LIVE"
    children.append(book("C-B", "SERVING", "HALTED"))
    assert progress_text({"children": children, "unread": []}) == "3 of 3 actors serve, 1 of 2 books LIVE, 1 HALTED"


def replica(name, child_state, book_state=None, lacks_host=False):
    row = book(name, child_state, book_state)
    address = f"replica/binance/{name}"
    return row | {"address": address, "serves": [address], "lacks_host": lacks_host}


def test_a_start_waits_until_the_replica_of_a_book_is_live_and_names_it():
    children = [book("A-B", "SERVING", "LIVE"), replica("A-B", "SERVING", "SYNCING")]
    tree = {"children": children, "unread": []}
    assert missing_parts(tree) == ["replica/binance/A-B is SYNCING"]
    assert progress_text(tree) == (
        "2 of 2 actors serve, 1 of 1 books LIVE, 0 of 1 replicas LIVE; waiting: replica/binance/A-B is SYNCING"
    )
    before = advance_of(tree)
    children[1] = replica("A-B", "SERVING", "LIVE")
    assert missing_parts(tree) == []
    assert progress_text(tree) == "2 of 2 actors serve, 1 of 1 books LIVE, 1 of 1 replicas LIVE"
    assert advance_of(tree) == before + 1
    children[0], children[1] = book("A-B", "SERVING", "HALTED"), replica("A-B", "SERVING", "HALTED")
    assert missing_parts(tree) == []
    assert progress_text(tree) == "2 of 2 actors serve, 0 of 1 books LIVE, 1 HALTED, 0 of 1 replicas LIVE, 1 HALTED"


def test_a_start_does_not_wait_for_a_copy_that_no_host_can_take():
    children = [book("A-B", "SERVING", "LIVE"), replica("A-B", "WAITING", lacks_host=True)]
    tree = {"children": children, "unread": []}
    assert missing_parts(tree) == []
    assert progress_text(tree) == (
        "1 of 2 actors serve, 1 of 1 books LIVE, 1 redundant on one host only, because no other host fits"
    )
    children[0], children[1] = book("A-B", "WAITING") | {"lacks_host": True}, replica("A-B", "SERVING", "SYNCING")
    assert missing_parts(tree) == ["replica/binance/A-B is SYNCING"]


def test_a_missing_part_has_its_cause():
    lost = book("A-B", "SERVING", "CONNECTING")
    lost["status"]["pairs"]["A-B"]["error"] = "the connection was lost: 1006"
    dead = role("book/binance/C-B", "WAITING") | {"serves": ["book/binance/C-B"]}
    dead |= {"last_error": "its process 7 was killed from outside or crashed", "why": "waits for a process; ..."}
    silent = role("catalog/binance", "SERVING") | {"why": "the list could not be refreshed: no route to host"}
    account = role("orders/binance/main", "SERVING", {"ready": False, "state": "RECONCILING"}) | {"why": "-2015"}
    assert missing_parts({"children": [lost, dead, silent, account], "unread": ["binance"]}) == [
        "book/binance/C-B is WAITING (its process 7 was killed from outside or crashed)",
        "the instruments of binance are not known (the list could not be refreshed: no route to host)",
        "book/binance/A-B is CONNECTING (the connection was lost: 1006)",
        "orders/binance/main is RECONCILING (-2015)",
    ]


PACE = {"limit": "weight", "waiting": 41, "next_s": 1.5, "units": 6000, "period_s": 60.0}


def test_progress_names_the_limit_that_paces_the_start():
    children = [role("limits/binance/default", "SERVING", {"pace": PACE}), book("A-B", "SERVING", "SYNCING")]
    text = progress_text({"children": children, "unread": []})
    assert text.endswith("; paced by weight of binance (6000 in 60 s): 41 requests wait")
    children[1] = book("A-B", "SERVING", "LIVE")
    assert "paced" not in progress_text({"children": children, "unread": []})


def growing(live):
    return {"children": [book(f"A{n}-B", "SERVING", "LIVE" if n < live else "SYNCING") for n in range(200)]}


def test_a_start_has_time_as_long_as_it_advances():
    patience, now = Patience(None, 0.0), 0.0
    for live in range(1, 200):  # a book in 59 s: more than three hours
        assert not patience.is_over(growing(live), now)
        now += STALL_S - 1
    assert not patience.is_over(growing(150), now)  # some books are lost and come back: that is no step
    assert patience.is_over(growing(199), now + STALL_S)
    assert "nothing has started for 60 s" in patience.reason


def test_a_start_waits_for_a_limit_with_a_long_window():
    paced = growing(1)
    paced["children"].append(role("limits/x/default", "SERVING", {"pace": PACE | {"next_s": 600.0}}))
    patience = Patience(None, 0.0)
    assert not patience.is_over(paced, 0.0)
    assert not patience.is_over(growing(1), 599.0)
    assert patience.is_over(growing(1), 601.0)


@pytest.mark.parametrize("now_s", [9.9, 10.1])
def test_a_given_time_is_for_the_whole_start(now_s):
    patience = Patience(10.0, 0.0)
    assert patience.is_over(growing(int(now_s)), now_s) is (now_s > 10.0)
