"""A strategy over a recording sees the same at every tick in every run, in replay time."""

import asyncio
import json
import pickle

import pytest

from venuemesh.market.replay import ReplayClock, ReplayMarket
from venuemesh.model.errors import CaptureError, Misconfigured, RetryLater

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
        with pytest.raises(RetryLater, match="no exchange to ask"):
            asyncio.run(market.active_markets())
        with pytest.raises(TypeError, match="one process"):
            pickle.dumps(market)
    with pytest.raises(Misconfigured, match="no such file"):
        ReplayMarket([tmp_path / "none.jsonl"], "binance")


async def test_sleepers_are_woken_in_order_each_at_its_time():
    clock = ReplayClock()
    woken = []

    async def sleeper(name, seconds):
        await clock.sleep(seconds)
        woken.append((name, clock.now_ns))

    tasks = [asyncio.create_task(sleeper(n, s)) for n, s in (("late", 3), ("early", 1), ("twin", 1), ("never", 9))]
    await asyncio.sleep(0)
    await clock.advance(5 * 10**9)
    assert woken == [("early", 10**9), ("twin", 10**9), ("late", 3 * 10**9)]
    assert clock.now_ns == 5 * 10**9
    clock.end()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert tasks[3].cancelled()
