"""Recordings replay to exactly their stated books, by both paths; altered recordings replay as the rule requires."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from tests.fakes.captures import captures
from tests.fakes.venue import Venue
from venuemesh.actors.recording.file import CaptureWriter, read
from venuemesh.actors.recording.replay import Replay, replay
from venuemesh.connectors.binance import CONNECTOR
from venuemesh.model.errors import CaptureError, Misconfigured, UnknownExchange

STATED = ("instrument", "file", "lines_in_file", "span_s", "book", "trades", "rules")
PATHS = ("fast", "slow")


@pytest.mark.parametrize("path", PATHS)
def test_recordings_end_exactly_as_stated(path):
    folder = captures("binance")
    expected = json.loads((folder / "expected.json").read_text())
    got: dict[str, dict] = {}
    for file in sorted({stated["file"] for stated in expected.values()}):
        got |= {f"{file} {symbol}": found for symbol, found in replay([folder / file], "binance", path).items()}
    assert got.keys() == expected.keys()
    for key, stated in expected.items():
        assert {field: got[key][field] for field in STATED} == {field: stated[field] for field in STATED}
        assert got[key]["state"] == "LIVE"


def test_both_paths_agree_after_every_frame():
    folder = captures("binance")
    runs = [Replay(CONNECTOR.codec(), {}, {}, fast=fast) for fast in (True, False)]
    for record in read(folder / "market.jsonl.gz"):
        for run in runs:
            run.feed("market.jsonl.gz", record)
        books = [
            {
                symbol: (
                    pair.machine.state,
                    pair.machine.counters,
                    pair.book.sequence,
                    pair.book.n_bids,
                    pair.book.n_asks,
                    pair.book.best_bid,
                    pair.book.best_ask,
                )
                for symbol, pair in run.ingest.pairs.items()
            }
            for run in runs
        ]
        assert books[0] == books[1]
    fast, slow = runs
    assert fast.result() == slow.result()
    assert fast.ingest.slow_frames < slow.ingest.slow_frames


# Stretches of other shapes. `Tape` writes them with a venue whose history is known.


class Tape:
    def __init__(self, path: Path, symbol: str = "AAABBB") -> None:
        self.venue = Venue(symbol)
        self.writer = CaptureWriter(path)
        self.path = path
        self.now_ns = 10**18
        self.symbol = symbol
        self._moves = random.Random(1)

    def add(self, kind: str, raw: bytes, url: str = "") -> None:
        self.now_ns += 100_000_000
        self.writer.add(self.now_ns, kind, raw, url)

    def move(self, changes: int = 3) -> bytes:
        for _ in range(changes):
            self.venue.change((self._moves.randrange(2), self._moves.randrange(1, 50) * 10, self._moves.randrange(3)))
        sent = self.venue.frame()
        assert sent is not None
        return sent[0]

    def frames(self, count: int) -> None:
        for _ in range(count):
            self.add("recv", self.move())

    def lose(self, count: int = 1) -> None:
        for _ in range(count):
            self.move()

    def snapshot(self, back: int = 0, limit: int = 1000) -> None:
        url = f"https://api.binance.com/api/v3/depth?symbol={self.symbol}&limit={limit}"
        self.add("http", self.venue.snapshot(back)[0], url)

    def book(self, path: str = "fast") -> dict:
        self.writer.close()
        both = [replay([self.path], "binance", way)[self.symbol] for way in PATHS]
        assert both[0] == both[1]
        return both[0]

    def best(self) -> list[str]:
        return [f"{max(self.venue.bids) / 100:.8f}", f"{min(self.venue.asks) / 100:.8f}"]


@pytest.fixture
def tape(tmp_path) -> Tape:
    return Tape(tmp_path / "a.jsonl.zst")


def counts(found: dict) -> tuple[int, ...]:
    return tuple(found["book"][k] for k in ("diffs", "applied", "dropped", "gaps", "stream_gaps"))


def test_a_snapshot_that_comes_late(tape):
    tape.frames(50)
    tape.snapshot(back=20)
    tape.frames(3)
    found = tape.book()
    assert counts(found) == (53, 10, 43, 0, 0)
    assert [found["book"]["bids"][0][0], found["book"]["asks"][0][0]] == tape.best()
    assert found["book"]["last_id"] == tape.venue.sequence


def test_several_snapshots_of_which_the_first_is_too_old_and_the_last_is_not_needed(tape):
    tape.move(5)
    tape.frames(2)
    tape.snapshot(back=9)
    tape.frames(1)
    tape.snapshot(back=4)
    joined = tape.venue.sequence - 4
    tape.frames(1)
    tape.snapshot()
    tape.frames(1)
    found = tape.book()
    assert found["book"]["snapshot_id"] == joined
    assert counts(found) == (5, 4, 1, 0, 0)
    assert found["state"] == "LIVE"


def test_a_snapshot_before_the_first_frame(tape):
    tape.snapshot()
    tape.frames(2)
    found = tape.book()
    assert counts(found) == (2, 2, 0, 0, 0)
    assert found["state"] == "LIVE"


def test_a_snapshot_before_the_first_frame_and_too_old_for_it(tape):
    tape.snapshot()
    tape.lose()
    tape.frames(1)
    found = tape.book()
    assert found["state"] == "SYNCING"
    assert (found["book"]["applied"], found["book"]["gaps"]) == (0, 0)


def test_a_gap_and_a_later_snapshot(tape):
    tape.frames(2)
    tape.snapshot()
    tape.frames(4)
    tape.lose()
    tape.frames(3)
    tape.snapshot(back=4)
    tape.frames(2)
    found = tape.book()
    assert counts(found) == (11, 8, 3, 1, 1)
    assert found["state"] == "LIVE"
    assert [found["book"]["bids"][0][0], found["book"]["asks"][0][0]] == tape.best()


def test_a_gap_that_is_never_repaired(tape):
    tape.frames(1)
    tape.snapshot()
    tape.frames(2)
    last = tape.venue.sequence
    tape.lose()
    tape.frames(3)
    found = tape.book()
    assert counts(found) == (6, 2, 1, 1, 1)
    assert found["state"] == "GAP"
    assert found["book"]["last_id"] == last


def test_a_symbol_without_a_snapshot(tape):
    tape.frames(3)
    found = tape.book()
    assert counts(found) == (3, 0, 0, 0, 0)
    assert (found["book"]["last_id"], found["book"]["snapshot_id"], found["book"]["bids"]) == (None, None, [])


def test_frames_that_cannot_be_read_are_no_end(tape):
    tape.frames(1)
    tape.snapshot()
    tape.add("recv", b'{"e":"depthUpdate","s":"AAABBB","U":')
    tape.frames(1)
    tape.snapshot()
    tape.frames(1)
    found = tape.book()
    assert found["state"] == "LIVE"


def test_sizes_beyond_the_wire_decimals_of_a_pair_that_is_not_listed(tape):
    tape.frames(1)
    tape.snapshot()
    tape.venue.bids[98_50] = 10**15
    tape.venue.unsent.append((0, 1_50, 10**15))
    tape.venue.sequence += 1
    frame = tape.venue.frame()
    assert frame is not None
    tape.add("recv", frame[0])
    found = tape.book()
    assert found["state"] == "LIVE"
    assert ["98.50000000", "10000000000000.00000000"] in found["book"]["bids"]


def trade(kind: str, number: int, maker: bool) -> bytes:
    key = "a" if kind == "aggTrade" else "t"
    return json.dumps(
        {"e": kind, "E": 1, "s": "AAABBB", key: number, "p": "1.50", "q": "2", "T": 1, "m": maker, "M": True}
    ).encode()


@pytest.mark.parametrize("kind", ["trade", "aggTrade"])
def test_trades_are_counted_with_the_first_and_the_last(tape, kind):
    for number in (7, 8, 9):
        tape.add("recv", trade(kind, number, number == 9))
    found = tape.book()
    assert found["trades"] == {
        "count": 3,
        "first": [["7", "1.50000000", "2.00000000", "buy"]],
        "last": [["9", "1.50000000", "2.00000000", "sell"]],
    }


def test_rules_come_from_the_list_next_to_the_recording_or_in_it(tmp_path):
    symbol = {
        "symbol": "AAABBB", "status": "TRADING", "baseAsset": "AAA", "quoteAsset": "BBB",
        "filters": [{"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000", "tickSize": "0.01000000"}],
    }  # fmt: skip
    body = json.dumps({"symbols": [symbol]}).encode()
    rules = {"price_step": "0.01000000", "size_step": None, "min_size": None, "min_notional": None}
    url = "https://api.binance.com/api/v3/exchangeInfo"
    inside = Tape(tmp_path / "inside.jsonl.zst")
    inside.add("http", body, url)
    inside.frames(1)
    assert inside.book()["rules"] == rules
    apart = Tape(tmp_path / "apart.jsonl.zst")
    apart.frames(1)
    assert "rules" not in apart.book()
    line = json.dumps({"t": 1, "kind": "http", "url": url, "raw": body.decode()})
    (tmp_path / "instruments.jsonl.gz").write_bytes(gzip.compress(line.encode() + b"\n"))
    assert replay([apart.path], "binance")["AAABBB"]["rules"] == rules


def test_several_files_are_one_recording(tape, tmp_path):
    tape.frames(2)
    tape.snapshot()
    tape.frames(1)
    tape.writer.close()
    tape.writer = CaptureWriter(tmp_path / "b.jsonl.zst")
    tape.frames(2)
    tape.writer.close()
    found = replay([tape.path, tmp_path / "b.jsonl.zst"], "binance")["AAABBB"]
    assert counts(found) == (5, 3, 2, 0, 0)
    assert found["state"] == "LIVE"


def test_a_cut_recording_is_an_error_unless_it_is_allowed(tape, tmp_path):
    tape.writer = CaptureWriter(tmp_path / "c.jsonl.zst", block_bytes=200)
    tape.frames(4)
    tape.snapshot()
    tape.frames(4)
    tape.writer.close()
    whole = (tmp_path / "c.jsonl.zst").read_bytes()
    (tmp_path / "c.jsonl.zst").write_bytes(whole[:-5])
    with pytest.raises(CaptureError) as caught:
        replay([tmp_path / "c.jsonl.zst"], "binance")
    assert caught.value.file.endswith("c.jsonl.zst")
    found = replay([tmp_path / "c.jsonl.zst"], "binance", allow_truncated=True)["AAABBB"]
    assert found["state"] == "LIVE"
    assert "c.jsonl.zst" in found["truncated"]


def test_a_file_without_any_intact_record_is_reported(tape, tmp_path):
    tape.snapshot()
    tape.frames(2)
    tape.writer.close()
    empty, cut = tmp_path / "empty.jsonl.zst", tmp_path / "cut.jsonl.zst"
    empty.touch()
    cut.write_bytes(tape.path.read_bytes()[:20])
    for lost in (empty, cut):
        with pytest.raises(CaptureError):
            replay([lost], "binance")
        truncations: list[CaptureError] = []
        assert replay([lost], "binance", allow_truncated=True, on_truncated=truncations.append) == {}
        assert [error.file for error in truncations] == [str(lost)]
    truncations = []
    found = replay([empty, tape.path, cut], "binance", allow_truncated=True, on_truncated=truncations.append)["AAABBB"]
    assert found["state"] == "LIVE"
    assert [error.file for error in truncations] == [str(empty), str(cut)]
    assert "empty.jsonl.zst" in found["truncated"]
    assert "cut.jsonl.zst" in found["truncated"]


def test_wrong_arguments_are_typed_errors(tmp_path):
    with pytest.raises(UnknownExchange):
        replay([tmp_path / "x.jsonl"], "nowhere")
    with pytest.raises(Misconfigured):
        replay([tmp_path / "x.jsonl"], "binance")
    with pytest.raises(Misconfigured):
        replay([], "binance", "quick")
