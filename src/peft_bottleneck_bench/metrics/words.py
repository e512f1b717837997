"""Words of a text in any script."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import regex

# Scripts that write words without spaces between them: there a character counts as a word.
UNSPACED = "".join(
    rf"\p{{{script}}}" for script in ("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan")
)
_WORD = regex.compile(rf"[{UNSPACED}]\p{{M}}*|(?:(?![{UNSPACED}])[\p{{L}}\p{{M}}\p{{Nd}}])+")
_UNSPACED = regex.compile(f"([{UNSPACED}])")
_KANA = regex.compile(r"[\p{Hiragana}\p{Katakana}]")
_LETTER = regex.compile(r"\p{L}")


def words_of(text: str) -> list[str]:
    """The words in lower case: runs of letters, marks and digits; single characters in scripts without spaces.

    >>> words_of("Die Größe von iPhone-手机: हिन्दी 15!")
    ['die', 'größe', 'von', 'iphone', '手', '机', 'हिन्दी', '15']
    """
    words: list[str] = _WORD.findall(unicodedata.normalize("NFC", text.lower()))
    return words


def with_spaces(text: str) -> str:
    """`text` with spaces around each character of a script that writes none."""
    spaced: str = _UNSPACED.sub(r" \1 ", text)
    return spaced


def script_of(texts: Sequence[str]) -> str:
    """`chinese`, `japanese` or `unspaced` where most letters are of a script without spaces, else `spaced`."""
    together = "".join(texts)
    unspaced, letters = len(_UNSPACED.findall(together)), len(_LETTER.findall(together))
    if 2 * unspaced <= letters:
        return "spaced"
    if 20 * len(_KANA.findall(together)) > unspaced:
        return "japanese"
    return "chinese" if regex.search(r"\p{Han}", together) else "unspaced"
