"""Safe names for files and folders."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import AfterValidator

LONGEST = 255  # bytes, on all common file systems
LONGEST_SLUG = 80
#: Refused by Windows, or with a meaning to a shell or a URL.
RESERVED = frozenset('<>:"/\\|?*')


def file_name_problem(name: str) -> str | None:
    """Why `name` is no safe name of one file in a folder; None if it is one.

    A safe name stays in its folder, is the same on every file system and shows all of its characters.
    """
    if not name:
        return "is empty"
    if name in (".", ".."):
        return "names a special folder"
    if found := sorted(RESERVED & set(name)):
        return f"has {' '.join(found)}"
    if not name.isprintable():
        return "has a character that does not show"
    if name != name.strip() or name.endswith("."):
        return "begins or ends with a space, or ends with a dot"
    if len(name.encode()) > LONGEST:
        return f"is longer than {LONGEST} bytes"
    return None


def slug(text: str) -> str:
    """`text` as a short file name: ASCII letters, digits and single dashes; the rest of a long text becomes a hash."""
    words = "-".join("".join(c if c.isalnum() and c.isascii() else " " for c in text).split()).lower()
    if words and len(words) <= LONGEST_SLUG:
        return words
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{words[:LONGEST_SLUG]}-{digest}".strip("-")


def _checked(name: str) -> str:
    if problem := file_name_problem(name):
        raise ValueError(f"no file name: it {problem}")
    return name


#: The name of one file in a folder, checked by pydantic.
FileName = Annotated[str, AfterValidator(_checked)]
