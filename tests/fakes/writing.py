"""A segment writer in a separate process, controlled by lines, so that tests can stop and kill it.

Run as a script it serves; imported it gives `WritingProcess`, the handle to such a process. A book depends only on its
sequence number (`book_of`), so a reader can distinguish a complete from a torn book.
"""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from venuemesh.model.events import BookState, Levels, PublicTrade, Side
from venuemesh.orderbook.segment import SegmentWriter

PRICE_SCALE, SIZE_SCALE = 2, 4


def book_of(sequence: int) -> tuple[Levels, Levels]:
    """Return (bids, asks): `sequence` determines their number, every price and every size."""
    row = np.arange(1 + sequence % 40, dtype=np.int64)
    middle = 1_000_000 + sequence % 997 * 100
    size = sequence + 1 + row
    return np.column_stack((middle - row, size)), np.column_stack((middle + 1 + row, size))


def trade_of(number: int) -> PublicTrade:
    side = Side.BUY if number % 2 else Side.SELL
    return PublicTrade("X", 7_000 + number, 1_000_000 + number, number, side, None, 1_000 + number)


class WritingProcess:
    """Starts the process and waits until its segment exists. Ends the process, by id, on exit."""

    def __init__(self, directory: Path, address: str, incarnation: tuple[int, int] = (1, 1), **options: Any) -> None:
        arguments = json.dumps([str(directory), address, list(incarnation), options])
        self._process = subprocess.Popen(
            [sys.executable, __file__, arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid
        self.path = Path(self.read_answer())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def read_answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the writing process ended with {self._process.wait()}")
        return line.rstrip("\n")

    def tell(self, *words: str | int, answer: bool = True) -> str:
        """Send one command; return the answer, which comes after its execution."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        return self.read_answer() if answer else ""

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()


def _serve(directory: str, address: str, incarnation: list[int], options: dict[str, Any]) -> None:
    epoch, counter = incarnation
    writer = SegmentWriter(Path(directory), address, (epoch, counter), PRICE_SCALE, SIZE_SCALE, **options)
    print(writer.path, flush=True)
    beating = True
    while True:
        readable, _, _ = select.select([0], [], [], 0.02)
        if beating:
            writer.beat()
        if not readable:
            continue
        line = sys.stdin.readline()
        if not line:
            return
        order, *words = line.split()
        numbers = [int(word) for word in words if word.lstrip("-").isdigit()]
        if order == "publish":
            writer.publish_levels(*book_of(numbers[0]), True, True, numbers[0], BookState.LIVE, None, numbers[0])
        elif order == "state":
            writer.set_state(BookState[words[0]], " ".join(words[1:]) or None)
        elif order == "trades":
            for number in range(*numbers):
                writer.trade(trade_of(number))
        elif order == "begin":
            writer._begin_publish()
        elif order == "hush":
            beating = False
        elif order == "close":
            writer.close()
            print("ok", flush=True)
            return
        elif order == "flood":  # publish at full speed until told anything else, which ends the process
            print("ok", flush=True)
            books = [book_of(sequence) for sequence in range(4_000)]
            for sequence in range(10**9):
                bids, asks = books[sequence % 4_000]
                writer.publish_levels(bids, asks, True, True, sequence % 4_000, BookState.LIVE, None, sequence)
                if sequence % 500 == 0 and select.select([0], [], [], 0)[0]:
                    return
        else:
            raise ValueError(order)
        print("ok", flush=True)


if __name__ == "__main__":
    _serve(*json.loads(sys.argv[1]))
