"""BC5CDR by sentences. The repository itself is a script, so the commit is one of the branch that the hub made of it.

The source has numbers for tags and no names; `TAGS` has them in the order of the repository's label file.
"""

from collections.abc import Iterable

from peft_bottleneck_bench.converters import Example, iob2
from peft_bottleneck_bench.tasks import Hub, Task

TAGS = ("O", "B-Chemical", "B-Disease", "I-Disease", "I-Chemical")


def convert(row: Example) -> Iterable[Example]:
    yield {"tokens": row["tokens"], "tags": iob2([TAGS[number] for number in row["tags"]])}


TASK = Task(
    name="bc5cdr",
    kind="ner",
    data=Hub(id="tner/bc5cdr", revision="564118257f090b2592b7b1607ec60f40948acf1c", folder="bc5cdr"),
    convert=convert,
    labels=("Chemical", "Disease"),
    main_metric="f1",
    licence="public domain: work of the United States government",
    source="Li et al. 2016, https://doi.org/10.1093/database/baw068",
    description="Chemicals and diseases in abstracts of PubMed.",
)
