"""`venuemesh logs`: the events of one actor over all its processes, also of a mesh that has ended."""

from __future__ import annotations

import json

import pytest

from venuemesh.cli.app import app
from venuemesh.cli.logs import LogFolder, choose, log_folder
from venuemesh.mesh.mesh import attach, connect
from venuemesh.mesh.run_file import RunFile
from venuemesh.model.errors import MeshNotRunning, Misconfigured

BOOK = "book/acme/A-B"
FIRST = """:job_id:01000000
2026-11-28 23:59:59.900 INFO    book/acme/A-B@7.1 adopted cell=cell-1
2026-11-28 23:59:59.950 ERROR   book/acme/A-B@7.1 failed
Traceback (most recent call last):
  File "x.py", line 1
"""
SECOND = """2026-11-29 00:00:00.100 INFO    book/acme/A-B@7.2 adopted cell=cell-2
2026-11-29 00:00:00.200 INFO    catalog/acme@7.3 serving
"""
SUPERVISOR = """2026-11-29 00:00:00.000 WARNING supervisor cell died address=book/acme/A-B cell=cell-1
2026-11-29 00:00:00.001 INFO    supervisor adopting address=catalog/acme cell=cell-3
"""


@pytest.fixture
def folder(tmp_path):
    for name, text in (("b", FIRST), ("a", SECOND), ("c", SUPERVISOR)):
        (tmp_path / f"worker-{name}-01000000-7.err").write_text(text)
    (tmp_path / "raylet.err").write_text("2026-11-29 00:00:00.000 INFO    book/acme/A-B not a worker\n")
    return tmp_path


@pytest.fixture
def ended(folder, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    RunFile("gone", "127.0.0.1:1", 1, 1, logs=str(folder), ended="its raylet has ended").write()


def test_an_actor_has_the_events_of_all_its_processes_and_those_of_the_supervisor_about_it(folder):
    found = choose(LogFolder(folder).new(), BOOK)
    assert [(event.who, event.text.split()[0]) for event in found] == [
        ("book/acme/A-B@7.1", "adopted"),
        ("book/acme/A-B@7.1", "failed"),
        ("supervisor", "cell"),
        ("book/acme/A-B@7.2", "adopted"),
    ]
    assert found[1].text.endswith("line 1")  # the traceback belongs to its event
    with pytest.raises(Misconfigured, match="known: book/acme/A-B, catalog/acme, supervisor"):
        choose(LogFolder(folder).new(), "book/acme/NO")


def test_new_events_are_read_once_and_only_as_whole_lines(folder):
    logs = LogFolder(folder)
    assert len(logs.new()) == 6
    path = folder / "worker-b-01000000-7.err"
    with path.open("a") as out:
        out.write("ValueError: late\n2026-11-29 00:00:01.000 INFO    book/acme/A-B@7.1 half")
    assert [event.text for event in logs.new()] == ["ValueError: late"]
    (folder / "worker-d-01000000-8.err").write_text("2026-11-29 00:00:00.500 INFO    book/acme/A-B@7.9 other\n")
    with path.open("a") as out:
        out.write(" whole\n")
    assert [(event.who, event.text) for event in logs.new()] == [
        ("book/acme/A-B@7.9", "other"),
        ("book/acme/A-B@7.1", "half whole"),
    ]
    assert logs.new() == []


def test_a_mesh_that_has_ended_still_shows_its_logs_and_every_command_says_why_it_ended(ended, folder, capsys):
    app(["logs", BOOK, "--mesh", "gone", "--json"], standalone_mode=False)
    assert [json.loads(line)["level"] for line in capsys.readouterr().out.splitlines()] == [
        "INFO", "ERROR", "WARNING", "INFO",
    ]  # fmt: skip
    app(["logs", "--mesh", "gone"], standalone_mode=False)
    assert "2026-11-29 00:00:00.200" in capsys.readouterr().out
    for use in (attach, connect):
        with pytest.raises(MeshNotRunning, match="its raylet has ended"):
            use("gone")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    with pytest.raises(Misconfigured, match="was removed"):
        log_folder("gone", None)
