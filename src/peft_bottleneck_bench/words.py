"""Words of a text, where they are, lists of words in messages, and texts of others on one line."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise

ENGLISH_S = re.compile(r"(?<=.)['’]s$", re.IGNORECASE)  # a word of its own in most corpora


def quoted(words: Iterable[object], most: int = 12) -> str:
    """The words in quotes, the first `most` of them where there are many."""
    listed = list(words)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(f"'{word}'" for word in listed[:most]) + more


def counted(count: int, noun: str) -> str:
    """A number and its noun: `1 record`, `1,204 records`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def visible(text: str) -> str:
    """`text` with its control characters spelled out: `\\x1b[31m` colours nothing, `\\u202e` turns nothing round.

    Line breaks and tabs become spaces, so that one text stays on one line.
    """
    shown = "".join(c if c.isspace() or not _is_control(c) else c.encode("unicode_escape").decode() for c in text)
    return "".join(" " if c.isspace() else c for c in shown)


def _is_control(character: str) -> bool:
    bidirectional = "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"
    return bidirectional or unicodedata.category(character) in ("Cc", "Cs", "Co", "Cn")


def words_of(text: str) -> list[tuple[int, int]]:
    """The places of the words of a text: split at spaces, with leading and trailing punctuation and 's set apart."""
    places = []
    for match in re.finditer(r"\S+", text):
        start, end = match.span()
        before, after = [], []
        while end - start > 1 and _is_mark(text[start]):
            before.append((start, start + 1))
            start += 1
        while end - start > 1 and _is_mark(text[end - 1]):
            after.append((end - 1, end))
            end -= 1
        if english := ENGLISH_S.search(text[start:end]):
            after.append((start + english.start(), end))
            end = start + english.start()
        places += [*before, (start, end), *reversed(after)]
    return places


def joined_words(tokens: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """The tokens with a space between them, and the place of each."""
    ends = [0]
    for token in tokens:
        ends.append(ends[-1] + len(token) + 1)
    return " ".join(tokens), [(start, end - 1) for start, end in pairwise(ends)]


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"
