"""The format of a file, where its suffix does not say it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Format:
    """The settings of a task for its files.

    Args:
        name: one of `files.FORMATS`; empty: the suffix says it.
        delimiter: of separated values; empty: that of the format.
        quote: the quotation mark of separated values; empty: there is none; None: that of the format.
        header: True: the first record has the names. False: there is none, and columns are called 0, 1, …. A tuple:
            there is none, and these are the names.
    """

    name: str = ""
    delimiter: str = ""
    quote: str | None = None
    header: bool | tuple[str, ...] = True

    @property
    def settings(self) -> list[str]:
        """The names of the settings that differ from their defaults."""
        default = Format()
        return [name for name in ("delimiter", "quote", "header") if getattr(self, name) != getattr(default, name)]
