"""Text files in the forms of well-known data sets: CoNLL columns, SemEval-2010 task 8, line-aligned pairs."""

from __future__ import annotations

from pathlib import Path

from ..converters import marked_entities
from ..errors import UserError
from .file_rows import FileRows, Row, lines_of

SEMEVAL_MARKERS = {"head": ("<e1>", "</e1>"), "tail": ("<e2>", "</e2>")}


def read_conll(path: Path) -> FileRows:
    """Sentences of `tokens` and `tags`: a line per word, the word in its first column and the tag in its last.

    Columns are separated by tabs, or in a line without tabs by spaces. A line of white space alone ends a sentence;
    `-DOCSTART-` lines are left out. A sentence stands at the line of its first word.

    Raises:
        UserError: a line has one column alone.
    """
    rows: list[Row] = []
    numbers: list[int] = []
    open_sentence = False
    for number, line in lines_of(path):
        if not line.strip() or line.startswith("-DOCSTART-"):
            open_sentence = False
            continue
        fields = line.strip().split("\t" if "\t" in line.strip() else None)
        if len(fields) < 2:
            raise UserError(f"{path}, line {number}: expected a word and its tag, found {line.strip()!r}")
        if not open_sentence:
            rows.append({"tokens": [], "tags": []})
            numbers.append(number)
            open_sentence = True
        rows[-1]["tokens"].append(fields[0].strip())
        rows[-1]["tags"].append(fields[-1].strip())
    return FileRows(str(path), rows, numbers)


def read_semeval(path: Path) -> FileRows:
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
            raise UserError(f"{path}, line {number}: the line after the sentence must tell the relation")
        _, relation = lines.pop(0)
        sentence = sentence.strip()
        if len(sentence) > 1 and sentence[0] == sentence[-1] == '"':
            sentence = sentence[1:-1]
        try:
            rows.append({**marked_entities(sentence, **SEMEVAL_MARKERS), "relation": relation.strip()})
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {error}") from error
        numbers.append(number)
    return FileRows(str(path), rows, numbers)


def read_line_pairs(first: Path, second: Path, columns: tuple[str, str]) -> FileRows:
    """Rows of `columns`: line n of the first file and line n of the second.

    Raises:
        UserError: the files have not as many lines.
    """
    pair = [list(lines_of(path)) for path in (first, second)]
    if len(pair[0]) != len(pair[1]):
        raise UserError(
            f"{first} has {len(pair[0])} lines and {second} has {len(pair[1])}: line-aligned files have as many"
        )
    rows = [dict(zip(columns, (one, other), strict=True)) for (_, one), (_, other) in zip(*pair, strict=True)]
    return FileRows(f"{first} and {second}", rows, range(1, len(rows) + 1))
