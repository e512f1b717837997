"""Writes the table of families in docs/families.md from its rows: `python tools/families.py`."""

from __future__ import annotations

import re
from pathlib import Path

from peft_bottleneck.sites.families import FAMILIES
from peft_bottleneck.sites.family import Family

PAGE = Path(__file__).parents[1] / "docs" / "families.md"
BEGIN, END = "<!-- families: begin -->\n", "<!-- families: end -->\n"


def table() -> str:
    lines = ["| model types | norm | attention output | FFN | folds |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*lines, *map(_line, FAMILIES)]) + "\n"


def _line(row: Family) -> str:
    types = ", ".join(f"`{name}`" for name in row.model_types)
    condition = "".join(f" ({name}={value})" for name, value in row.when.items())
    ffn = " → ".join(filter(None, (", ".join(map(_plain, row.ffn_input)), _plain(row.ffn_output))))
    cells = (
        types + condition,
        "post" if row.ffn_norm else "pre",
        _plain(row.attention_output),
        ffn or _plain(row.ffn),
        "yes" if row.ffn_output and row.ffn_size else "no",
    )
    return "| " + " | ".join(cells) + " |"


def _plain(pattern: str | None) -> str:
    """A row's regular expression as a module name, its alternatives apart."""
    if pattern is None:
        return ""
    return " or ".join(f"`{name}`" for name in re.sub(r"\(\?:.*?\)\?", "", pattern).replace("\\", "").split("|"))


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
