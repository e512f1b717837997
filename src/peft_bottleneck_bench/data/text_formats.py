"""Text files in the forms of well-known data sets: CoNLL columns, SemEval-2010 task 8, line-aligned pairs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..converters import marked_entities
from ..errors import UserError
from ..semeval import MARKERS
from ..tasks import Format
from .file_rows import FileRows, Row
from .opened import lines_of

CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")


def read_conll(path: Path, form: Format) -> FileRows:
    """Sentences of `tokens` and `tags`: a line per word, the word in its first column and the tag in its last.

    Columns are separated by tabs, or in a line without tabs by spaces; other white space is part of a word. A line of
    white space alone ends a sentence; `-DOCSTART-` lines are left out. An error names the line of the first word.
    With names for the columns (`header`), a sentence has a list for each of them too.

    Raises:
        UserError: a line has one column alone, or another number than the names.
    """
    names = form.header if isinstance(form.header, tuple) else ()
    return _sentences(path, lines_of(path), names)


def read_conllu(path: Path, form: Format) -> FileRows:
    """CoNLL-U: ten tab-separated columns with their names in lower case, and `tokens` for `form`.

    Comments, ranges of words (`1-2`) and empty nodes (`1.1`) are left out. The comment `# global.columns = …` of
    CoNLL-U Plus, or `header`, names other columns; `tags` is the last one.
    """
    lines = list(lines_of(path))
    names: Sequence[str] = form.header if isinstance(form.header, tuple) else CONLLU
    for _, line in lines:
        if line.startswith("# global.columns =") and not isinstance(form.header, tuple):
            names = tuple(line.partition("=")[2].lower().split())
    words = [
        (number, line)
        for number, line in lines
        if not line.startswith("#") and not ("id" in names and re.match(r"\d+[-.]\d+\t", line))
    ]
    return _sentences(path, words, names)


def _sentences(path: Path, lines: Iterable[tuple[int, str]], names: Sequence[str]) -> FileRows:
    sentences: list[list[list[str]]] = []
    numbers: list[int] = []
    is_open = False
    word = names.index("form") if "form" in names else 0
    for number, line in lines:
        if not line.strip() or line.startswith("-DOCSTART-"):
            is_open = False
            continue
        line = line.strip(" \t")
        fields = [field.strip(" ") for field in line.split("\t")] if "\t" in line else re.split(" +", line)
        if len(fields) < 2 or not fields[word]:
            raise UserError(f"{path}, line {number}: expected a word and its tag, found {line!r}")
        if names and len(fields) != len(names):
            raise UserError(f"{path}, line {number}: {len(fields)} columns where {len(names)} have names")
        if not is_open:
            sentences.append([])
            numbers.append(number)
            is_open = True
        sentences[-1].append(fields)
    rows = [
        {
            "tokens": [fields[word] for fields in sentence],
            "tags": [fields[-1] for fields in sentence],
            **{name: [fields[column] for fields in sentence] for column, name in enumerate(names)},
        }
        for sentence in sentences
    ]
    return FileRows(str(path), rows, numbers)


def read_semeval(path: Path, form: Format) -> FileRows:
    """Rows of `text`, `head` (e1), `tail` (e2) and `relation`, from records of a few lines each.

        8001<tab>"The <e1>audits</e1> were about <e2>waste</e2>."
        Message-Topic(e1,e2)
        Comment: may be missing

    Raises:
        UserError: a record lacks its sentence, a marker or its relation.
    """
    lines = [(number, line) for number, line in lines_of(path) if line.strip()]
    lines = [(number, line) for number, line in lines if not line.startswith("Comment")]
    rows: list[Row] = []
    numbers: list[int] = []
    while lines:
        number, line = lines.pop(0)
        _, tab, sentence = line.partition("\t")
        if not tab:
            raise UserError(f'{path}, line {number}: expected a number, a tab and a "sentence", found {line!r}')
        if not lines or "\t" in lines[0][1]:
            raise UserError(f"{path}, line {number}: the line after the sentence must name the relation")
        _, relation = lines.pop(0)
        sentence = sentence.strip()
        if len(sentence) > 1 and sentence[0] == sentence[-1] == '"':
            sentence = sentence[1:-1]
        try:
            rows.append({**marked_entities(sentence, **MARKERS), "relation": relation.strip()})
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {error}") from error
        numbers.append(number)
    return FileRows(str(path), rows, numbers)


def read_line_pairs(first: Path, second: Path, columns: tuple[str, str]) -> FileRows:
    """Rows of `columns`: line n of the first file and line n of the second.

    Raises:
        UserError: their numbers of lines differ.
    """
    pair = [list(lines_of(path)) for path in (first, second)]
    if len(pair[0]) != len(pair[1]):
        raise UserError(
            f"{first} has {len(pair[0])} lines and {second} has {len(pair[1])}: line-aligned files have equally many"
        )
    rows = [dict(zip(columns, (one, other), strict=True)) for (_, one), (_, other) in zip(*pair, strict=True)]
    return FileRows(f"{first} and {second}", rows, range(1, len(rows) + 1))
