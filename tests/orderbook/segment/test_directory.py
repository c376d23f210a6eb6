"""The places of segments: names, private directories, the newest incarnation, files of dead processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.writing import WritingProcess
from venuemesh.model.errors import Misconfigured
from venuemesh.orderbook.segment import SegmentWriter, process_start
from venuemesh.orderbook.segment.directory import (
    SegmentIndex,
    find_newest,
    list_segments,
    mark_retired,
    parse_name,
    segment_directory,
    segment_name,
    segment_root,
    sweep,
)

ADDRESS = "book/binance/BTC-USDT"


@pytest.fixture
def directory(tmp_path):
    tmp_path.chmod(0o700)
    return tmp_path


@given(
    st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=40),
    st.integers(0, 2**40),
    st.integers(0, 2**40),
)
def test_every_address_has_a_name_and_every_name_its_address(address, epoch, counter):
    name = segment_name(address, (epoch, counter))
    assert "/" not in name
    assert not name.startswith(".")
    assert parse_name(name) == (address, (epoch, counter))


@pytest.mark.parametrize(
    "name", ["", "book", "book@1", "book@1.2.3", "@1.2", ".book@1.2", "a@01.2", "a@1.-2", "a@1.2 ", "a@1." + "9" * 19]
)
def test_other_names_are_no_segments(name):
    assert parse_name(name) is None


@pytest.mark.parametrize(
    ("address", "incarnation"), [("", (1, 1)), ("a\0b", (1, 1)), ("a" * 300, (1, 1)), ("a", (-1, 1))]
)
def test_what_makes_no_name_is_refused(address, incarnation):
    with pytest.raises(Misconfigured):
        segment_name(address, incarnation)


def test_the_root_is_configured_or_in_memory(monkeypatch, tmp_path):
    monkeypatch.setenv("VENUEMESH_SEGMENTS", str(tmp_path / "here"))
    assert segment_root() == tmp_path / "here"
    monkeypatch.delenv("VENUEMESH_SEGMENTS")
    assert segment_root().name == f"venuemesh-{os.geteuid()}"


def test_the_directory_is_made_private(monkeypatch, tmp_path):
    monkeypatch.setenv("VENUEMESH_SEGMENTS", str(tmp_path / "root"))
    found = segment_directory("demo", "0123456789abcdef")
    assert found == tmp_path / "root" / "demo" / "0123456789ab"
    assert segment_directory("demo", "0123456789abcdef") == found
    for made in (found, found.parent, found.parent.parent):
        assert made.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("word", ["", "..", "a/b", ".hidden", "a b", "a\0"])
def test_meshes_and_nodes_are_plain_words(monkeypatch, tmp_path, word):
    monkeypatch.setenv("VENUEMESH_SEGMENTS", str(tmp_path / "root"))
    for mesh, node in ((word, "node"), ("mesh", word)):
        with pytest.raises(Misconfigured):
            segment_directory(mesh, node)


def _open_to_others(path: Path) -> None:
    path.mkdir()
    path.chmod(0o750)


def _link(path: Path) -> None:
    (path.parent / "elsewhere").mkdir(mode=0o700)
    path.symlink_to(path.parent / "elsewhere")


def _foreign(path: Path) -> None:
    path.mkdir(mode=0o700)
    try:
        os.chown(path, 12345, 12345)
    except PermissionError:
        pytest.skip("giving a directory to another user needs root")


@pytest.mark.parametrize("spoil", [_open_to_others, _link, _foreign, lambda path: path.write_text("a file")])
def test_a_directory_that_is_not_private_is_refused(monkeypatch, tmp_path, spoil):
    monkeypatch.setenv("VENUEMESH_SEGMENTS", str(tmp_path / "root"))
    spoil(tmp_path / "root")
    with pytest.raises(Misconfigured, match="segment directory"):
        segment_directory("mesh", "node")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_squatted_root_is_named_with_its_owner_and_another_way(monkeypatch, tmp_path):
    monkeypatch.setenv("VENUEMESH_SEGMENTS", str(tmp_path / "root"))
    (tmp_path / "root").mkdir(mode=0o700)
    os.chown(tmp_path / "root", 65534, -1)
    with pytest.raises(Misconfigured, match=r"belongs to user nobody, not to root; .*set VENUEMESH_SEGMENTS to a"):
        segment_directory("mesh", "node")


def test_a_root_that_cannot_be_made(monkeypatch, tmp_path):
    monkeypatch.setenv("VENUEMESH_SEGMENTS", str(tmp_path / "no" / "such"))
    with pytest.raises(Misconfigured, match="cannot be created"):
        segment_directory("mesh", "node")


def test_the_newest_incarnation_by_number_not_by_text(directory):
    writers = [SegmentWriter(directory, ADDRESS, incarnation, 2, 4) for incarnation in ((1, 9), (2, 1), (1, 10))]
    other = SegmentWriter(directory, "book/binance/ETH-USDT", (9, 9), 2, 4)
    assert find_newest(directory, ADDRESS) == writers[1].path
    assert [found[1] for found in list_segments(directory)] == [(1, 9), (1, 10), (2, 1), (9, 9)]
    writers[1].close()
    assert find_newest(directory, ADDRESS) == writers[2].path
    assert find_newest(directory, "book/binance/XRP-USDT") is None
    assert find_newest(directory / "none", ADDRESS) is None
    for writer in (*writers, other):
        writer.close()


def test_the_index_lists_only_after_changes(directory):
    index = SegmentIndex(directory)
    assert index.segments(ADDRESS) == []
    first = SegmentWriter(directory, ADDRESS, (1, 1), 2, 4)
    assert index.segments(ADDRESS) == [((1, 1), first.path)]
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:  # until the last change is old enough to differ from a newer one
        before = index.listings
        index.segments(ADDRESS)
        if index.listings == before:
            break
    settled = index.listings
    for _ in range(100):
        index.segments(ADDRESS)
    assert index.listings == settled
    second = SegmentWriter(directory, ADDRESS, (1, 2), 2, 4)
    assert index.segments(ADDRESS) == [((1, 2), second.path), ((1, 1), first.path)]
    first.close()
    second.close()
    assert index.segments(ADDRESS) == []
    assert SegmentIndex(directory / "none").segments(ADDRESS) == []
    assert SegmentIndex.of(directory) is SegmentIndex.of(directory)


def test_mark_retired_removes_what_it_can(directory):
    writer = SegmentWriter(directory, ADDRESS, (1, 1), 2, 4)
    assert mark_retired(writer.path, unlink=False)
    assert writer.path.exists()
    assert mark_retired(writer.path)
    assert not mark_retired(writer.path)
    rubbish = directory / segment_name(ADDRESS, (1, 2))
    rubbish.write_bytes(b"rubbish")
    assert mark_retired(rubbish)
    assert os.listdir(directory) == []
    writer.close()


def test_a_killed_writer_is_dead_before_its_parent_has_noticed(directory):
    with WritingProcess(directory, ADDRESS) as process:
        process.signal(signal.SIGKILL)  # and not waited for: a zombie
        deadline = time.monotonic() + 10
        while process_start(process.pid):
            assert time.monotonic() < deadline
        assert sweep(directory, silent_ns=0) == [process.path]


def test_sweep_takes_only_what_the_dead_left(directory):
    mine = SegmentWriter(directory, ADDRESS, (1, 1), 2, 4)
    foreign = directory / segment_name(ADDRESS, (1, 5))
    foreign.write_bytes(b"rubbish")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    unfinished = directory / f".{gone.pid}.{'0' * 16}.new"
    unfinished.write_bytes(b"")
    growing = directory / f".{os.getpid()}.{'0' * 16}.new"
    growing.write_bytes(b"")
    with WritingProcess(directory, ADDRESS, (1, 2)) as process:
        assert sweep(directory, silent_ns=0) == [unfinished]
        process.kill()
        assert sweep(directory, silent_ns=60_000_000_000) == []
        assert sweep(directory, silent_ns=0) == [process.path]
    assert sorted(os.listdir(directory)) == sorted([growing.name, mine.path.name, foreign.name])
    assert sweep(directory / "none") == []
    mine.close()
