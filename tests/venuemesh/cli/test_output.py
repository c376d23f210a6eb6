"""What the commands print: foreign text is shown as text, on every way out."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from io import StringIO

import pytest
import typer
from rich.live import Live
from rich.text import Text

from tests.fakes.records import order
from venuemesh.cli import app as command_line
from venuemesh.cli.output import Output, PlainStream
from venuemesh.cli.tables import order_line, orders_table
from venuemesh.model.errors import Rejected

HOSTILE = "[red]no[/] [bold\x1b[2J\x9b31m\u202e :smile: \x00"
SHOWN = r"[red]no[/] [bold\u001b[2J\u009b31m\u202e :smile: \u0000"


def test_a_reason_in_tables_and_lines_is_neither_markup_nor_a_command(capsys):
    refused = replace(order(), reason=f"{HOSTILE}\nforged: FILLED")
    out = Output()
    out.print(orders_table([refused]))
    out.print(order_line(refused))
    out.print(HOSTILE)
    out.plain(HOSTILE)
    printed = capsys.readouterr().out
    assert printed.count(SHOWN) == 4
    assert "\x1b" not in printed
    assert not any(line.startswith("forged") for line in printed.splitlines())


@pytest.mark.parametrize("way", ["print", "stderr", "error", "json"])
def test_every_way_out_of_a_command_is_guarded(monkeypatch, way):
    def command():
        match way:
            case "print":
                print(HOSTILE)
            case "stderr":
                print(HOSTILE, file=sys.stderr)
            case "error":
                raise Rejected("-1", HOSTILE)
            case _:
                print(json.dumps({"reason": HOSTILE}, ensure_ascii=False))

    app = typer.Typer()
    app.command()(command)
    streams = StringIO(), StringIO()
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    monkeypatch.setattr(sys, "argv", ["venuemesh"])
    monkeypatch.setattr(command_line, "chosen", lambda arguments: app)
    with pytest.raises(SystemExit):
        command_line.main()
    printed = "".join(one.getvalue() for one in streams)
    assert SHOWN in printed
    assert not {"\x1b", "\x9b", "\u202e", "\x00"} & set(printed)
    if way == "json":
        assert json.loads(printed) == {"reason": HOSTILE}


def test_colours_of_the_console_pass_the_guard_also_while_a_live_view_redirects_prints(monkeypatch):
    stream = StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", PlainStream(stream))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = Output().console
    with Live(Text(HOSTILE, "red"), console=console, auto_refresh=False) as live:
        print(HOSTILE)
        live.refresh()
    printed = stream.getvalue()
    assert "\x1b[31m[red]no[/] [bold\\u001b[2J" in printed
    assert "\x1b[2J" not in printed
    assert printed.count(SHOWN) >= 2


def test_the_guard_is_the_stream_but_for_what_is_written():
    stream = StringIO()
    guarded = PlainStream(stream)
    guarded.writelines(["a\n", "b\x1b"])
    assert stream.getvalue() == "a\nb\\u001b"
    assert guarded.isatty() is False
