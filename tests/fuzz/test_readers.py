"""Every reader of foreign bytes has a fuzz target, reads its seeds, and meets a few hundred changed inputs without a
finding. The fuzzer itself, which coverage guides, is `make fuzz`; see docs/adr/0014-fuzzing.md."""

from __future__ import annotations

import random
from collections.abc import Iterator
from zlib import crc32

import pytest

from tests.fuzz import exchanges, registry
from tests.fuzz.mutate import mutated
from tests.fuzz.processes import Scene
from tests.fuzz.reader import Finding, Form, Reader, check
from venuemesh.conformance.market.mutations import flipped
from venuemesh.connectors.market_codec import DialedByRequest, JoinedOrders, OrderLevelConnector, ServesCandles
from venuemesh.connectors.order_codec import Kind, trading_connector
from venuemesh.connectors.registry import connector, known
from venuemesh.model.errors import DecodeError

CHANGES = 20  # of each seed, of each kind
GROUPS = registry.groups()


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.close()


@pytest.mark.parametrize("group", GROUPS)
def test_readers_return_or_refuse(scene: Scene, group: str) -> None:
    chance = random.Random(group)
    found: dict[str, Finding] = {}
    for reader in GROUPS[group](scene):
        for number, seed in enumerate(registry.inputs(reader)):
            changed = [seed, *flipped(seed[:2_000], number, CHANGES)]
            if reader.form is not Form.BYTES and number < len(reader.seeds):
                made = (mutated(seed, reader.form, reader.head, chance) for _ in range(CHANGES))
                changed += [one for one in made if one is not None]
            for data in changed:
                try:
                    check(reader, data)
                except Finding as finding:
                    found.setdefault(finding.key, finding)
    assert not found, "\n".join(str(finding) for finding in found.values())


@pytest.mark.parametrize("group", GROUPS)
def test_readers_accept_their_seeds(scene: Scene, group: str) -> None:
    """A target that refuses all its seeds tests nothing but the refusal."""
    refusing = [reader.name for reader in GROUPS[group](scene) if not any(check(reader, seed) for seed in reader.seeds)]
    assert not refusing


def test_every_connector_has_readers_of_all_that_it_reads() -> None:
    """A new connector fails here until its samples and `record_seeds` give its readers something to read."""
    kinds = exchanges.kinds()
    assert sorted(name for names in kinds.values() for name in names) == known()
    for exchange in kinds:
        one = connector(exchange)
        readers = {reader.name.partition(".")[2]: reader for reader in exchanges.readers(exchange)}
        codec = one.codec()
        needed = {"frame", "number", "instruments", "snapshot", "tickers", "failure"}
        needed |= {"time"} if codec.time_request() is not None else set()
        needed |= {"candles"} if isinstance(codec, ServesCandles) else set()
        if isinstance(one, OrderLevelConnector):
            needed |= {"orders_frame"}
            needed |= {"orders_snapshot"} if isinstance(one.order_level_codec(), JoinedOrders) else set()
        needed |= {"dial"} if isinstance(codec, DialedByRequest) else set()
        if callable(getattr(one, "trading", None)):
            offer = trading_connector(one).trading().offer
            needed |= {"stream"} if offer.stream else set()
            needed |= {"calls"} if offer.ws_orders else set()
            always = (Kind.PLACE, Kind.CANCEL, Kind.ORDER, Kind.OPEN_ORDERS, Kind.FILLS, Kind.ACCOUNT, Kind.FEES)
            needed |= {f"reply.{kind.value}" for kind in always}
            needed |= {"reply.batch_place"} if offer.batch_place else set()
        assert not needed - readers.keys(), f"{exchange} has no fuzz targets for {sorted(needed - readers.keys())}"
        unseeded = [name for name in readers if not readers[name].seeds]
        assert not unseeded, f"run python -m tests.fuzz.record_seeds {exchange}: no seeds for {unseeded}"


REPEATED = next(data for data in (bytes([number]) for number in range(99)) if crc32(data) % 4 == 0)


def raising(error: BaseException) -> Reader:
    def read(data: bytes) -> None:
        raise error

    return Reader("test", read, ())


@pytest.mark.parametrize(
    ("reader", "key"),
    [
        (raising(ValueError("no refusal")), "ValueError"),
        (raising(RecursionError()), "RecursionError"),
        (raising(DecodeError("x" * 5_000, None)), "long error"),
        (Reader("test", lambda data: "\ud800", ()), "surrogate"),
        (Reader("test", lambda data: 2**64, ()), "unbounded"),
        (Reader("test", lambda data, seen=[]: seen.append(1) or len(seen), ()), "repeat"),
        (Reader("test", lambda data: sum(i * i for i in range(10**7)) and None, ()), "slow"),
    ],
)
def test_what_a_reader_must_not_do_is_found(reader: Reader, key: str) -> None:
    with pytest.raises(Finding) as found:
        check(reader, REPEATED)
    assert key in found.value.key


def test_a_refusal_is_no_finding() -> None:
    assert not check(raising(DecodeError("refused", None)), b"")
