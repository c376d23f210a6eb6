"""Real messages as further seeds while fuzzing, where recordings are present (`../shared/captures`, or where
`VENUEMESH_CAPTURES` points). Nothing of them is kept in this tree."""

from __future__ import annotations

import os
from pathlib import Path

from venuemesh.actors.recording.file import read
from venuemesh.connectors.gzip_frames import inflate
from venuemesh.model.errors import MeshError

from .reader import Reader
from .record_seeds import shape

ROOT = Path(os.environ.get("VENUEMESH_CAPTURES") or Path(__file__).resolve().parents[3] / "shared" / "captures")
FILES = 6  # of one exchange
RECORDS = 400  # of one file
MOST = 80  # seeds of one exchange
LONGEST = 4_000  # bytes of a seed


def seeds(group: str, readers: list[Reader]) -> list[bytes]:
    """Return the first received frames of each shape, as inputs of the group of an exchange."""
    number = next((at for at, reader in enumerate(readers) if reader.name == f"{group}.frame"), None)
    if number is None or not (ROOT / group).is_dir():
        return []
    found: dict[str, bytes] = {}
    files = [path for path in sorted((ROOT / group).iterdir()) if ".jsonl" in path.name]
    for path in files[:FILES]:
        try:
            for at, record in enumerate(read(path)):
                if at >= RECORDS or len(found) >= MOST:
                    break
                raw = bytes(inflate(record.raw))
                if record.kind == "recv" and len(raw) <= LONGEST:
                    found.setdefault(shape(raw), bytes([number]) + raw)
        except MeshError:
            continue  # a recording that is cut off has given what it has
    return list(found.values())
