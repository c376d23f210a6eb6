"""A recording replays to the recorder's own book."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.clock import until
from tests.fakes.exchange_process import ExchangeProcess
from tests.fakes.transport import FakeFeed, FakeRest, response
from tests.fakes.venue import Venue
from venuemesh.actors.recording import record as recording
from venuemesh.actors.recording.file import CaptureWriter, read
from venuemesh.actors.recording.record import record
from venuemesh.actors.recording.replay import replay
from venuemesh.model.errors import CaptureError, Misconfigured, RetryLater, UnknownExchange, UnknownInstrument
from venuemesh.model.http import HttpRequest, HttpResponse

LISTED = [
    {"symbol": base + quote, "status": "TRADING", "baseAsset": base, "quoteAsset": quote, "filters": []}
    for base, quote in (("AAA", "BBB"), ("CCC", "DDD"))
]


class Stage:
    def __init__(self) -> None:
        self.venues = {symbol["symbol"]: Venue(str(symbol["symbol"])) for symbol in LISTED}
        self.feed: FakeFeed | None = None
        self.client = FakeRest(self.answer)
        self.stop = asyncio.Event()
        self.rest_fails: Exception | None = None

    def connect(self, *args: Any, **options: Any) -> FakeFeed:
        self.feed = FakeFeed(*args, **options)
        return self.feed

    def answer(self, request: HttpRequest) -> HttpResponse | Exception:
        if self.rest_fails is not None:
            return self.rest_fails
        if "exchangeInfo" in request.url:
            return response(json.dumps({"symbols": LISTED}).encode())
        return response(self.venues[request.url.split("symbol=")[1].split("&")[0]].snapshot()[0])

    def start(self, out: Path, *pairs: str) -> asyncio.Task[dict[str, Any]]:
        running = record("binance", pairs, out, stop=self.stop, connect=self.connect, client=self.client)
        return asyncio.ensure_future(running)

    def frame(self, symbol: str, lose: bool = False) -> None:
        self.venues[symbol].change((0, 2_00, len(self.venues[symbol].history) * 100))
        sent = self.venues[symbol].frame()
        assert sent is not None
        assert self.feed is not None
        if not lose:
            self.feed.frame(sent[0], recv_ns=1_700_000_000_000_000_123)


async def test_options_of_the_connector_are_obeyed_and_checked(tmp_path):
    stage = Stage()
    out = tmp_path / "r.jsonl.zst"
    given = {"stop": stage.stop, "connect": stage.connect, "client": stage.client}
    with pytest.raises(Misconfigured, match="depth_speed"):
        await record("binance", ["AAA-BBB"], out, options={"depth_speed": "1ms"}, **given)
    assert not out.exists()
    running = asyncio.ensure_future(
        record("binance", ["AAA-BBB"], out, options={"depth_speed": "1000ms"}, **given)  # the stream's own speed
    )
    await until(lambda: stage.feed is not None and stage.feed.started)
    assert stage.feed is not None
    link = stage.feed.open(time.monotonic_ns())
    await until(lambda: bool(link.sent))
    stage.stop.set()
    await running
    assert [b"aaabbb@depth@100ms" in r.raw for r in read(out) if r.kind == "send"] == [False]


async def test_a_recording_replays_to_the_same_book(tmp_path):
    stage = Stage()
    out = tmp_path / "r.jsonl.zst"
    running = stage.start(out, "AAA-BBB", "CCCDDD")
    await until(lambda: stage.feed is not None and stage.feed.started)
    assert stage.feed is not None
    stage.feed.open(time.monotonic_ns())
    stage.feed.frame(b'{"result":null,"id":1}')
    await until(lambda: len(stage.client.requests) == 3)
    for symbol in stage.venues:
        stage.frame(symbol)
        stage.frame(symbol)
    stage.frame("AAABBB", lose=True)
    stage.frame("AAABBB")
    await until(lambda: len(stage.client.requests) == 4)
    await asyncio.sleep(0)
    stage.frame("AAABBB")
    stage.stop.set()
    result = await running
    assert {name: pair["state"] for name, pair in result["pairs"].items()} == {"AAA-BBB": "LIVE", "CCC-DDD": "LIVE"}
    assert result["pairs"]["AAA-BBB"]["gaps"] == 1
    assert result["bytes"] == out.stat().st_size
    kinds = [r.kind for r in read(out)]
    assert (kinds[0], len(kinds)) == ("http", result["records"])
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"http": 4, "connect": 1, "send": 1, "recv": 7}
    assert {r.recv_ns for r in read(out) if b"depthUpdate" in r.raw} == {1_700_000_000_000_000_123}
    for path in ("fast", "slow"):
        found = replay([out], "binance", path)
        for symbol, name in (("AAABBB", "AAA-BBB"), ("CCCDDD", "CCC-DDD")):
            assert found[symbol]["state"] == "LIVE"
            assert (
                found[symbol]["book"]["last_id"] == stage.venues[symbol].sequence == result["pairs"][name]["sequence"]
            )
            assert found[symbol]["rules"]["price_step"] is None
    assert stage.client.closed
    assert stage.feed.stopped


async def test_a_recording_ends_by_time_and_by_cancelling(tmp_path):
    stage = Stage()
    running = record(
        "binance", ["AAA-BBB"], tmp_path / "a.jsonl.zst", seconds=0.02, connect=stage.connect, client=stage.client
    )
    assert (await running)["pairs"]["AAA-BBB"]["state"] == "CONNECTING"
    stage = Stage()
    task = stage.start(tmp_path / "b.jsonl.zst", "AAA-BBB")
    await until(lambda: stage.feed is not None and stage.feed.started)
    assert stage.feed is not None
    stage.feed.open(time.monotonic_ns())
    stage.frame("AAABBB")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert b"depthUpdate" in next(r.raw for r in read(tmp_path / "b.jsonl.zst") if r.kind == "recv")


async def test_a_failed_recording_leaves_no_file(tmp_path):
    out = tmp_path / "r.jsonl.zst"
    with pytest.raises(UnknownExchange):
        await record("nowhere", ["AAA-BBB"], out)
    with pytest.raises(UnknownInstrument):
        await Stage().start(out, "AAA-ZZZ")
    stage = Stage()
    stage.rest_fails = RetryLater(1.0, "no connection")
    with pytest.raises(RetryLater):
        await stage.start(out, "AAA-BBB")
    assert not out.exists()
    out.write_bytes(b"mine")
    with pytest.raises(Misconfigured):
        await Stage().start(out, "AAA-BBB")
    assert out.read_bytes() == b"mine"


async def test_a_broken_assumption_ends_the_recording(tmp_path):
    stage = Stage()
    task = stage.start(tmp_path / "r.jsonl.zst", "AAA-BBB")
    await until(lambda: stage.feed is not None and stage.feed.started)
    assert stage.feed is not None
    stage.feed.options["on_failure"](RuntimeError("disk full"))
    with pytest.raises(RuntimeError, match="disk full"):
        await task
    assert [r.kind for r in read(tmp_path / "r.jsonl.zst")] == ["http"]


class FullDisk(CaptureWriter):
    """Accepts no bytes once `full` is set."""

    full = False

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        real = self._file
        disk = self

        class File:
            closed = property(lambda _: real.closed)
            tell = real.tell
            close = real.close

            def write(self, block: Any) -> int | None:
                if disk.full:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return real.write(block)

        self._file = File()  # type: ignore[assignment]


async def test_a_full_disk_ends_the_recording_with_one_error_and_everything_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "CaptureWriter", FullDisk)
    monkeypatch.setattr(recording, "FLUSH_S", 0.0)
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    stage = Stage()
    stopped = []
    stop = recording.LimitsRole.stop
    monkeypatch.setattr(recording.LimitsRole, "stop", lambda role: stopped.append(role) or stop(role))
    task = stage.start(tmp_path / "r.jsonl.zst", "AAA-BBB")
    await until(lambda: stage.feed is not None and stage.feed.started)
    assert stage.feed is not None
    stage.feed.open(time.monotonic_ns())
    monkeypatch.setattr(FullDisk, "full", True)
    stage.frame("AAABBB")
    with pytest.raises(CaptureError, match="No space left") as caught:
        await task
    assert caught.value.file == str(tmp_path / "r.jsonl.zst")
    assert stage.feed.stopped
    assert stage.client.closed
    assert stopped
    assert unseen == []


async def test_an_error_at_the_end_does_not_prevent_closing(tmp_path, monkeypatch):
    stage = Stage()

    async def fails(role: Any) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(recording.LimitsRole, "stop", fails)
    with pytest.raises(RuntimeError, match="no"):
        await record("binance", ["AAA-BBB"], tmp_path / "r.jsonl.zst", 0.01, connect=stage.connect, client=stage.client)
    assert stage.client.closed


@pytest.mark.parametrize(
    ("out", "seconds"),
    [
        ("a.jsonl.zst", -5.0),
        ("a.jsonl.zst", 0.0),
        ("a.jsonl.zst", float("nan")),
        ("a.jsonl", 1.0),
        ("a.zst", 1.0),
        ("a", 1.0),
    ],
)
async def test_wrong_arguments_start_nothing(tmp_path, out, seconds):
    stage = Stage()
    with pytest.raises(Misconfigured):
        await record("binance", ["AAA-BBB"], tmp_path / out, seconds, connect=stage.connect, client=stage.client)
    assert stage.client.requests == []
    assert list(tmp_path.iterdir()) == []


def test_the_command_on_a_full_disk_says_one_line(tmp_path):
    """A limit of the file's size stands for a full disk: both are an OSError for the writer.

    `-B`: Python would write the bytecode of a module cut at the limit, and later processes could not import it.
    """
    out = tmp_path / "r.jsonl.zst"
    with ExchangeProcess("--rate", "2000", "--symbols", "BTCUSDT,ETHUSDT", without_limits=True) as exchange:
        code = "import sys; from venuemesh.__main__ import main; main()"
        arguments = ["record", "binance", "BTC-USDT", "ETH-USDT", "--out", str(out), "--seconds", "60"]
        done = subprocess.run(
            [sys.executable, "-B", "-c", code, *arguments, "--rest", exchange.rest, "--ws", exchange.ws],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (12288, 12288)),
        )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("venuemesh: ")
    assert str(out) in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


async def test_a_recording_of_the_local_exchange_replays_to_its_book(tmp_path):
    out = tmp_path / "r.jsonl.zst"
    with ExchangeProcess("--rate", "1000", "--symbols", "BTCUSDT,ETHUSDT", without_limits=True) as exchange:
        pairs = ["BTC-USDT", "ETH-USDT"]
        result = await record("binance", pairs, out, seconds=3.0, rest=exchange.rest, ws=exchange.ws)
        found = replay([out], "binance")
        for symbol, name in (("BTCUSDT", "BTC-USDT"), ("ETHUSDT", "ETH-USDT")):
            book = found[symbol]["book"]
            assert found[symbol]["state"] == "LIVE"
            assert book["last_id"] == result["pairs"][name]["sequence"]
            sides: dict[str, dict[str, str]] = {"bid": {}, "ask": {}}
            for number, _, side, price, size in exchange.admin.history(symbol)["updates"]:
                if number <= book["last_id"]:
                    sides[side][price] = size
            held = {side: {p: s for p, s in levels.items() if float(s)} for side, levels in sides.items()}
            best = sorted(held["bid"], key=float, reverse=True)[:5], sorted(held["ask"], key=float)[:5]
            assert [row[0] for row in book["bids"]] == best[0]
            assert [row[0] for row in book["asks"]] == best[1]
            assert book["bids"] == [[price, held["bid"][price]] for price in best[0]]
