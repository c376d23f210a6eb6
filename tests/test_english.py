"""Phrases that must not come back: archaic or inverted ones, each with its plain form.

The list holds only phrases that are wrong in every context. It is no style checker: it keeps finished work finished.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLAIN = {  # phrase, in lower case, from the beginning of a word: its plain form
    r"is none of\b": "is not one of",
    r"is no plain\b": "is not a plain",
    r"is no (?:multiple|number|file|whole number)\b": "is not a ...",
    r"no whole number of\b": "not a whole number of",
    r"(?:valid|was|were) no more\b(?! than)": "is no longer ...",
    r"what nobody expected\b": "an unexpected error",
    r"an older \w+ is none\b": "an older ... counts as unknown",
    r"thereof\b|wherein\b|whence\b|albeit\b": "say it in current English",
    r"for want of\b": "because there is no ...",
    r"be had\b": "be read, be reached, exist",
    r"hands? in (?:their|its) own\b": "pass their own",
    r"whatever (?:becomes|became) of\b": "with any outcome",
    r"however (?:old|many|deep) (?:it|they|ask)\b": "of any age, for any number",
    r"(?:is|are) no success\b": "failed",
    r"nor ever\b": "and never",
    r"has not the\b|have not the\b|knows not\b": "does not have, does not know",
    r"(?:gives|wants|names) none\b": "states no ..., needs no ...",
    r"said\b": "refused, answered, stated, sent",
    r"is let go\b|lets go of\b": "is released",
    r"unto\b|hence\b|henceforth\b|heretofore\b|notwithstanding\b|thereby\b|therein\b": "current English",
    r"lest\b|save for\b|in vain\b": "so that ... not, except, without success",
    r"is told of\b|hears? of\b|(?:is|are|was|were|been|not|never) heard\b|heard of\b": "learns of, gets, is silent",
    r"(?:say|says) nothing of\b": "does not mention",
    r"those of everybody\b": "the public ones, the international ones",
    r"dearer\b": "more expensive, at a higher price",
    r"taken? for harmless\b": "counts as harmless",
    r"what comes (?:back )?over\b": "answers over, frames of",
    r"it is (?:he|she|they) who\b": "name the actor as the subject",
    r"lacks none\b|holds? no other\b": "has all, has only this one",
    r"is to be had\b|may be done with\b": "is available, is allowed",
    r"of (?:its|their|his|our) own\b": "a separate ..., its own ...",
    r"beside\b": "next to, together with, besides",
    r"(?:is|are|was|were|be|been) (?:told|asked for)\b": "gets, learns, is requested",
    r"(?<!\.)(?<!,\s)asks for\b|ask for (?!ask\b)": "requests, needs, prompts for",
    r"any more\b(?! (?:than|\w+s)\b)": "no longer, now",
    r"who(?:ever|soever)\b|whatever\b": "any, with any ..., even if",
    r"(?:nobody|somebody|anybody|everybody) [a-z]": "name the actor, or what is missing",
    r"(?:goes|go) on\b": "continues",
    r"does not say\b|says (?:otherwise|nothing)\b": "does not state, states another ...",
    r"as (?:it stands|they stand)\b": "unchanged",
    r"(?:by|in) turns\b(?!:)": "alternating",
    r"takes? in\b|carr(?:y|ies|ied) (?:it )?out\b": "reads, applies, executes",
    r"in the test's hands?\b": "controlled by the test",
}
GAP = r"(?:[ ]|\s*\n\s*(?:#\s*)?)"  # a space, or a line break in a docstring or a comment
HERE = Path(__file__).name


def files() -> list[Path]:
    names = ("*.py", "*.pyi", "*.pyx", "*.pxd", "*.h", "*.md", "*.txt")
    listed = subprocess.run(["git", "ls-files", "-z", *names], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and Path(name).name != HERE]


def pattern_of(phrase: str) -> str:
    return phrase.replace(" ", GAP)


# One pattern for all phrases, because a separate search for each takes twenty times as long.
ANY = re.compile(rf"\b(?:{'|'.join(map(pattern_of, PLAIN))})")


def found_in(text: str) -> list[tuple[int, str, str]]:
    """Return (line, phrase, plain form), also of a phrase that a line break divides."""
    lower, rows = text.lower(), []
    for match in ANY.finditer(lower):
        plain = next(
            plain for phrase, plain in PLAIN.items() if re.compile(pattern_of(phrase)).match(lower, match.start())
        )
        rows.append((text.count("\n", 0, match.start()) + 1, " ".join(match[0].replace("#", " ").split()), plain))
    return rows


def test_no_archaic_or_inverted_phrase_comes_back():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {phrase!r}: write {plain!r}"
        for path in files()
        for line, phrase, plain in found_in(path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


def test_names_of_tests_have_no_such_phrase():
    wrong = [
        f"{path.relative_to(ROOT)}: {name}: {phrase!r}: write {plain!r}"
        for path in files()
        if path.suffix == ".py" and path.is_relative_to(ROOT / "tests")
        for name in re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        for _, phrase, plain in found_in(name.replace("_", " "))
    ]
    assert not wrong, "\n".join(wrong)


def test_a_phrase_is_found_over_a_line_break():
    assert found_in("the name is none\n    of these") == [(1, "is none of", "is not one of")]
    assert found_in("    # it is none\n    # of these") == [(1, "is none of", "is not one of")]
    assert found_in("none is of this kind") == []
