"""Every way a call over a websocket can end."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.fakes.clock import FakeClock, until
from tests.fakes.transport import FakeFeed
from venuemesh.connectors import bybit
from venuemesh.connectors.binance import CONNECTOR
from venuemesh.connectors.order_codec import Draft, Kind
from venuemesh.connectors.transport.calls import Calls
from venuemesh.model.errors import OutcomeUnknown, RetryLater

KEY = CONNECTOR.auth("hmac", "k" * 64, "secret")
CODEC = CONNECTOR.trading()
PING = Draft(Kind.RAW, ("GET", "/api/v3/account"), "account.status", ())


def signed(request_id: str):
    return KEY.sign_call(PING, request_id, 10**18, 5000)


def answer(request_id, status=200, result=None, **fields) -> bytes:
    body = {"result": result or {}} if status == 200 else {"error": {"code": -1, "msg": "no"} | fields}
    return json.dumps({"id": request_id, "status": status} | body).encode()


class Bench:
    def __init__(self, **options) -> None:
        self.failures: list[BaseException] = []
        self.pushed: list[bytes] = []
        self.clock = FakeClock()
        self.feeds: list[FakeFeed] = []
        self.calls = Calls(
            options.pop("codec", CODEC),
            on_failure=self.failures.append,
            on_push=lambda frame, recv_ns: self.pushed.append(frame),
            clock=self.clock,
            feed=self._feed,
            **({"wait_s": 0.0} | options),
        )

    def _feed(self, *args, **options) -> FakeFeed:
        self.feeds.append(FakeFeed(*args, **options))
        return self.feeds[-1]

    @property
    def feed(self) -> FakeFeed:
        return self.feeds[0]

    def open(self):
        return self.feed.open(self.clock.monotonic_ns())

    def send(self, request_id: str, timeout_s: float = 5.0, **options) -> asyncio.Task:
        return asyncio.ensure_future(self.calls.send(signed(request_id), timeout_s, **options))

    async def sent(self, *request_ids: str) -> list[asyncio.Task]:
        """Return the written calls."""
        tasks = [self.send(one) for one in request_ids]
        link = self.feed.link
        await until(lambda: len(link.sent) >= len(tasks))
        return tasks


async def test_answers_find_their_calls_in_any_order():
    bench = Bench()
    bench.calls.start()
    link = bench.open()
    one, two = await bench.sent("1", "2")
    assert bench.feed.started
    assert link.sent == [signed("1").call, signed("2").call]
    bench.feed.frame(answer("2", 400, code=-2010, msg="refused"), 9)
    bench.feed.frame(answer("1", result={"a": "b"}), 10)
    assert (await two).status == 400
    assert json.loads((await two).body) == {"code": -2010, "msg": "refused"}
    assert ((await one).status, (await one).body, (await one).recv_ns) == (200, b'{"a":"b"}', 10)
    assert bench.calls.status()["answered"] == 2
    assert bench.calls.status()["outstanding"] == 0


async def test_a_second_answer_to_one_call_changes_nothing():
    bench = Bench()
    bench.open()
    (task,) = await bench.sent("1")
    bench.feed.frame(answer("1", result={"n": "first"}))
    bench.feed.frame(answer("1", result={"n": "second"}))
    assert (await task).body == b'{"n":"first"}'
    assert bench.calls.status()["late"] == 1


async def test_without_a_connection_nothing_is_sent():
    bench = Bench()
    with pytest.raises(RetryLater, match="not open yet"):
        await bench.send("1")
    bench.open()
    bench.feed.close("the line was cut")
    with pytest.raises(RetryLater):
        await bench.send("1")


async def test_a_call_waits_a_little_for_the_connection():
    bench = Bench(wait_s=5.0)
    task = bench.send("1")
    await asyncio.sleep(0)
    link = bench.open()
    await until(lambda: link.sent)
    bench.feed.frame(answer("1"))
    assert (await task).status == 200


async def test_a_prepared_call_writes_nothing_before_its_release_and_its_time_limits_begin_then():
    bench = Bench(wait_s=5.0)
    release: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    looked: list[bool] = []

    def look() -> None:
        looked.append(release.done())

    task = bench.send("1", timeout_s=0.2, before_write=look, release=release)
    await asyncio.sleep(0.4)  # longer than its time limit
    assert not task.done()  # it did not wait for a connection either
    link = bench.open()
    assert (link.sent, looked, bench.calls.status()["outstanding"]) == ([], [], 0)
    release.set_result(None)
    await until(lambda: link.sent)
    bench.feed.frame(answer("1"))
    assert ((await task).status, looked) == (200, [True])


async def test_a_prepared_call_that_is_cancelled_is_not_written():
    bench = Bench()
    link = bench.open()
    release: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = bench.send("1", release=release)
    await asyncio.sleep(0)
    release.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (later,) = await bench.sent("1")  # its id is free
    assert link.sent == [signed("1").call]
    bench.feed.frame(answer("1"))
    assert (await later).status == 200


async def test_calls_wait_until_the_exchange_has_opened_the_connection():
    bench = Bench(codec=bybit.CONNECTOR.trading(), opening=lambda: b"auth", wait_s=5.0)
    task = bench.send("1")
    await asyncio.sleep(0)
    link = bench.open()
    assert link.sent == [b"auth"]
    assert not bench.calls.status()["open"]
    bench.feed.frame(b'{"retCode":0,"retMsg":"OK","op":"auth","connId":"c"}')
    await until(lambda: len(link.sent) == 2)
    bench.feed.frame(b'{"reqId":"1","retCode":0,"retMsg":"OK","op":"order.create","data":{},"header":{},"connId":"c"}')
    assert (await task).status == 200
    bench.feed.close("1006")
    assert bench.open().sent == [b"auth"]
    with pytest.raises(RetryLater):
        await bench.send("2", timeout_s=0.01)
    bench.feed.frame(b'{"retCode":10004,"retMsg":"invalid sign","op":"auth","connId":"c"}')
    await until(lambda: bench.feed.reconnects)
    assert "invalid sign" in bench.feed.reconnects[0]
    assert not bench.failures


async def test_a_cut_line_leaves_every_call_unknown_and_a_new_one_gets_no_old_call():
    bench = Bench()
    bench.open()
    tasks = await bench.sent("1", "2", "3")
    bench.feed.close("1006")
    for task in tasks:
        with pytest.raises(OutcomeUnknown, match="1006"):
            await task
    link = bench.open()
    assert link.sent == []
    bench.feed.frame(answer("1"))
    assert bench.calls.status()["late"] == 1
    assert bench.calls.status()["unknown"] == 3


async def test_no_answer_in_time_is_unknown_and_a_late_one_is_counted():
    bench = Bench()
    bench.open()
    with pytest.raises(OutcomeUnknown, match="no answer within"):
        await bench.send("1", timeout_s=0.01)
    bench.feed.frame(answer("1"))
    assert bench.calls.status()["late"] == 1


async def test_more_than_may_be_outstanding_are_refused_unsent():
    bench = Bench(max_outstanding=2)
    link = bench.open()
    tasks = await bench.sent("1", "2")
    with pytest.raises(RetryLater, match="outstanding"):
        await bench.send("3")
    assert len(link.sent) == 2
    bench.feed.frame(answer("1"))
    await tasks[0]
    third = bench.send("3")
    await until(lambda: len(link.sent) == 3)
    bench.feed.close("over")
    await asyncio.gather(tasks[1], third, return_exceptions=True)


async def test_the_last_look_comes_before_the_first_byte():
    bench = Bench()
    link = bench.open()

    def too_late() -> None:
        assert link.sent == []
        raise RetryLater(0.0, "the validity has ended")

    with pytest.raises(RetryLater, match="validity has ended"):
        await bench.send("1", before_write=too_late)
    assert link.sent == []
    assert bench.calls.status()["sent"] == 0


async def test_a_write_that_fails_is_unknown():
    bench = Bench()
    link = bench.open()

    def broken(text: bytes) -> None:
        raise ConnectionResetError("gone")

    link.send = broken
    with pytest.raises(OutcomeUnknown, match="gone"):
        await bench.send("1")


async def test_one_id_at_a_time():
    bench = Bench()
    bench.open()
    (task,) = await bench.sent("1")
    with pytest.raises(ValueError, match="outstanding"):
        await bench.send("1")
    with pytest.raises(ValueError, match="not a call"):
        await bench.calls.send(KEY.sign(PING, "2", 10**18, 5000), 1.0)
    bench.feed.frame(answer("1"))
    await task


async def test_a_cancelled_caller_leaves_nothing_behind():
    bench = Bench()
    bench.open()
    (task,) = await bench.sent("1")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.calls.status()["outstanding"] == 0
    bench.feed.frame(answer("1"))
    assert bench.calls.status()["late"] == 1


async def test_pushes_are_handed_on_and_unreadable_input_is_counted():
    bench = Bench()
    bench.open()
    event = b'{"subscriptionId":0,"event":{"e":"balanceUpdate","E":1,"a":"BTC","d":"1","T":1}}'
    bench.feed.frame(memoryview(event))
    bench.feed.frame(b"<html>")
    assert bench.pushed == [event, b"<html>"]
    assert bench.calls.status()["unreadable"] == 1


SHUTDOWN = b'{"event":{"e":"serverShutdown","E":1770123456789}}'


async def test_an_announced_end_is_waited_out_before_a_new_connection():
    bench = Bench(wait_s=5.0)
    first = bench.open()
    (task,) = await bench.sent("1")
    bench.feed.frame(SHUTDOWN)
    later = bench.send("2")
    await asyncio.sleep(0)
    assert bench.feed.reconnects == []
    bench.feed.frame(answer("1"))
    assert (await task).status == 200
    assert len(bench.feed.reconnects) == 1
    second = bench.open()
    await until(lambda: second.sent)
    assert len(first.sent) == 1
    bench.feed.frame(answer("2"))
    assert (await later).status == 200


async def test_an_idle_connection_is_left_at_once():
    bench = Bench()
    bench.open()
    bench.feed.frame(SHUTDOWN)
    assert len(bench.feed.reconnects) == 1


async def test_an_old_connection_is_changed_before_it_is_cut():
    bench = Bench(max_connection_s=100.0)
    bench.open()
    bench.clock.advance(80)
    (task,) = await bench.sent("1")
    bench.feed.frame(answer("1"))
    await task
    assert bench.feed.reconnects == []
    bench.clock.advance(10)
    with pytest.raises(RetryLater):
        await bench.send("2")
    assert len(bench.feed.reconnects) == 1


async def test_stopping_ends_what_is_under_way():
    bench = Bench()
    bench.open()
    (task,) = await bench.sent("1")
    await bench.calls.stop()
    assert bench.feed.stopped
    with pytest.raises(OutcomeUnknown):
        await task
    with pytest.raises(RetryLater):
        await bench.send("2")


async def test_a_failed_feed_is_reported_once():
    bench = Bench()
    bench.open()
    (task,) = await bench.sent("1")
    bench.feed.options["on_failure"](ValueError("unexpected"))
    with pytest.raises(OutcomeUnknown):
        await task
    assert len(bench.failures) == 1
