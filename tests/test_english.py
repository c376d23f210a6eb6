"""Phrases that must not come back: archaic or inverted ones, each with its plain form.

The list holds only phrases that are wrong in every context. It is no style checker: it keeps finished work finished.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLAIN = {
    r"\bis none of\b": "is not one of",
    r"\bis no plain\b": "is not a plain",
    r"\bis no (?:multiple|number|file|whole number)\b": "is not a ...",
    r"\bno whole number of\b": "not a whole number of",
    r"\b(?:valid|was|were) no more\b(?! than)": "is no longer ...",
    r"\bin doubt or deaf\b": "in doubt, or without the stream",
    r"\bwhat nobody expected\b": "an unexpected error",
    r"\ban older \w+ is none\b": "an older ... counts as unknown",
    r"\bthereof\b|\bwherein\b|\bwhence\b|\balbeit\b": "say it in current English",
    r"\bfor want of\b": "because there is no ...",
    r"\bbe had\b": "be read, be reached, exist",
    r"\bhands? in (?:their|its) own\b": "pass their own",
    r"\bwhatever (?:becomes|became) of\b": "with any outcome",
    r"\bhowever (?:old|many|deep) (?:it|they|ask)\b": "of any age, for any number",
    r"\b(?:is|are) no success\b": "failed",
    r"\bnor ever\b": "and never",
    r"\bhas not the\b|\bhave not the\b|\bknows not\b": "does not have, does not know",
    r"\b(?:gives|wants|names) none\b": "states no ..., needs no ...",
    r"\bsaid no\b|\bthe exchange said\b": "refused, the exchange answered",
    r"\bnot heard from\b": "silent",
    r"\bis let go\b|\blets go of\b": "is released",
    r"\bunto\b|\bhence\b|\bhenceforth\b|\bheretofore\b|\bnotwithstanding\b|\bthereby\b|\btherein\b": "current English",
    r"\blest\b|\bsave for\b|\bin vain\b": "so that ... not, except, without success",
    r"\bis told of\b|\bhears? of\b|\bhas not been heard\b": "is notified of, learns of, is silent",
    r"\b(?:say|says) nothing of\b": "does not mention",
    r"\bthose of everybody\b": "the public ones, the international ones",
    r"\bdearer\b": "more expensive, at a higher price",
    r"\btaken? for harmless\b": "counts as harmless",
    r"\bwhat comes (?:back )?over\b": "answers over, frames of",
    r"\bit is (?:he|she|they) who\b": "name the actor as the subject",
    r"\blacks none\b|\bholds? no other\b": "has all, has only this one",
    r"\bis to be had\b|\bmay be done with\b": "is available, is allowed",
}
GAP = r"(?:[ ]|\s*\n\s*(?:#\s*)?)"  # a space, or a line break in a docstring or a comment
HERE = Path(__file__).name


def files() -> list[Path]:
    names = ("*.py", "*.pyi", "*.pyx", "*.pxd", "*.md")
    listed = subprocess.run(["git", "ls-files", "-z", *names], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and Path(name).name != HERE]


def found_in(text: str) -> list[tuple[int, str, str]]:
    """Return (line, phrase, plain form), also of a phrase that a line break divides."""
    rows = []
    for phrase, plain in PLAIN.items():
        for match in re.finditer(phrase.replace(" ", GAP), text, re.IGNORECASE):
            rows.append((text.count("\n", 0, match.start()) + 1, " ".join(match[0].replace("#", " ").split()), plain))
    return rows


def test_no_archaic_or_inverted_phrase_comes_back():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {phrase!r}: write {plain!r}"
        for path in files()
        for line, phrase, plain in found_in(path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


def test_a_phrase_is_found_over_a_line_break():
    assert found_in("the name is none\n    of these") == [(1, "is none of", "is not one of")]
    assert found_in("    # it is none\n    # of these") == [(1, "is none of", "is not one of")]
    assert found_in("none is of this kind") == []
