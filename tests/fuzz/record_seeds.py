"""Write the seeds of a connector's trading readers: what the local exchange answers while the trading suite runs.

    python -m tests.fuzz.record_seeds EXCHANGE...

No message of a real exchange gets into a seed. Of each reader the first message of each shape is kept.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from venuemesh.cli.local_venue import local_venue
from venuemesh.conformance.runner import run_checks
from venuemesh.conformance.trading.checks import TradingConformance
from venuemesh.conformance.trading.suite import TradingSuite
from venuemesh.connectors import registry
from venuemesh.connectors.order_codec import trading_connector

SEEDS = Path(__file__).parent / "seeds"
MOST = 8  # seeds of one reader
LARGEST = 3_000  # bytes of a seed
LEFT_OUT = frozenset(  # checks that damage messages, which the codec then reads
    name for name in dir(TradingConformance) if "broken" in name or "unknown_status" in name or "server_error" in name
)


def shape(raw: bytes) -> str:
    """Return a message with its values replaced by their types; two messages of one shape teach a fuzzer the same."""

    def of(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: of(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return sorted({json.dumps(of(inner)) for inner in value})
        return value if isinstance(value, str) and value.isalpha() else type(value).__name__

    try:
        return json.dumps(of(json.loads(raw)))
    except ValueError:
        return repr(raw)


class Recorder:
    """Keeps the first messages of each shape that the methods of codecs read."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, dict[str, Any]]] = {}

    def note(self, reader: str, raw: bytes | memoryview, orders: int = 1) -> None:
        raw = bytes(raw)
        kept = self.found.setdefault(reader, {})
        if len(raw) <= LARGEST and len(kept) < MOST:
            kept.setdefault(shape(raw), {"reader": reader, "raw": raw.decode(), "orders": orders})

    def wrap(self, cls: type, name: str, key: Callable[..., tuple[Any, ...]]) -> None:
        original = getattr(cls, name)

        def noting(codec: Any, *args: Any) -> Any:
            self.note(*key(*args))
            return original(codec, *args)

        setattr(cls, name, noting)


def reply_key(sent_id: Callable[[str], str], signed: Any, response: Any) -> tuple[str, bytes, int]:
    """Return the reader of an answer, the answer with the ids of the fuzzer's orders, and the number of its orders."""
    draft, body = signed.draft, response.body
    for number, client_order_id in enumerate(draft.orders, 1):
        body = body.replace(sent_id(client_order_id).encode(), sent_id(f"vmfuzz{number}").encode())
    status = "" if response.status == 200 else f":{response.status}"
    return f"reply.{draft.kind.value}{status}", body, len(draft.orders)


def record(exchange: str) -> None:
    connector = trading_connector(registry.connector(exchange))
    codec, recorder = connector.trading(), Recorder()
    recorder.wrap(type(codec), "reply", partial(reply_key, codec.offer.sent_id))
    recorder.wrap(type(codec), "stream_decode", lambda frame, recv_ns: ("stream", frame))
    recorder.wrap(type(codec), "call_answer", lambda frame: ("calls", frame))
    if hasattr(codec, "call_opened"):
        recorder.wrap(type(codec), "call_opened", lambda frame: ("calls", frame))
    orders = "websocket" if codec.offer.ws_orders else "rest"
    checks = [name for name in dir(TradingConformance) if name.startswith("test_") and name not in LEFT_OUT]
    suite = type("Recorded", (TradingSuite,), {name: getattr(TradingConformance, name) for name in checks})
    suite.connector = connector  # type: ignore[attr-defined]
    suite.venue = classmethod(lambda cls: local_venue(exchange, orders=orders))  # type: ignore[attr-defined]
    for result in run_checks(suite):
        print(f"{exchange}: {result.outcome.value} {result.name} {result.reason}", flush=True)
    with (SEEDS / f"{exchange}.jsonl").open("w") as file:
        for _, kept in sorted(recorder.found.items()):
            for row in kept.values():
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    for one in sys.argv[1:]:
        record(one)
