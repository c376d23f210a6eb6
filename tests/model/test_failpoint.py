import os
import signal
import subprocess
import sys

import pytest

from venuemesh.model.failpoint import VARIABLE, plan, reach

CODE = """
from venuemesh.model.failpoint import reach
for n in range(3):
    for name in ("other", "here"):
        reach(name)
        print(name, n, flush=True)
"""
ALL = [f"{name} {n}" for n in range(3) for name in ("other", "here")]


def start(text):
    command = [sys.executable, "-c", CODE]
    return subprocess.Popen(command, env=os.environ | {VARIABLE: text}, stdout=subprocess.PIPE, text=True)


def test_the_process_is_killed_when_it_is_there_for_the_nth_time():
    with start("here:2") as process:
        output = process.communicate(timeout=30)[0].splitlines()
    assert process.returncode == -signal.SIGKILL
    assert output == ALL[:3]


def test_the_process_is_stopped_and_continues_on_request():
    with start("here:2:stop") as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        process.send_signal(signal.SIGCONT)
        assert process.communicate(timeout=30)[0].splitlines() == ALL
    assert process.returncode == 0


def test_a_trace_names_every_place_reached(tmp_path):
    with start(f"trace:{tmp_path}/trace") as process:
        process.communicate(timeout=30)
    assert (tmp_path / "trace").read_text().split() == ["other", "here"] * 3


def test_nothing_happens_without_the_variable():
    assert VARIABLE not in os.environ
    assert plan(None) is None
    assert plan("") is None
    reach("here")


@pytest.mark.parametrize("text", ["here", "here:0", "here:x", "here:1:pause", ":1", "trace:"])
def test_an_unknown_text_is_an_error(text):
    with pytest.raises(ValueError, match=VARIABLE):
        plan(text)
