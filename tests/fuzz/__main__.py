"""Fuzz the readers of foreign bytes: `python -m tests.fuzz [--seconds N] [GROUP...]`; see docs/adr/0014-fuzzing.md.

`python -m tests.fuzz --again FILE...` reads inputs of `findings/` again.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from . import registry
from .processes import Scene
from .reader import Finding, check

FOLDER = Path(".cache") / "fuzz"
START_S = 240  # what a group may need besides its time, on a loaded machine


def fuzz(group: str, folder: Path, seconds: int) -> bool:
    """Fuzz a group in a separate process and print what it did; return whether the process ended well."""
    command = [sys.executable, "-m", "tests.fuzz.fuzzer", group, str(folder), str(seconds)]
    log = folder / f"{group}.log"
    with log.open("wb") as out:
        try:
            status = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, timeout=seconds + START_S).returncode
        except subprocess.TimeoutExpired:
            status = -1
    text = log.read_text(errors="replace")
    runs = re.findall(r"^#(\d+)\s", text, re.MULTILINE)  # also of a run that did not end well
    covered = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", text)
    reached, _, kept = covered[-1] if covered else ("0", "0", "0")
    executed = runs[-1] if runs else "0"
    print(f"{group:12} {executed:>9} inputs in {seconds} s, {reached} places reached, {kept} inputs kept", flush=True)
    if status:
        print(
            f"{group}: the fuzzer ended with status {status}; the end of {log}:", *text.splitlines()[-15:], sep="\n  "
        )
    return status == 0


def again(paths: list[Path]) -> int:
    """Read inputs of findings again; return how many are still findings."""
    scene = Scene()
    try:
        readers = {reader.name: reader for make in registry.groups().values() for reader in make(scene)}
        found = 0
        for path in paths:
            try:
                accepted = check(readers[path.name.rpartition("-")[0]], path.read_bytes())
                print(f"{path.name}: {'accepted' if accepted else 'refused'}")
            except Finding as finding:
                found += 1
                print(finding)
        return found
    finally:
        scene.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=120, help="in all; each group has an equal part")
    parser.add_argument("--again", action="store_true", help="the arguments are inputs; read each once")
    parser.add_argument("names", nargs="*", metavar="GROUP", help=f"of {', '.join(registry.groups())}")
    options = parser.parse_args()
    if options.again:
        return min(again([Path(name) for name in options.names]), 1)
    names = options.names or list(registry.groups())
    for name in names:
        if name not in registry.groups():
            parser.error(f"there is no group {name!r}")
    folder = FOLDER.absolute()
    (folder / "findings").mkdir(parents=True, exist_ok=True)
    for path in (folder / "findings").iterdir():
        path.unlink()  # an old finding is found again from the corpus
    ended_well = [fuzz(name, folder, max(1, options.seconds // len(names))) for name in names]
    findings = sorted(path for path in (folder / "findings").iterdir() if path.suffix != ".txt")
    for path in findings:
        text = path.with_suffix(path.suffix + ".txt")
        print(f"FINDING {path}\n  {text.read_text() if text.exists() else 'a hang, or too much memory'}", flush=True)
    print(f"{len(findings)} findings")
    return 1 if findings or not all(ended_well) else 0


if __name__ == "__main__":
    sys.exit(main())
