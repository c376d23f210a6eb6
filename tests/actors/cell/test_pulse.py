"""Pulses, hang detection with time as an argument, and killing exactly one process."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from venuemesh.actors.cell.pulse import (
    STARVED_TIMES,
    HangDetector,
    Pulse,
    is_alive,
    kill_process,
    process_start,
    read_beat,
    read_beats,
    starved_ns,
    usage,
)
from venuemesh.actors.cell.sweep import leave, sweep
from venuemesh.model.errors import Misconfigured

MS = 1_000_000


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()


def test_a_pulse_is_read_as_it_was_written(tmp_path: Path) -> None:
    pulse = Pulse(tmp_path / "pulse", "cell-1")
    first = read_beat(pulse.path)
    assert first is not None
    assert (first.pid, first.address) == (os.getpid(), "")
    pulse.name("book/x/a")
    pulse.beat(123, 45)
    beat = read_beats(tmp_path / "pulse")["cell-1"]
    assert (beat.beat_ns, beat.lag_ns, beat.address) == (123, 45, "book/x/a")
    assert beat.progress > first.progress
    assert is_alive(beat.pid, beat.start)
    pulse.close()
    assert read_beats(tmp_path / "pulse") == {}
    leave(tmp_path / "pulse")


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 304])
def test_other_files_are_no_pulses(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "junk").write_bytes(content)
    assert read_beats(tmp_path) == {}
    assert read_beats(tmp_path / "absent") == {}


def test_a_full_folder_is_named_and_keeps_no_empty_pulse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(Misconfigured, match=r"pulse.*no room .* of cell-1: No space left.*VENUEMESH_SEGMENTS"):
        Pulse(tmp_path / "pulse", "cell-1")
    assert list((tmp_path / "pulse").iterdir()) == []


def test_a_process_without_progress_is_stale() -> None:
    detector = HangDetector(limit_ns=200 * MS, step_ns=150 * MS)
    stale = []
    for n in range(8):
        stale.append(detector.look({"good": n, "bad": 1}, n * 50 * MS))
    assert stale[:5] == [[]] * 5
    assert stale[5:] == [["bad"]] * 3
    assert detector.look({"good": 9, "bad": 2}, 450 * MS) == []


def test_an_observer_that_was_stopped_reports_no_process() -> None:
    detector = HangDetector(limit_ns=1000 * MS, step_ns=150 * MS)
    detector.look({"a": 1}, 0)
    assert detector.look({"a": 1}, 60_000 * MS) == []
    assert detector.look({"a": 2}, 60_050 * MS) == []


def test_time_that_a_process_waited_for_a_processor_does_not_count() -> None:
    detector = HangDetector(limit_ns=200 * MS, step_ns=150 * MS)
    stale = []
    for n in range(16):
        waited = {"starved": n * 40 * MS, "stopped": 7 * MS}
        look = {"starved": 1, "stopped": 1, "unknown": 1}
        stale.append(detector.look(look, n * 50 * MS, lambda name, _, waited=waited: waited.get(name)))
    assert stale[:5] == [[]] * 5
    assert stale[5:14] == [["stopped", "unknown"]] * 9
    assert detector.look({"starved": 2, "stopped": 1}, 800 * MS) == ["stopped"]


def test_a_loop_that_waits_for_a_thread_without_a_processor_is_not_hung() -> None:
    """The loop's thread sleeps: another thread has the interpreter, and gets no processor."""
    detector = HangDetector(limit_ns=200 * MS, step_ns=150 * MS)

    def starved(name: str, whole: bool, n: int) -> int:
        return n * 40 * MS if whole and name == "waits" else 3 * MS

    looks = [
        detector.look({"waits": 1, "stopped": 1}, n * 50 * MS, lambda name, whole, n=n: starved(name, whole, n))
        for n in range(20)
    ]
    assert looks[:5] == [[]] * 5
    assert looks[5:] == [["stopped"]] * 15


def test_a_process_that_gets_no_processor_counts_as_hung_in_the_end() -> None:
    detector = HangDetector(limit_ns=100 * MS, step_ns=50 * MS)
    looks = [detector.look({"a": 1}, n * 50 * MS, lambda *_, n=n: n * 50 * MS) for n in range(40)]
    last = STARVED_TIMES * 2  # looks in ten times the limit
    assert looks[: last + 1] == [[]] * (last + 1)
    assert looks[last + 1 :] == [["a"]] * (40 - last - 1)


@pytest.mark.skipif(
    not os.path.exists("/proc/self/schedstat"), reason="this kernel does not count waits for a processor"
)
def test_the_kernel_tells_how_long_a_thread_waited_for_a_processor(child: subprocess.Popen[bytes]) -> None:
    known, whole = starved_ns(child.pid, child.pid), starved_ns(child.pid)
    assert known is not None
    assert whole is not None
    assert 0 <= known <= whole
    child.kill()
    child.wait()
    assert starved_ns(child.pid, child.pid) is None


def test_a_newcomer_has_the_whole_limit() -> None:
    detector = HangDetector(limit_ns=100 * MS, step_ns=150 * MS)
    detector.look({}, 0)
    assert detector.look({"a": 1}, 150 * MS) == []
    assert detector.look({"a": 1}, 240 * MS) == []
    assert detector.look({"a": 1}, 260 * MS) == ["a"]


@pytest.mark.parametrize("stopped", [False, True])
def test_a_process_is_killed_and_certainly_gone(child: subprocess.Popen[bytes], stopped: bool) -> None:
    start = process_start(child.pid)
    assert start is not None
    if stopped:
        os.kill(child.pid, signal.SIGSTOP)
    assert kill_process(child.pid, start)
    assert not is_alive(child.pid, start)
    assert kill_process(child.pid, start)  # again: it was gone


def test_a_later_process_with_the_same_pid_is_left_alone(child: subprocess.Popen[bytes]) -> None:
    start = process_start(child.pid)
    assert start is not None
    assert kill_process(child.pid, start - 1)
    assert is_alive(child.pid, start)


def test_usage_of_a_living_process() -> None:
    used = usage(os.getpid())
    assert used is not None
    assert used.rss > 1_000_000
    assert used.cpu_s >= 0


def test_sweeping_takes_the_dead_and_leaves_the_living(tmp_path: Path, child: subprocess.Popen[bytes]) -> None:
    directory = tmp_path / "node"
    directory.mkdir(mode=0o700)
    mine = Pulse(directory / "pulse", "cell-mine")
    code = "import sys, pathlib, venuemesh.actors.cell.pulse as p; p.Pulse(pathlib.Path(sys.argv[1]), 'gone')"
    subprocess.run([sys.executable, "-c", code, str(directory / "pulse")], check=True)
    assert sorted(read_beats(directory / "pulse")) == ["cell-mine", "gone"]
    assert sweep(directory) == 1
    assert sorted(read_beats(directory / "pulse")) == ["cell-mine"]
    mine.close()
    leave(directory)
    assert not directory.exists()
