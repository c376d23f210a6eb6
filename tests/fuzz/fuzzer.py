"""Fuzz one group in this process with Atheris, for some seconds: `python -m tests.fuzz.fuzzer GROUP FOLDER SECONDS`.

The coverage of our Python code guides it. A finding does not end it: the first input of each fault is written to
`FOLDER/findings/`, and the run continues. Inputs that reached new code are kept in `FOLDER/corpus/GROUP/`.
"""

from __future__ import annotations

import hashlib
import random
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["venuemesh", "tomllib"]):
    from tests.fuzz import recordings, registry
    from tests.fuzz.mutate import mutated
    from tests.fuzz.processes import Scene
    from tests.fuzz.reader import Finding, Form, Reader, check

    GROUPS = registry.groups()  # finds the connectors by entry point: imported later they would not be instrumented
INSTRUMENTED = frozenset(sys.modules)

LONGEST = 8_192  # bytes of an input
HANG_S = 20  # an input that takes longer ends the run and is a finding
MOST_MB = 2_048  # of this process; an input that needs more ends the run and is a finding
STRUCTURED = 0.6  # share of the changes that keep the form of a message


class Group:
    """The readers of one group, as the functions that Atheris calls."""

    def __init__(self, readers: list[Reader], findings: Path) -> None:
        self._readers, self._findings = readers, findings

    def run(self, data: bytes) -> None:
        reader, given = registry.chosen(self._readers, data)
        try:
            check(reader, given)
        except Finding as finding:
            self._keep(finding, given)

    def _keep(self, finding: Finding, given: bytes) -> None:
        name = f"{finding.reader}-{hashlib.sha256(finding.key.encode()).hexdigest()[:12]}"
        path = self._findings / name
        if not path.exists():
            path.write_bytes(given)
            path.with_suffix(path.suffix + ".txt").write_text(f"{finding}\n", errors="backslashreplace")

    def change(self, data: bytes, longest: int, seed: int) -> bytes:
        """Return a changed input: one change of structure, or one of libFuzzer's of bytes."""
        chance = random.Random(seed)
        if not data or chance.random() < 0.01:
            number = chance.randrange(len(self._readers))
            return bytes([number]) + (data[1:] or b"{}")
        reader, given = registry.chosen(self._readers, data)
        if reader.form is not Form.BYTES and chance.random() < STRUCTURED:
            made = mutated(given, reader.form, reader.head, chance)
            if made is not None and len(made) < longest:
                return data[:1] + made
        return data[:1] + bytes(atheris.Mutate(given, longest - 1))


def main(group: str, folder: Path, seconds: str) -> None:
    scene = Scene()
    corpus, findings = folder / "corpus" / group, folder / "findings"
    seeds = Path(tempfile.mkdtemp(dir=scene.folder))
    for path in (corpus, findings):
        path.mkdir(parents=True, exist_ok=True)
    readers = GROUPS[group](scene)
    for data in (*registry.seeds(readers), *recordings.seeds(group, readers)):
        (seeds / hashlib.sha256(data).hexdigest()).write_bytes(data)
    late = {
        name for name in sys.modules.keys() - INSTRUMENTED if name.startswith("venuemesh.") and "samples" not in name
    }
    assert not late, f"imported too late to guide the fuzzer: {sorted(late)}"
    target = Group(readers, findings)
    options = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST}",
        f"-timeout={HANG_S}",
        f"-rss_limit_mb={MOST_MB}",
        f"-artifact_prefix={findings}/{group}-",
        "-len_control=0",
        "-print_final_stats=1",
        "-verbosity=1",
        str(corpus),
        str(seeds),
    ]
    atheris.Setup(options, target.run, custom_mutator=target.change)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
