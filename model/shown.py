"""Shows foreign text: the only form in which text of an exchange, a file or another program goes to people.

A terminal executes control characters, and a mark of direction reverses the text after it. Both are shown as escapes
(`\\u001b`), which also are JSON's. Everything else is unchanged, so text that was shown once stays the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

_ESCAPED = (
    "\\x00-\\x1f\\x7f-\\x9f"  # C0, DEL, C1
    "\\xad\\u0600-\\u0605\\u061c\\u06dd\\u070f\\u0890\\u0891\\u08e2\\u180e\\u200b-\\u200f"  # no width, or direction
    "\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb\\U000e0000-\\U000e007f"  # other lines, direction, tags
    "\\ud800-\\udfff"  # halves of pairs, which no stream can write
)
_NOT_STORABLE = re.compile("[\\x00\ud800-\udfff]")
_OF_A_LINE = re.compile(f"[{_ESCAPED}]")
_OF_LINES = re.compile(f"(?![\\n\\t])[{_ESCAPED}]")
LONGEST_CAUSE = 8000
NAME = re.compile(rf"[^{_ESCAPED}\s/\\]{{1,64}}")


def shown(text: str) -> str:
    """Return text for a place in one line: a line end is escaped, too."""
    return _OF_A_LINE.sub(_escape, text)


def shown_lines(text: str) -> str:
    """Return text of several lines: only line ends and tabs stay."""
    return _OF_LINES.sub(_escape, text)


def storable(text: str) -> str:
    """Return text that every journal keeps: NUL, which PostgreSQL refuses, and halves of pairs, which have no UTF-8,
    become escapes. Everything else is unchanged."""
    return _NOT_STORABLE.sub(_escape, text)


def few(texts: Iterable[object], most: int = 10, between: str = ", ") -> str:
    """Return the first `most` texts in one line, and how many more there are."""
    found = [str(text) for text in texts]
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return between.join(found[:most]) + more


def whole(text: str) -> str:
    """Return a cause as it is; of a text that is longer than any cause, the beginning and how much is left out."""
    more = len(text) - LONGEST_CAUSE
    return text if more <= 0 else f"{text[:LONGEST_CAUSE]}... ({more} more characters)"


def beginning(text: str, longest: int) -> str:
    """Return a text as it is, or the beginning of a longer one, with a mark; at most `longest` characters."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def is_name(text: str) -> bool:
    """Return whether a text can name an asset or a pair: up to 64 characters that are shown as they are, no space and
    no slash."""
    return NAME.fullmatch(text) is not None


def _escape(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1] if match[0] not in "\x7f" else "\\u007f"
