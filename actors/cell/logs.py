"""Log lines of the mesh's processes: one line per event on stderr, with its keys at the end. Times are UTC.

    2026-11-28 12:40:01.337 INFO    book/acme/BTC-USDT@1763.4 adopted took_ms=21.4 restarts=1

`logger.info("adopted", took_ms=21.4)` writes such a line; the name of the process (`who`) is bound once. Events state
what happened to a process, never the content of a message: no event per frame or per heartbeat, and no value of a local
variable in tracebacks.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from loguru import logger

from ...model.shown import shown, shown_lines

if TYPE_CHECKING:
    from loguru import BasicHandlerConfig, Record

VARIABLE = "VENUEMESH_LOG"
DEFAULT = "INFO"
_FORMAT = "{time:YYYY-MM-DD HH:mm:ss.SSS!UTC} {level: <7} {extra[who]} {message}{extra[keys]}\n{exception}"
_OWN = ("who", "keys")
_MAX_VALUE = 300
_EVENT = re.compile(r"^(?=\d{4}-\d\d-\d\d )", re.MULTILINE)


def set_up(who: str, sink: TextIO | None = None) -> None:
    """Take over the logging of this process: one sink, level from $VENUEMESH_LOG (INFO if that is not a level)."""
    wanted = os.environ.get(VARIABLE, DEFAULT).strip().upper()
    try:
        level = logger.level(wanted).name
    except ValueError:
        level = DEFAULT
    handler: BasicHandlerConfig = {
        "sink": _writer(sys.stderr if sink is None else sink),
        "level": level,
        "format": _template,
        "colorize": False,
        "backtrace": False,
        "diagnose": False,  # it would print the values of variables
    }
    logger.configure(handlers=[handler], extra={"who": who}, patcher=_list_keys)
    if level != wanted:
        logger.warning("not a log level", variable=VARIABLE, value=wanted)


def _writer(out: TextIO) -> Callable[[str], None]:
    """Return a sink that escapes control characters; no line of a traceback begins like another event."""

    def write(text: str) -> None:
        event, end, traceback = shown_lines(text).partition("\n")
        out.write(event + end + _EVENT.sub("  ", traceback))
        out.flush()

    return write


def speak_as(who: str) -> None:
    """Add `who` to all further lines of this process."""
    logger.configure(extra={"who": who})


def _list_keys(record: Record) -> None:
    record["message"] = shown(record["message"])
    extra = record["extra"]
    extra["keys"] = "".join(f" {key}={_shown(value)}" for key, value in extra.items() if key not in _OWN)


def _shown(value: object) -> str:
    text = f"{value:.1f}" if isinstance(value, float) else str(value)
    text = shown(" ".join(text.split())[:_MAX_VALUE])
    return repr(text) if " " in text or not text else text


def _template(record: Record) -> str:
    return _FORMAT
