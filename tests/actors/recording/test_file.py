"""Recordings: written, read, cut off at every byte, damaged."""

from __future__ import annotations

import errno
import gzip
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from venuemesh.actors.recording import file as recordings
from venuemesh.actors.recording.file import CaptureWriter, Record, read
from venuemesh.model.errors import CaptureError, Misconfigured


def write(path: Path, records: list[tuple[int, str, bytes, str]], block_bytes: int = 1 << 20) -> None:
    writer = CaptureWriter(path, block_bytes)
    for recv_ns, kind, raw, url in records:
        writer.add(recv_ns, kind, raw, url)
    writer.close()


RECORDS = [
    (1_700_000_000_123_456_789, "recv", b'{"a":"\\u0001"}', ""),
    (1_700_000_000_123_456_790, "http", "caf\u00e9 \U0001f600\n\t".encode(), "https://x.test/?a=b"),
    (0, "recv", b"\xff\xfe\x00 not text", ""),
    (999_999_999, "connect", b"", "wss://x.test/ws"),
]


def intact(path: Path) -> tuple[list[Record], CaptureError | None]:
    found: list[Record] = []
    try:
        for record in read(path):
            found.append(record)
    except CaptureError as error:
        return found, error
    return found, None


def test_written_times_are_read_to_the_nanosecond(tmp_path):
    write(tmp_path / "a.jsonl.zst", RECORDS)
    found = list(read(tmp_path / "a.jsonl.zst"))
    assert [(r.recv_ns, r.kind, r.raw, r.url) for r in found] == RECORDS
    assert [r.line for r in found] == [1, 2, 3, 4]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**62), st.sampled_from(["recv", "http"]), st.binary(max_size=50), st.text(max_size=9)
        ),
        min_size=1,
    )
)
def test_any_bytes_survive(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("any") / "a.jsonl.zst"
    write(path, records, block_bytes=64)
    assert [(r.recv_ns, r.kind, r.raw, r.url) for r in read(path)] == records


def test_plain_gzip_and_zstd_are_recognised_by_content(tmp_path):
    lines = b'{"t": 1.5, "kind": "recv", "raw": "x"}\n{"t": null, "kind": "recv", "raw_b64": "eA=="}'
    for name, data in {
        "a.jsonl": lines,
        "a.jsonl.gz": gzip.compress(lines[:20]) + gzip.compress(lines[20:]),
        "a.jsonl.zst": zstandard.compress(lines[:20]) + zstandard.compress(lines[20:]),
        "zstd under a plain name": zstandard.compress(lines),
    }.items():
        (tmp_path / name).write_bytes(data)
        assert list(read(tmp_path / name)) == [
            Record(1_500_000_000, "recv", "", b"x", 1),
            Record(0, "recv", "", b"x", 2),
        ], name


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_cut_at_any_byte_everything_intact_is_given_and_then_the_error(tmp_path, pack):
    blocks = [
        b"".join(b'{"t": %d, "kind": "recv", "raw": "%d"}\n' % (n, n) for n in part) for part in (range(5), range(5, 9))
    ]
    whole = b"".join(map(pack, blocks))
    first = len(pack(blocks[0]))
    path = tmp_path / ("a.jsonl.gz" if pack is gzip.compress else "a.jsonl.zst")
    for at in range(1, len(whole)):
        path.write_bytes(whole[:at])
        found, error = intact(path)
        assert [r.recv_ns // 10**9 for r in found] == list(range(len(found)))
        if at == first:
            assert (len(found), error) == (5, None)
        else:
            assert error is not None, at
            assert error.file == str(path)
            assert len(found) >= 5 or at < first


@pytest.mark.parametrize(
    ("content", "where", "intact_records"),
    [
        (b'{"t": 1, "kind": "recv", "raw": "x"}\n{"t": 2, "ki', "line 2", 1),
        (b'{"t": 1, "kind": "recv", "raw": "x"}\nnonsense\n', "line 2", 1),
        (b'{"kind": 7, "raw": "x"}\n', "line 1", 0),
        (b'{"t": 1, "raw": "x"}\n', "line 1", 0),
        (b'{"t": "soon", "kind": "recv", "raw": "x"}\n', "line 1", 0),
        (b'{"t": 1, "kind": "recv", "raw_b64": "?"}\n', "line 1", 0),
        (b"7\n", "line 1", 0),
        (b"\x00\x01\x02\n", "line 1", 0),
    ],
)
def test_a_line_that_is_not_a_record_is_named_by_its_line(tmp_path, content, where, intact_records):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    found, error = intact(path)
    assert len(found) == intact_records
    assert error is not None
    assert error.where == where


def test_a_damaged_block_is_an_error_after_what_came_before(tmp_path):
    blocks = [zstandard.ZstdCompressor(write_checksum=True).compress(b'{"t": 1, "kind": "recv", "raw": "x"}\n' * 9)] * 3
    raw = bytearray(b"".join(blocks))
    raw[len(blocks[0]) + len(blocks[1]) // 2] ^= 0xFF
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(raw)
    found, error = intact(path)
    assert len(found) >= 9
    assert error is not None


def test_files_that_are_not_there_or_not_recordings(tmp_path):
    with pytest.raises(Misconfigured):
        list(read(tmp_path / "none.jsonl"))
    with pytest.raises(Misconfigured):
        list(read(tmp_path))
    (tmp_path / "a.jsonl.gz").write_bytes(b"not gzip")
    assert intact(tmp_path / "a.jsonl.gz")[1] is not None


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
@pytest.mark.parametrize("content", [b"", b"\n"])
def test_a_file_without_a_record_is_an_error(tmp_path, name, content):
    pack = {".gz": gzip.compress, ".zst": zstandard.compress}.get(Path(name).suffix, bytes)
    for data in (content, pack(content)):
        (tmp_path / name).write_bytes(data)
        found, error = intact(tmp_path / name)
        assert found == []
        assert error is not None
        assert error.file == str(tmp_path / name)


class SmallDisk:
    """A new file on a disk that takes `room` bytes more."""

    def __init__(self, path):
        self.file, self.room = path.open("xb", buffering=0), 1 << 20

    closed = property(lambda self: self.file.closed)

    def write(self, block):
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = bytes(block[: self.room])
        self.room -= len(taken)
        return self.file.write(taken)

    def tell(self):
        return self.file.tell()

    def close(self):
        self.file.close()


def test_a_full_disk_is_one_error_that_names_the_file_and_closing_raises_nothing(tmp_path):
    path = tmp_path / "a.jsonl.zst"
    disk = SmallDisk(path)
    writer = CaptureWriter(path, create=lambda _: disk)
    writer.add(1, "recv", b"kept")
    writer.flush()
    disk.room = 10
    writer.add(2, "recv", b"lost")
    with pytest.raises(CaptureError, match="No space left") as caught:
        writer.flush()
    assert caught.value.file == str(path)
    with pytest.raises(CaptureError):
        writer.add(3, "recv", b"lost as well")
    writer.flush()
    writer.close()
    writer.close()
    found, error = intact(path)
    assert [record.raw for record in found] == [b"kept"]
    assert error is not None


def test_a_recording_is_never_written_over(tmp_path):
    write(tmp_path / "a.jsonl.zst", RECORDS)
    with pytest.raises(Misconfigured):
        CaptureWriter(tmp_path / "a.jsonl.zst")
    assert len(list(read(tmp_path / "a.jsonl.zst"))) == 4


def test_a_killed_writer_loses_at_most_what_it_had_not_flushed(tmp_path):
    path = tmp_path / "a.jsonl.zst"
    code = (
        "import sys\nfrom venuemesh.actors.recording.file import CaptureWriter\n"
        "w = CaptureWriter(sys.argv[1])\n"
        "for n in range(1000): w.add(n, 'recv', b'x' * 50)\n"
        "w.flush()\n"
        "for n in range(1000, 1100): w.add(n, 'recv', b'x' * 50)\n"
        "print('written', flush=True)\nsys.stdin.read()\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"written\n"
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
    found, error = intact(path)
    assert [r.recv_ns for r in found] == list(range(1000))
    assert error is None


def test_lines_are_as_the_captures_readme_says(tmp_path):
    write(tmp_path / "a.jsonl.zst", RECORDS[:1])
    (line,) = zstandard.ZstdDecompressor().stream_reader((tmp_path / "a.jsonl.zst").read_bytes()).readall().splitlines()
    assert json.loads(line) == {"t": 1700000000.123456789, "kind": "recv", "raw": '{"a":"\\u0001"}'}


@pytest.mark.parametrize(("filling", "reason"), [(b" ", "too long for a recording"), (b"\n", "lines are empty")])
def test_a_small_file_of_much_text_takes_little_memory_and_time(tmp_path, monkeypatch, filling, reason):
    monkeypatch.setattr(recordings, "MOST_BLANK", 50_000)
    path = tmp_path / "x.jsonl.zst"
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    with path.open("wb") as file:
        for _ in range(500):
            file.write(packer.compress(filling * (1 << 20)))
        file.write(packer.flush())
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(CaptureError, match=reason):
            list(read(path))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 300 << 20
