"""Tags of named entities in the common schemes, as strict IOB2."""

from __future__ import annotations

from collections.abc import Sequence

from ..converters import iob2

# The letters of a scheme that open an entity, and those that are inside one.
_LETTERS = {"iobes": ("BS", "IE"), "bilou": ("BU", "IL")}


def to_iob2(tags: Sequence[str], scheme: str) -> list[str]:
    """`tags` of `scheme` in strict IOB2.

    >>> to_iob2(["B-PER", "E-PER", "O", "S-LOC"], "iobes")
    ['B-PER', 'I-PER', 'O', 'B-LOC']

    Raises:
        ValueError: a tag is none of the scheme.
    """
    if scheme in _LETTERS:
        opening, inside = _LETTERS[scheme]
        tags = [_rewritten(position, tag, opening, inside, scheme) for position, tag in enumerate(tags)]
    return iob2(tags) if scheme != "iob2" else list(tags)


def _rewritten(position: int, tag: str, opening: str, inside: str, scheme: str) -> str:
    letter, dash, name = tag.partition("-")
    if tag == "O":
        return tag
    if not dash or not name or len(letter) != 1 or letter not in opening + inside:
        expected = ", ".join(f"{letter}-TYPE" for letter in opening + inside)
        raise ValueError(f"tag {position} is {tag!r}: in {scheme} expected O, {expected}")
    return f"{'B' if letter in opening else 'I'}-{name}"
