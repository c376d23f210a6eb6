"""Generated files are up to date: each `scripts/generate-...` makes from its sources what the files hold."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from venuemesh.conformance.record import FOLDER

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "scripts").glob("generate-*"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_generated_files_are_up_to_date(script):
    done = subprocess.run(
        [sys.executable, script, "--check"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def row_of_kraken(folder, change):
    """Return the table's row of Kraken after a change of its record."""
    record = json.loads((FOLDER / "kraken.json").read_text())
    change(record)
    (folder / "kraken.json").write_text(json.dumps(record))
    table = runpy.run_path(str(ROOT / "scripts" / "generate-exchanges"))["table"](folder)
    return next((line for line in table.splitlines() if line.startswith("| `kraken`")), None)


def test_an_exchange_passed_only_what_its_record_has(tmp_path):
    assert "not whole" not in row_of_kraken(tmp_path, lambda record: None)
    assert "**not whole**: 2 of its" in row_of_kraken(
        tmp_path, lambda record: record["passed"].update(trading=record["passed"]["trading"][2:])
    )
    assert "| not run |" in row_of_kraken(tmp_path, lambda record: record["passed"].pop("trading"))
    assert row_of_kraken(tmp_path, lambda record: record.update(connector="other.kraken")) is None
