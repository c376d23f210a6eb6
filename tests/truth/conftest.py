"""One local exchange for all the tests of this folder; each test has its own segments, hosts and samplers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.exchange_process import ExchangeProcess
from tests.truth.harness import Lab

PAIRS = ["BTC-USDT", "ETH-USDT", "SOL-USDT", "ETH-BTC"]
SYMBOLS = "BTCUSDT,ETHUSDT,SOLUSDT,ETHBTC"
SEED = os.environ.get("VENUEMESH_TRUTH_SEED", "20261122")
RATE = "1600"  # level changes a second over all symbols

MakeLab = Callable[[], Lab]


@pytest.fixture(scope="session")
def exchange() -> Iterator[ExchangeProcess]:
    arguments = ("--symbols", SYMBOLS, "--rate", RATE, "--seed", SEED)
    with ExchangeProcess(*arguments, without_limits=True) as serving:
        yield serving


@pytest.fixture
def lab(exchange: ExchangeProcess, tmp_path: Path) -> Iterator[Lab]:
    print(f"the exchange's seed is {SEED}")
    memory = Path("/dev/shm")
    segments = Path(tempfile.mkdtemp(prefix="venuemesh-truth-", dir=memory if memory.is_dir() else tmp_path))
    with Lab(exchange, tmp_path, segments, PAIRS) as lab:
        yield lab
