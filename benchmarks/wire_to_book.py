"""Wire to book: raw depth frames to applied levels, the top of the book read from Python after every frame.

    python -m benchmarks.wire_to_book [--quick]

Every contender replays the same frames on the same snapshot, one after another within each round; figures are medians
over the rounds of the CPU time of the replaying thread (other programs do not count).
Ours, copying the frame and `orjson.loads` run in this process; peers run in a separate process and environment
(`.cache/peers-venv`, made on demand by pip). A peer that cannot be installed is reported as absent, with the reason.
Frames are Binance's, and the recorded ones of Kraken, Bybit and OKX. Our books drop levels that fall out of the
exchange's window, and on Kraken's frames ours also compares each checksum, as a book role must; the peers do neither.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from venuemesh.connectors import bybit, kraken, okx
from venuemesh.connectors.binance.scanner import DepthScanner, SnapshotScanner
from venuemesh.connectors.market_codec import Scanner
from venuemesh.model.events import Levels
from venuemesh.model.fixed import to_raw
from venuemesh.orderbook.l2 import OrderBook, use_wide

from . import wire_to_book_peers
from .wire_to_book_frames import SCALE, Feed, generated, recorded
from .wire_to_book_recordings import of_other_exchanges

ROOT = Path(__file__).resolve().parents[1]
PEERS_VENV = ROOT / ".cache" / "peers-venv"
PEER_PACKAGES = ("order-book", "msgspec", "orjson", "sortedcontainers")
OURS = "venuemesh scan() + apply()"
PARSED = "venuemesh OrderBook.apply of parsed arrays"
BASELINE = "msgspec + order-book"
Row = dict[str, Any]


def loaded(feed: Feed) -> tuple[OrderBook, Scanner]:
    """Return a book that holds the feed's snapshot, and the exchange's scanner bound to it."""
    book = OrderBook(*feed.scales, window=feed.window)
    if feed.exchange != "binance":
        whole = json.loads(feed.snapshot)
        bids, asks = (
            np.array([[to_raw(text, scale) for text, scale in zip(row, feed.scales, strict=True)] for row in rows])
            for rows in (whole["bids"], whole["asks"])
        )
        book.load(bids, asks, 0)
        other = {"kraken": kraken, "bybit": bybit, "okx": okx}[feed.exchange].CONNECTOR.codec().scanner()
        if other is None:
            raise RuntimeError(f"{feed.exchange} has no scanner")
        other.bind(feed.symbol, book)
        return book, other
    scanner, snapshot = DepthScanner(), SnapshotScanner()
    if not snapshot.scan(feed.snapshot, SCALE, SCALE):
        raise RuntimeError(f"the scanner does not read the snapshot of {feed.name}")
    snapshot.load(book, 1000)
    scanner.bind(feed.symbol, book)
    return book, scanner


def our_scan_and_apply(feed: Feed, frames: tuple[bytes, ...]) -> int:
    """The book role's two calls per frame; then the best levels of both sides, for Kraken also the checksum."""
    if feed.exchange == "kraken":
        return our_scan_apply_and_check(feed, frames)
    book, scanner = loaded(feed)
    scan, apply = scanner.scan, scanner.apply
    start = time.thread_time_ns()
    for frame in frames:
        if scan(frame) < 0:
            raise RuntimeError("a frame was not recognised")
        apply()
        _ = book.best_bid
        _ = book.best_ask
    return time.thread_time_ns() - start


def our_scan_apply_and_check(feed: Feed, frames: tuple[bytes, ...]) -> int:
    book, scanner = loaded(feed)
    scan, apply = scanner.scan, scanner.apply
    start = time.thread_time_ns()
    for frame in frames:
        if scan(frame) < 0:
            raise RuntimeError("a frame was not recognised")
        apply()
        if not scanner.is_proven:
            raise RuntimeError("a checksum is not the exchange's")
        _ = book.best_bid
        _ = book.best_ask
    return time.thread_time_ns() - start


def our_portable(feed: Feed, frames: tuple[bytes, ...]) -> int:
    """The same with the portable code, without AVX2."""
    use_wide(False)
    try:
        return our_scan_and_apply(feed, frames)
    finally:
        use_wide(None)


def our_scan(feed: Feed, frames: tuple[bytes, ...]) -> int:
    _, scanner = loaded(feed)
    scan = scanner.scan
    start = time.thread_time_ns()
    for frame in frames:
        scan(frame)
    return time.thread_time_ns() - start


def copy_alone(feed: Feed, frames: tuple[bytes, ...]) -> int:
    room = bytearray(max(map(len, frames)))
    view = memoryview(room)
    start = time.thread_time_ns()
    for frame in frames:
        view[: len(frame)] = frame
    return time.thread_time_ns() - start


def orjson_alone(feed: Feed, frames: tuple[bytes, ...]) -> int:
    loads = orjson.loads
    start = time.thread_time_ns()
    for frame in frames:
        loads(frame)
    return time.thread_time_ns() - start


def our_apply(feed: Feed, deltas: list[tuple[Levels, Levels, int]]) -> int:
    """Previously parsed levels, as arrays, through `OrderBook.apply`."""
    book, _ = loaded(feed)
    apply = book.apply
    start = time.thread_time_ns()
    for bids, asks, sequence in deltas:
        apply(bids, asks, sequence)
        _ = book.best_bid
        _ = book.best_ask
    return time.thread_time_ns() - start


IN_PROCESS: dict[str, Callable[[Feed, tuple[bytes, ...]], int]] = {
    OURS: our_scan_and_apply,
    "venuemesh scan() + apply(), portable code": our_portable,
    "venuemesh scan() alone": our_scan,
    "memcpy alone": copy_alone,
    "orjson.loads alone": orjson_alone,
}


def newest_python() -> str:
    """Return the newest Python that runs here: by VENUEMESH_PEERS_PYTHON, on the path, in pyenv, or this one."""
    if named := os.environ.get("VENUEMESH_PEERS_PYTHON"):
        return named
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    found = [str(path) for path in pyenv.glob("3.1[3-9]*/bin/python3")]
    found += [path for minor in range(13, 20) if (path := shutil.which(f"python3.{minor}"))]
    best = (sys.version_info[:2], sys.executable)
    for path in found:
        asked = [path, "-c", "import sys, venv; print(*sys.version_info[:2])"]
        probe = subprocess.run(asked, capture_output=True, text=True)
        if probe.returncode == 0:
            major, minor = map(int, probe.stdout.split())
            best = max(best, ((major, minor), path))
    return best[1]


class Peers:
    """The peers' process. `absent` has the peers that cannot be installed, with the reasons."""

    def __init__(self, feeds: list[Feed]) -> None:
        self.absent: dict[str, str] = {}
        self.versions: dict[str, Any] = {}
        self.process: subprocess.Popen[str] | None = None
        self._directory = tempfile.TemporaryDirectory()
        try:
            python = self._environment()
        except (OSError, subprocess.SubprocessError) as error:
            self.absent = dict.fromkeys(wire_to_book_peers.PEERS, f"no environment: {error}")
            return
        path = Path(self._directory.name, "feeds.json")
        given = {
            feed.name: {
                "exchange": feed.exchange,
                "snapshot": feed.snapshot.decode(),
                "frames": [frame.decode() for frame in feed.frames],
            }
            for feed in feeds
        }
        path.write_text(json.dumps(given))
        self.process = subprocess.Popen(
            [str(python), str(Path(wire_to_book_peers.__file__)), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        hello = json.loads(self._line())
        self.absent = {name: why for name, why in hello["peers"].items() if why}
        self.versions = hello["versions"] | {"python": hello["python"]}

    @staticmethod
    def _environment() -> Path:
        """Return the python of the peers' environment, created if it does not exist. Packages that pip cannot install
        are reported as absent; an older Python gets an older `order-book` (1.1 needs 3.13); versions are reported."""
        python = PEERS_VENV / "bin" / "python"
        if not (PEERS_VENV / "filled").exists():
            subprocess.run([newest_python(), "-m", "venv", "--clear", str(PEERS_VENV)], capture_output=True, check=True)
            for package in PEER_PACKAGES:
                install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
                subprocess.run(install, capture_output=True, timeout=300)
            (PEERS_VENV / "filled").touch()
        return python

    def _line(self) -> str:
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peers' process ended with status {self.process.wait()}")
        return line

    @property
    def names(self) -> list[str]:
        return [name for name in wire_to_book_peers.PEERS if name not in self.absent]

    def replay(self, name: str, feed: Feed) -> int:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(f"{name}\t{feed.name}\n")
        self.process.stdin.flush()
        return int(self._line())

    def close(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
            self.process.wait(timeout=60)
        self._directory.cleanup()


def feeds_to_replay() -> tuple[list[Feed], str | None]:
    """Real and generated feeds, and why the real ones are absent."""
    made = [generated(2, 3000), generated(18, 800), generated(200, 100)]
    try:
        return [recorded(), recorded(merge_to=15), *of_other_exchanges(), *made], None
    except FileNotFoundError as error:
        return made, str(error)


def parsed(feed: Feed) -> list[tuple[Levels, Levels, int]]:
    _, scanner = loaded(feed)
    out = []
    for frame in feed.frames:
        scanner.scan(frame)
        out.append((*scanner.levels(), scanner.last))
    return out


def snapshot_rows(rounds: int) -> list[Row]:
    rows = []
    for levels in (1000, 5000):
        feed = generated(2, 1, depth=levels)
        taken: list[int] = []
        book, scanner = OrderBook(SCALE, SCALE), SnapshotScanner()
        for _ in range(max(rounds * 10, 20)):
            start = time.thread_time_ns()
            scanner.scan(feed.snapshot, SCALE, SCALE)
            scanner.load(book, levels)
            taken.append(time.thread_time_ns() - start)
        if (book.n_bids, book.n_asks) != (levels, levels):
            raise RuntimeError("the snapshot was not loaded whole")
        rows.append(
            {
                "feed": f"snapshot, {levels} levels a side, from text",
                "contender": "venuemesh SnapshotScanner",
                "us_per_snapshot": statistics.median(taken) / 1e3,
                "ns_per_level": statistics.median(taken) / (2 * levels),
                "book_memory_bytes": book.memory_bytes,
            }
        )
    return rows


def figures(feed: Feed, contender: str, taken_ns: list[int], ours_ns: float) -> Row:
    middle = statistics.median(taken_ns)
    return {
        "feed": feed.name,
        "real": feed.real,
        "levels_per_frame": round(feed.levels_per_frame, 1),
        "contender": contender,
        "ns_per_level": middle / feed.levels,
        "ns_per_level_best_round": min(taken_ns) / feed.levels,
        "us_per_frame": middle / len(feed.frames) / 1e3,
        "frames_per_s": len(feed.frames) * 1e9 / middle,
        "levels_per_s": feed.levels * 1e9 / middle,
        "times_ours": middle / ours_ns,
    }


def run(quick: bool = False) -> dict[str, Any]:
    """Return {"title", "rows", "absent", "versions", ...}; times in the unit that the key names."""
    rounds = 5 if quick else 31
    feeds, no_captures = feeds_to_replay()
    peers = Peers(feeds)
    taken: dict[tuple[str, str], list[int]] = {}
    deltas = {feed.name: parsed(feed) for feed in feeds}
    try:
        for number in range(rounds):
            for feed in feeds:
                # A short feed is replayed several times a round; the snapshot is loaded again each time.
                times = max(1, 5000 // feed.levels)
                contenders = [*IN_PROCESS, PARSED, *peers.names]
                turn = number % len(contenders)  # rotate, so that cold caches do not always hit the same contender
                for name in contenders[turn:] + contenders[:turn]:
                    if name in IN_PROCESS:
                        spent = sum(IN_PROCESS[name](feed, feed.frames) for _ in range(times)) // times
                    elif name == PARSED:
                        spent = sum(our_apply(feed, deltas[feed.name]) for _ in range(times)) // times
                    else:
                        spent = peers.replay(name, feed)
                    taken.setdefault((feed.name, name), []).append(spent)
    finally:
        peers.close()
    by_name = {feed.name: feed for feed in feeds}
    rows = [
        figures(by_name[feed], contender, ns, statistics.median(taken[feed, OURS]))
        for (feed, contender), ns in taken.items()
    ]
    return {
        "title": f"medians of {rounds} interleaved rounds, CPU time; the top is read after every frame",
        "rows": rows + snapshot_rows(rounds),
        "baseline": BASELINE,
        "absent": peers.absent | ({"real frames": no_captures} if no_captures else {}),
        "versions": peers.versions | {"numpy": np.__version__},
        "avx2": use_wide(None),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wire_to_book", description="wire to book")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    result = run(parser.parse_args().quick)
    print(result["title"], result["versions"], "avx2" if result["avx2"] else "portable")
    for row in result["rows"]:
        per = row.get("us_per_frame", row.get("us_per_snapshot"))
        print(f"{row['feed']:38} {row['contender']:44} {row['ns_per_level']:8.1f} ns/level {per:9.3f} us", end=" ")
        print(f"x{row['times_ours']:.2f}" if "times_ours" in row else f"{row['book_memory_bytes']} bytes")
    for name, why in result["absent"].items():
        print(f"absent: {name}: {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
