"""One line per event, with the keys at the end, and no values of variables."""

import io

import pytest
from loguru import logger

from venuemesh.actors.cell.ray_cell import logs
from venuemesh.cli.logs import EVENT


@pytest.fixture
def sink():
    yield io.StringIO()
    logger.configure(handlers=[], extra={}, patcher=lambda record: None)


def test_a_line_has_the_process_the_event_and_the_keys(sink, monkeypatch):
    monkeypatch.delenv("VENUEMESH_LOG", raising=False)
    logs.set_up("spare", sink)
    logger.debug("not logged")
    logs.speak_as("book/acme/A-B@1.2")
    logger.info("adopted", took_ms=21.44, why="two words\nand {more}")
    output = sink.getvalue()
    assert output.count("\n") == 1
    assert output.split(" ", 2)[2] == "INFO    book/acme/A-B@1.2 adopted took_ms=21.4 why='two words and {more}'\n"


def test_the_level_comes_from_the_environment_and_must_be_one(sink, monkeypatch):
    monkeypatch.setenv("VENUEMESH_LOG", "warning")
    logs.set_up("spare", sink)
    logger.info("not logged")
    assert sink.getvalue() == ""
    monkeypatch.setenv("VENUEMESH_LOG", "loud")
    logs.set_up("spare", sink)
    logger.info("logged")
    assert "LOUD" in sink.getvalue()
    assert "logged" in sink.getvalue()


def test_an_exception_is_reported_without_the_values_of_variables(sink, monkeypatch):
    monkeypatch.delenv("VENUEMESH_LOG", raising=False)
    logs.set_up("spare", sink)
    hidden = "hunter" + "2"
    try:
        int(hidden)
    except ValueError as error:
        logger.opt(exception=error).error("failed")
    output = sink.getvalue()
    assert "Traceback" in output
    assert "hidden = " not in output
    assert output.count("hunter2") == 1  # the error's own words


def test_foreign_text_is_neither_a_terminal_command_nor_another_event(sink, monkeypatch):
    monkeypatch.delenv("VENUEMESH_LOG", raising=False)
    logs.set_up("spare", sink)
    forged = "\x1b[2J\u202e\n2026-11-28 12:00:00.000 INFO    book/x forged"
    try:
        raise ValueError(forged)
    except ValueError as error:
        logger.opt(exception=error).error("failed", why=forged)
    output = sink.getvalue()
    assert "\x1b" not in output
    assert "\u202e" not in output
    assert r"\u001b[2J\u202e" in output
    assert sum(EVENT.fullmatch(line) is not None for line in output.splitlines()) == 1
