"""The instruments of a recording: from the list in the recording, from a list next to it, or from a given file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ...connectors.gzip_frames import inflate
from ...connectors.market_codec import Codec
from ...connectors.reading import plain_decimal
from ...model.errors import LONGEST_REASON, CaptureError, DataError, DecodeError, Misconfigured
from ...model.fixed import decimals
from ...model.instrument import Instrument
from .file import read

LINES_SEARCHED = 1000  # records of each recording that are searched for its list of instruments
MAX_SCALE = 18  # of a book
NUMBERS = ("price_increment", "size_increment")


def listed_instruments(codec: Codec, paths: Sequence[Path]) -> dict[str, Instrument]:
    """Return the instruments recorded in the files, or in `instruments.jsonl*` next to them; the last list wins."""
    lists = {path.resolve() for given in paths for path in given.parent.glob("instruments.jsonl*")}
    listed: dict[str, Instrument] = {}
    for path in [*sorted(lists - {given.resolve() for given in paths}), *paths]:
        is_list = path.name.startswith("instruments")
        try:
            listed.update(_recorded(codec, path, None if is_list else LINES_SEARCHED))
        except (CaptureError, DecodeError):
            if is_list and path.resolve() in lists:
                raise
            continue  # the replay itself reports the damage
    return listed


def given_instruments(codec: Codec, paths: Iterable[Path | str]) -> dict[str, Instrument]:
    """Return the instruments in the given files, by symbol; the last file wins.

    A file is a recording with the exchange's list (`.jsonl`, `.jsonl.gz`, `.jsonl.zst`), or JSON (also `.json.gz`): the
    body of the exchange's own answer, or rows in our format, [{"symbol": "XRPUSDT", "name": "XRP-USDT",
    "price_increment": "0.0001", "size_increment": "1"}, ...]. A row's increments must have all decimals that the
    exchange writes; without a name, the symbol is the name.

    Raises:
        Misconfigured: a file does not exist, or has no instruments.
        CaptureError, DecodeError: a file cannot be read.
    """
    found: dict[str, Instrument] = {}
    for path in map(Path, paths):
        if not path.is_file():
            raise Misconfigured(str(path), "there is no such file")
        given = _recorded(codec, path, None) if ".jsonl" in path.name else _stated(codec, path)
        if not given:
            raise Misconfigured(str(path), "it has no instruments")
        found |= given
    return found


def _recorded(codec: Codec, path: Path, lines: int | None) -> dict[str, Instrument]:
    listed: dict[str, Instrument] = {}
    for record in read(path):
        if lines is not None and record.line > lines:
            break
        if record.kind == "http" and codec.recognise(record.url) == "instruments":
            listed.update((found.symbol, found) for found in codec.instruments(record.raw))
    return listed


def _stated(codec: Codec, path: Path) -> dict[str, Instrument]:
    try:
        body = bytes(inflate(path.read_bytes()))
        rows = json.loads(body)
    except (OSError, DecodeError, ValueError, RecursionError) as error:
        raise DecodeError(f"{path} is not JSON: {error}"[:LONGEST_REASON], None) from error
    if isinstance(rows, list) and all(isinstance(row, dict) and {"symbol", *NUMBERS} <= set(row) for row in rows):
        return {row["symbol"]: _row(codec, path, row) for row in rows}
    return {found.symbol: found for found in codec.instruments(body)}


def _row(codec: Codec, path: Path, row: dict[str, Any]) -> Instrument:
    exchange, symbol, name = codec.spec.exchange, row["symbol"], row.get("name", row["symbol"])
    try:
        price, size = (plain_decimal(row[key]) for key in NUMBERS)
        scales = decimals(price), decimals(size)
        if not (
            price > 0 and size > 0 and max(scales) <= MAX_SCALE and isinstance(symbol, str) and isinstance(name, str)
        ):
            raise ValueError
    except (ValueError, DataError):
        wanted = f"symbol, name and increments must be text, increments above 0 with at most {MAX_SCALE} decimals"
        raise Misconfigured(f"{path}: {symbol}", wanted) from None
    base, _, quote = name.partition("-")
    return Instrument(exchange, name, symbol, base, quote, *scales, price_increment=price, size_increment=size)
