"""A strategy over a recording gets every change and trade, in order, and the same calls in every run."""

import asyncio
import itertools
import json
import pickle
import re
from pathlib import Path

import pytest

from venuemesh.market.replay import ReplayClock, ReplayMarket
from venuemesh.market.replay.turns import ReplayOver
from venuemesh.model.errors import CaptureError, Misconfigured, NotOffered, NotSynced, RetryLater
from venuemesh.model.events import Side

T0 = 1_700_000_000
FRAMES = 40


def recording(path, cut=0):
    """Ten frames a second for four seconds: frame n puts n units at 100.00."""
    lines = [
        {"t": T0, "kind": "http", "url": "https://api.binance.com/api/v3/depth?symbol=AAAUSDT&limit=1000"},
        *({"t": T0 + (n + 1) / 10, "kind": "recv"} for n in range(FRAMES)),
    ]
    lines[0]["raw"] = json.dumps(
        {"lastUpdateId": 100, "bids": [["100.00000000", "9.00000000"]], "asks": [["101.00000000", "1.00000000"]]}
    )
    for n, line in enumerate(lines[1:], 1):
        event = {"e": "depthUpdate", "E": 1, "s": "AAAUSDT", "U": 100 + n, "u": 100 + n}
        line["raw"] = json.dumps({**event, "b": [["100.00000000", f"{n}.00000000"]], "a": []}, separators=(",", ":"))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path.write_text(text[: len(text) - cut])
    return path


async def ticks_of(path, seconds):
    seen = []

    async def strategy(market):
        async for tick in market.every(seconds):
            book = market.order_books.get("AAAUSDT")  # known from the first record on
            size = book.best_bid.size if book is not None and book.is_live else None
            seen.append((tick, market.now_ns - T0 * 10**9, size))

    with ReplayMarket([path], "binance") as market:
        task = asyncio.create_task(strategy(market))
        await asyncio.sleep(0)
        result = await market.play()
        task.cancel()
    return seen, result


async def test_ticks_are_in_replay_time_and_the_same_in_every_run(tmp_path):
    path = recording(tmp_path / "market.jsonl")
    seen, result = await ticks_of(path, 1.0)
    assert [(tick, at) for tick, at, _ in seen] == [(n, n * 10**9) for n in range(5)]
    # A tick comes before the record of the same time: at second n the last frame read is number 10 n - 1.
    assert [size for *_, size in seen[1:]] == [9, 19, 29, 39]
    assert result["AAAUSDT"]["book"]["applied"] == FRAMES
    assert (await ticks_of(path, 1.0))[0] == seen


async def test_nothing_is_left_after_it(tmp_path):
    with ReplayMarket([recording(tmp_path / "market.jsonl")], "binance") as market:
        await market.play()
        folder = market.order_book("AAAUSDT").directory
        assert list(folder.iterdir())
        assert market.order_book("AAAUSDT").best_bid.size == FRAMES
    assert not folder.exists()


async def test_the_pace_of_the_recording_can_be_kept(tmp_path):
    """Not a measure of speed: it may take longer, never shorter."""
    loop = asyncio.get_running_loop()
    with ReplayMarket([recording(tmp_path / "market.jsonl")], "binance") as market:
        began = loop.time()
        await market.play(speed=20.0)
        assert loop.time() - began >= 4.0 / 20 * 0.99


async def test_a_damaged_recording_is_an_error_after_what_is_intact(tmp_path):
    with ReplayMarket([recording(tmp_path / "market.jsonl", cut=30)], "binance") as market:
        with pytest.raises(CaptureError):
            await market.play()
        assert market.order_book("AAAUSDT").best_bid.size == FRAMES - 1


def test_an_error_names_what_a_recording_cannot_do(tmp_path):
    with ReplayMarket([recording(tmp_path / "market.jsonl")], "binance") as market:
        with pytest.raises(NotOffered, match="no exchange to request"):
            asyncio.run(market.active_markets())
        with pytest.raises(NotOffered, match="does not fill orders"):
            market.buy("AAAUSDT", "1", price="100")
        with pytest.raises(TypeError, match="one process"):
            pickle.dumps(market)
    with pytest.raises(Misconfigured, match="no such file"):
        ReplayMarket([tmp_path / "none.jsonl"], "binance")


async def test_sleepers_are_woken_in_order_each_at_its_time():
    clock = ReplayClock()
    woken = []

    async def sleeper(name, seconds):
        try:
            await clock.sleep(seconds)
        except ReplayOver:
            woken.append(f"{name} was over")
            await clock.sleep(1)
        woken.append((name, clock.now_ns))

    tasks = [asyncio.create_task(sleeper(n, s)) for n, s in (("late", 3), ("early", 1), ("twin", 1), ("never", 9))]
    await asyncio.sleep(0)
    await clock.advance(5 * 10**9)
    assert woken == [("early", 10**9), ("twin", 10**9), ("late", 3 * 10**9)]
    assert clock.now_ns == 5 * 10**9
    clock.turns.end()
    await clock.turns.settle()
    assert woken[3:] == ["never was over"]
    clock.turns.close()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert tasks[3].cancelled()


# The replay waits for the strategy.


class Story:
    """A recording of two pairs, which are LIVE with their first change: change n puts n at 100.00."""

    def __init__(self, path):
        self.path, self.lines, self.now, self.sequence, self.trades = path, [], T0, {}, 0

    def add(self, raw, kind="recv", **more):
        self.now += 0.1
        self.lines.append({"t": self.now, "kind": kind, **more, "raw": json.dumps(raw, separators=(",", ":"))})

    def snapshot(self, symbol):
        self.sequence[symbol] = 100
        url = f"https://api.binance.com/api/v3/depth?symbol={symbol}&limit=1000"
        body = {"lastUpdateId": 100, "bids": [["100.00", "9"]], "asks": [["101.00", "1"]]}
        self.add(body, "http", url=url)

    def change(self, symbol, size):
        self.sequence[symbol] += 1
        at = {"U": self.sequence[symbol], "u": self.sequence[symbol]}
        self.add({"e": "depthUpdate", "E": 1, "s": symbol, **at, "b": [["100.00", f"{size}"]], "a": []})

    def trade(self, symbol, size):
        self.trades += 1
        row = {"t": self.trades, "p": "100.00", "q": f"{size}", "T": 1, "m": False, "M": True}
        self.add({"e": "trade", "E": 1, "s": symbol, **row})

    def write(self):
        self.path.write_text("".join(json.dumps(line) + "\n" for line in self.lines))
        return self.path


@pytest.fixture
def story(tmp_path):
    story = Story(tmp_path / "market.jsonl")
    for symbol in ("AAAUSDT", "BBBUSDT"):
        story.snapshot(symbol)
    for size in range(1, 31):
        story.change("AAAUSDT", size)
        if size % 3 == 0:
            story.trade("BBBUSDT", size)
            story.change("BBBUSDT", size)
    return story.write()


async def played(path, strategy, *, own_task=False):
    """Return the calls of a strategy, which the replay or, as some write it, the caller starts."""
    calls = []
    with ReplayMarket([path], "binance") as market:
        if own_task:
            task = asyncio.create_task(strategy(market, calls))
            await market.play()
            task.cancel()
        else:
            await market.play(strategy(market, calls))
    return calls


async def follows_changes(market, calls):
    book = market.order_book("AAAUSDT")
    async for top in book.changes():
        calls.append((market.now_ns, int(top.best_bid.size), int(book.depth(1).bids[0][1])))


async def works_in_real_time(market, calls):
    await asyncio.to_thread(json.dumps, {})  # before it follows anything
    book = market.order_book("AAAUSDT")
    async for top in book.changes():
        await asyncio.sleep(0.0011 * (int(top.best_bid.size) % 3))
        calls.append((market.now_ns, int(top.best_bid.size), int(book.depth(1).bids[0][1])))


async def passes_on(market, calls):
    queue = asyncio.Queue()

    async def takes():
        while True:
            top = await queue.get()
            book = market.order_book("AAAUSDT")
            calls.append((market.now_ns, int(top.best_bid.size), int(book.depth(1).bids[0][1])))

    taker = asyncio.create_task(takes())
    async for top in market.order_book("AAAUSDT").changes():
        await queue.put(top)
    taker.cancel()


@pytest.mark.parametrize("strategy", [follows_changes, works_in_real_time, passes_on])
async def test_every_change_is_delivered_while_the_book_shows_it(story, strategy):
    calls = await played(story, strategy)
    sizes = [size for _, size, _ in calls]
    assert sizes == [*range(1, 31)]
    assert [shown for *_, shown in calls] == sizes
    assert calls == sorted(calls, key=lambda call: call[0])
    assert await played(story, strategy) == calls


async def test_a_task_of_the_caller_misses_nothing(story):
    calls = await played(story, follows_changes, own_task=True)
    assert calls == await played(story, follows_changes)
    assert len(calls) == 30


async def test_changes_and_trades_of_many_readers_come_in_the_order_of_the_recording(story):
    async def strategy(market, calls):
        async def changes(pair):
            async for top in market.order_book(pair).changes():
                calls.append((market.now_ns, pair, int(top.best_bid.size)))

        async def trades(pair):
            async for trade in market.trades(pair):
                assert trade.missed == 0
                await asyncio.sleep(0.001)
                calls.append((market.now_ns, f"{pair} trade", int(trade.size)))

        async with asyncio.TaskGroup() as group:
            for pair, follow in itertools.product(market.trading_pairs, (changes, trades)):
                group.create_task(follow(pair))

    calls = await played(story, strategy)
    order = [(name, size) for _, name, size in calls]
    expected = []
    for size in range(1, 31):
        expected.append(("AAAUSDT", size))
        expected += [("BBBUSDT trade", size), ("BBBUSDT", size)] if size % 3 == 0 else []
    assert order == expected
    assert calls == await played(story, strategy)


async def test_what_comes_while_a_reader_waits_for_something_else_is_kept_for_it(story):
    async def strategy(market, calls):
        changes = market.order_book("AAAUSDT").changes()
        first = await anext(changes)
        await market.order_book("BBBUSDT").wait_live()
        trades = market.trades("BBBUSDT")
        calls.append(int((await anext(trades)).size))
        async for tick in market.every(1.5):
            if tick == 1:
                break
        calls += [int(first.best_bid.size), *[int((await anext(changes)).best_bid.size) for _ in range(29)]]
        calls += [int(trade.size) async for trade in trades]

    calls = await played(story, strategy)
    assert calls == [6, *range(1, 31), *range(9, 31, 3)]


async def test_the_newest_only_for_those_who_wait_for_a_change(story):
    async def strategy(market, calls):
        book, top = market.order_book("AAAUSDT"), None
        while True:
            top = await book.wait_change(top)
            calls.append(int(top.best_bid.size))
            async for tick in market.every(1.0):
                if tick == 1:
                    break

    calls = await played(story, strategy)
    assert calls == sorted(set(calls))
    assert 3 < len(calls) < 10
    assert calls == await played(story, strategy)


async def test_a_strategy_may_wait_with_a_limit_or_for_its_other_tasks(story):
    """Each of these would wait for ever if the replay waited for the task."""

    async def strategy(market, calls):
        book = market.order_book("AAAUSDT")
        third = asyncio.Event()

        async def watch():
            async for trade in market.trades("BBBUSDT"):
                if trade.number == 3:
                    third.set()

        watcher = asyncio.create_task(watch())
        top = await asyncio.wait_for(book.wait_live(), 60)
        await third.wait()
        calls.append(int(book.best_bid.size))
        tops = await asyncio.gather(book.wait_change(book.top()), market.order_book("BBBUSDT").wait_change(None))
        calls.append([int(top.best_bid.size) for top in tops])
        with pytest.raises(NotSynced, match="no change"):
            await book.wait_change(book.top(), timeout_s=0.01)
        watcher.cancel()
        calls.append(top.live)

    calls = await played(story, strategy)
    assert calls == [9, [10, 6], True]


async def test_the_end_of_the_recording_ends_iterations_and_waits(story):
    async def strategy(market, calls):
        ticks = [tick async for tick in market.every(1.0)]
        calls.append(len(ticks))
        async for _ in market.order_book("AAAUSDT").changes():  # begins after the end, and waits until the close
            calls.append("the last top")

    async def waits(market, calls):
        book = market.order_book("AAAUSDT")
        await book.wait_live()
        try:
            while True:
                await book.wait_change(book.top())
        except NotSynced as over:
            calls.append(over.reason)

    assert await played(story, strategy) == [6, "the last top"]
    assert await played(story, waits) == ["the recording has ended"]


async def test_an_error_of_a_strategy_ends_the_replay(story):
    async def strategy(market, calls):
        async for top in market.order_book("AAAUSDT").changes():
            calls.append(top)
            if len(calls) == 5:
                raise ZeroDivisionError

    calls = []
    with ReplayMarket([story], "binance") as market:
        with pytest.raises(ZeroDivisionError):
            await market.play(strategy(market, calls))
        assert market.order_book("AAAUSDT").best_bid.size == 5
    assert len(calls) == 5


async def test_the_pairs_are_those_of_the_recording(story):
    rules = [
        {"symbol": f"{base}USDT", "status": "TRADING", "baseAsset": base, "quoteAsset": "USDT", "filters": []}
        for base in ("AAA", "BBB", "CCC")
    ]
    line = {"t": T0, "kind": "http", "url": "https://api.binance.com/api/v3/exchangeInfo"}
    listed = story.with_name("listed.jsonl")
    listed.write_text(json.dumps({**line, "raw": json.dumps({"symbols": rules})}) + "\n" + story.read_text())
    with ReplayMarket([story], "binance") as bare, ReplayMarket([listed], "binance") as market:
        assert bare.trading_pairs == ["AAAUSDT", "BBBUSDT"]
        assert market.trading_pairs == ["AAA-USDT", "BBB-USDT"]
        assert market.order_book("AAA-USDT").state.name == "ABSENT"
        with pytest.raises(RetryLater, match="AAA-USDT is ABSENT"):
            await market.wait_ready(0)
        ready = asyncio.create_task(market.wait_ready())
        await market.play()
        await ready
        assert market.order_book("BBB-USDT").vwap(Side.BUY, "1") == 101
        with pytest.raises(Misconfigured, match="make another one"):
            await market.play()


README = (Path(__file__).resolve().parents[3] / "README.md").read_text()


async def test_the_readmes_backtest_runs_as_shown(story):
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "def backtest" in code]
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    sizes = []

    async def strategy(market):
        async for top in market.order_book(market.trading_pairs[0]).changes():
            sizes.append(int(top.best_bid.size))

    result = await names["backtest"](story, strategy)
    assert sizes == [*range(1, 31)]
    assert result["AAAUSDT"]["state"] == "LIVE"
