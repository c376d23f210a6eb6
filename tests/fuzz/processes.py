"""The readers of bytes of other processes and of files: near calls, segments, recordings, configuration, keys."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from venuemesh.actors.cell.messages import (
    BadMessage,
    Envelope,
    Gone,
    Unreachable,
    pack_error,
    pack_reply,
    unpack_reply,
)
from venuemesh.actors.cell.near import FrameReader, Method, frame
from venuemesh.actors.cell.near_pass import pass_on
from venuemesh.actors.cell.pulse import Pulse, read_beat
from venuemesh.actors.orders.bodies import new_order, order_state
from venuemesh.actors.orders.watermarks import Watermarks
from venuemesh.actors.recording.file import CaptureWriter
from venuemesh.actors.recording.file import read as read_recording
from venuemesh.actors.recording.instruments import given_instruments
from venuemesh.config.mesh import load_config
from venuemesh.connectors.gzip_frames import inflate
from venuemesh.connectors.registry import connector
from venuemesh.exchange.accounts_file import read_accounts
from venuemesh.journal.records import Standing
from venuemesh.keystore.key import make_key
from venuemesh.keystore.private import read_line
from venuemesh.keystore.store import Keystore
from venuemesh.mesh.run_file import RunFile, read_run_file
from venuemesh.model.errors import (
    DataError,
    FixedPointError,
    MeshError,
    Misconfigured,
    NotSynced,
    Rejected,
    SegmentMismatch,
)
from venuemesh.model.events import BookState, Side
from venuemesh.model.fixed import read_exact, to_raw
from venuemesh.model.instrument import Instrument
from venuemesh.model.order import NewOrder, OrderType, TimeInForce
from venuemesh.model.plain import from_plain, to_plain
from venuemesh.orderbook.l2 import OrderBook
from venuemesh.orderbook.segment.names import parse_name, segment_name
from venuemesh.orderbook.segment.reader import SegmentReader
from venuemesh.orderbook.segment.writer import SegmentWriter
from venuemesh.supervisor.tree.settings import MeshSettings

from .reader import Form, Reader

PASSPHRASE = "a passphrase"
PEM = (
    b"-----BEGIN PRIVATE KEY-----\n"
    b"MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n"
    b"-----END PRIVATE KEY-----\n"
)


def folder() -> Path:
    """Return a new private folder in memory."""
    above = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="venuemesh-fuzz-", dir=above))


class Scene:
    """A folder for the files that readers read; `close` removes it."""

    def __init__(self) -> None:
        self.folder = folder()
        os.environ["XDG_STATE_HOME"] = str(self.folder)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def file(self, name: str, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
        """Return a reader of bytes from a reader of a private file."""
        path = self.folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

        def read_bytes(data: bytes) -> Any:
            path.write_bytes(data)
            path.chmod(0o600)
            return read(path)

        return read_bytes

    def made(self, name: str, write: Callable[[Path], Any]) -> bytes:
        """Return what `write` puts into a file."""
        path = self.folder / "made" / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write(path)
        data = path.read_bytes()
        path.unlink()
        return data


# --- near calls -----------------------------------------------------------------------------------------------------


def near_readers() -> Iterator[Reader]:
    order = NewOrder("vm1", "BTC-USDT", Side.BUY, OrderType.LIMIT, Decimal(1), Decimal(2), TimeInForce.GTC, owner="me")
    plain = to_plain(order)
    envelope = Envelope("orders/acme/main", "cli", (3, 4), 7, "place", 5.0, {"order": plain}).pack()
    replies = (
        pack_reply({"events": [1, "two", None]}),
        pack_error(Rejected("code", "reason")),
        pack_error(NotSynced("book/acme/BTC-USDT", "GAP", "why")),
        msgpack.packb((False, "Strange", [1], "text")),
    )
    frames = frame(1, Method.ASK, envelope) + frame(2, Method.STATUS, b"") + frame(3, Method.POLL, replies[0])
    yield Reader(
        "near.frames", _frames, (b"\x05" + frames, b"\x00" + frames[:-2]), (BadMessage,), Form.BYTES, numbers=False
    )
    yield Reader("near.envelope", _envelope, (envelope,), (BadMessage,), Form.MSGPACK, numbers=False)
    yield Reader("near.reply", unpack_reply, replies, (MeshError, BadMessage), Form.MSGPACK, numbers=False)
    passed = (
        msgpack.packb((None, "routes", [1, 2], 5.0)),
        msgpack.packb(
            (("book/a/b", {"cell": "c", "node": "n", "incarnation": [1, 2], "child": "x"}), "ask", envelope, 1.0)
        ),
    )
    yield Reader("near.pass", _pass, passed, (BadMessage, MeshError), Form.MSGPACK, numbers=False)
    yield Reader("near.new_order", _packed(new_order), (msgpack.packb(plain),), (Rejected, _NotPacked), Form.MSGPACK)
    held = {**plain, "exchange": "acme", "account": "main", "status": "OPEN", "created_ns": 1, "updated_ns": 2}
    yield Reader("near.order", _packed(order_state), (msgpack.packb(held),), (Rejected, _NotPacked), Form.MSGPACK)
    instrument = Instrument("acme", "BTC-USDT", "BTCUSDT", "BTC", "USDT", 8, 8)
    listed = msgpack.packb(instrument.to_dict())
    yield Reader(
        "near.instrument",
        _packed(Instrument.from_dict),
        (listed,),
        (Misconfigured, _NotPacked),
        Form.MSGPACK,
        numbers=False,
    )
    settings = msgpack.packb(to_plain(MeshSettings("mesh")))
    yield Reader(
        "near.settings",
        _packed(lambda value: from_plain(MeshSettings, value)),
        (settings,),
        (Misconfigured, _NotPacked),
        Form.MSGPACK,
        numbers=False,
    )


class _NotPacked(Exception):
    """The input is not in the form in which the reader gets it."""


def _packed(read: Callable[[Any], Any]) -> Callable[[bytes], Any]:
    def unpack(data: bytes) -> Any:
        try:
            value = msgpack.unpackb(data, strict_map_key=False)
        except (ValueError, TypeError) as error:
            raise _NotPacked from error
        return read(value)

    return unpack


def _frames(data: bytes) -> Any:
    """Cut a connection's bytes into frames, in one piece and in pieces; both must be the same."""
    step, raw = (data[0] % 40 + 1 if data else 1), data[1:]
    whole, pieces = FrameReader(), FrameReader()
    found: list[Any] = []
    try:
        found += whole.feed(raw)
        refused = None
    except BadMessage as error:
        refused = error
    cut: list[Any] = []
    try:
        for at in range(0, len(raw), step):
            cut += pieces.feed(raw[at : at + step])
    except BadMessage:
        assert refused is not None
    else:
        assert refused is None
    assert cut == found
    if refused is not None:
        raise refused
    return found


def _envelope(data: bytes) -> Any:
    envelope = Envelope.unpack(data)
    try:
        packed = envelope.pack()
    except (ValueError, OverflowError):
        return None
    again = Envelope.unpack(packed)
    assert _same(again, envelope), f"{envelope!r} comes back as {again!r}"
    return envelope.address, envelope.sender, envelope.kind


def _same(one: Envelope, other: Envelope) -> bool:
    return repr(one) == repr(other)


class _Routes:
    """Routes that reach nobody."""

    async def supervisor(self, method: str, *arguments: Any, timeout_s: float) -> Any:
        raise Unreachable("nobody")

    async def send(self, route: Any, method: str, packed: bytes, timeout_s: float) -> bytes:
        raise Gone(sent=False)


_loop = asyncio.new_event_loop()


def _pass(data: bytes) -> Any:
    return _loop.run_until_complete(pass_on(_Routes(), data))  # type: ignore[arg-type]


# --- files ----------------------------------------------------------------------------------------------------------

CONFIG = b"""
[mesh]
name = "mesh"
spares_per_node = 1
[restart]
intensity = 3
[exchanges.binance]
pairs = ["BTC-USDT", "*-EUR"]
options = {}
limits = {weight = [6000, 60.0]}
[exchanges.binance.accounts.main]
api_key_file = "key"
secret_file = "secret"
max_open_orders = 5
[journal]
url = "sqlite:///journal.db"
"""
ACCOUNTS = b"""
[accounts.main]
balances = {BTC = "10", USDT = "1000000"}
keys = [{key = "K1", secret = "s", only = "read"}, {key = "K2", secret = "s", passphrase = "p"}]
"""


def file_readers(scene: Scene) -> Iterator[Reader]:
    yield Reader(
        "file.config", scene.file("mesh.toml", load_config), (CONFIG,), (Misconfigured,), Form.BYTES, numbers=False
    )
    yield Reader(
        "file.accounts",
        scene.file("accounts.toml", read_accounts),
        (ACCOUNTS,),
        (Misconfigured,),
        Form.BYTES,
        numbers=False,
        repeats=False,
    )
    yield Reader(
        "file.recording",
        scene.file("recording", _recording),
        _recordings(scene),
        (DataError, Misconfigured),
        Form.BYTES,
    )
    rows = b'[{"symbol": "XRPUSDT", "name": "XRP-USDT", "price_increment": "0.0001", "size_increment": "1"}]'
    codec = connector("binance").codec()
    listed = scene.file("listed.json", lambda path: list(given_instruments(codec, [path]).values()))
    yield Reader("file.instruments", listed, (rows, gzip.compress(rows, mtime=0)), (DataError, Misconfigured))
    yield Reader(
        "file.gzip_frame", lambda data: bytes(inflate(data)), (scene.made("f", _gzip),), (DataError,), Form.BYTES
    )
    yield Reader(
        "file.keystore", scene.file("keystore", _keystore), (scene.made("keystore", _new_keystore),), (Misconfigured,)
    )
    yield Reader(
        "file.secret",
        scene.file("secret", _secret),
        (b"an-hmac-secret\n", PEM, b"\xef\xbb\xbfx"),
        (Misconfigured,),
        Form.BYTES,
    )
    run = json.dumps(
        {"mesh": "mesh", "address": "127.0.0.1:6379", "host_pid": 1, "host_started": 2, "local": True}
    ).encode()
    yield Reader("file.run", scene.file("venuemesh/mesh.json", _run_file), (run,), (Misconfigured,))
    mark = b'{"lineage": "x", "epoch": 1, "next_event": 2, "batches": 3, "checked_on": "n"}'
    marks = Watermarks("sqlite:///journal.db")
    marks.write("acme", "main", Standing("x", 1, 2, 3))
    (path,) = scene.folder.glob("venuemesh/journals/*/*.json")
    yield Reader(
        "file.watermark",
        scene.file(
            str(path.relative_to(scene.folder)),
            lambda _: (marks.read("acme", "main"), marks.checked_on("acme", "main")),
        ),
        (mark, path.read_bytes()),
        (Misconfigured,),
    )
    yield Reader(
        "file.pulse", scene.file("pulse", _pulse), (scene.made("cell", _new_pulse),), (), Form.BYTES, numbers=False
    )
    yield Reader(
        "file.segment",
        scene.file("book~acme~BTC-USDT@1.1", _segment),
        _segments(scene),
        (SegmentMismatch, NotSynced),
        Form.BYTES,
        repeats=False,
    )
    yield Reader(
        "file.segment_name",
        _name,
        (b"book~acme~BTC-USDT@3.17", b"a%7Eb%40@0.1", b"%2Ehidden@1.2"),
        (Misconfigured,),
        Form.BYTES,
    )
    yield Reader(
        "file.number",
        _number,
        (b"1.5", b"-0.00000001", b"1e5", b"9223372036854775807"),
        (DataError, ValueError),
        Form.BYTES,
    )


def _recording(path: Path) -> Any:
    return [(record.kind, record.url, record.raw) for record in read_recording(path)]


def _recordings(scene: Scene) -> tuple[bytes, ...]:
    plain = (
        b'{"t": 1700000000.123456789, "kind": "connect", "url": "wss://h", "raw": ""}\n'
        b'{"t": null, "kind": "recv", "raw": "{\\"a\\":1}"}\n{"t": 1.5, "kind": "recv", "raw_b64": "AAH/"}\n'
    )

    def write(path: Path) -> None:
        with contextlib.closing(CaptureWriter(path)) as writer:
            writer.add(1_700_000_000_000_000_001, "recv", b'{"a":1}')
            writer.flush()
            writer.add(1_700_000_000_000_000_002, "recv", b"\xff\x00", "wss://h")

    return plain, gzip.compress(plain, mtime=0), scene.made("new.zst", write)


def _gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(b'{"a": 1}', mtime=0))


def _new_keystore(path: Path) -> None:
    Keystore(path, log2_n=1).add("main", make_key("binance", "api-key", "a-secret"), PASSPHRASE, added="2026-01-01")


def _keystore(path: Path) -> Any:
    store = Keystore(path)
    entries = store.list()
    if entries:
        store.get(entries[0].name, PASSPHRASE)
    return entries


def _secret(path: Path) -> Any:
    return make_key("binance", "api-key", read_line(path, "secret file")).kind


def _run_file(path: Path) -> Any:
    found = read_run_file(path.stem)
    assert found is not None
    for name, kinds in (("mesh", str), ("address", str), ("host_pid", int), ("local", bool), ("logs", str)):
        value = getattr(found, name)
        assert value is None or type(value) is kinds, f"{name} is {value!r}"
    assert isinstance(found, RunFile)
    return found.host_is_alive()


def _new_pulse(path: Path) -> None:
    pulse = Pulse(path.parent, path.name, "book/acme/BTC-USDT")
    pulse.beat(5, 6)
    del pulse  # the file stays


def _pulse(path: Path) -> Any:
    beat = read_beat(path)
    return None if beat is None else (beat.pid, beat.address)


def _segments(scene: Scene) -> tuple[bytes, ...]:
    found = []
    for number, (levels, trades) in enumerate(((1, 1), (4, 8))):
        writer = SegmentWriter(scene.folder, "book/acme/BTC-USDT", (1, number + 2), 2, 4, levels, trades, 10**18)
        book = OrderBook(2, 4)
        sides = [np.array(rows, dtype=np.int64) for rows in ([[100, 5]], [[101, 6]])]
        book.load(*sides, 7, True, True)
        writer.beat()
        writer.publish(book, BookState.LIVE, 1, 2)
        found.append(writer.path.read_bytes())
        writer.close()
    return tuple(found)


def _segment(path: Path) -> Any:
    """Read all that a reader reads, in any state of the book."""
    reader = SegmentReader(path)
    try:
        kept = [reader.address, reader.state, reader.alive, reader.ended]
        for read in (reader.top, reader.depth, reader.snapshot, reader.statistics, lambda: reader.trades(0)):
            for stale in (False, True) if read in (reader.top, reader.depth, reader.snapshot) else (None,):
                try:
                    found = read() if stale is None else read(stale_ok=stale)  # type: ignore[operator]
                except NotSynced:
                    continue
                if hasattr(found, "best_bid"):
                    kept.append((found.best_bid, found.best_ask))
        return kept
    finally:
        reader.close()


def _name(data: bytes) -> Any:
    try:
        name = data.decode()
    except UnicodeDecodeError:
        return None
    found = parse_name(name)
    if found is not None:
        assert parse_name(segment_name(*found)) == found
    return found


def _number(data: bytes) -> Any:
    """Read a number by both readers of text; they must agree with Decimal."""
    text = data.decode("latin-1")
    scale = len(data) % 19
    try:
        raw = to_raw(text, scale)
    except FixedPointError:
        read_exact(text)
        raise
    assert Decimal(raw).scaleb(-scale) == Decimal(text)
    return raw
