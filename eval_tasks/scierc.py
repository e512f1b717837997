"""SciERC's relations as SciBERT classifies them: of gold pairs alone, so that there is no "no relation".

The revision is the branch that the hub keeps in Parquet, because the repository's own commit is unknown.
"""

from collections.abc import Iterable

from peft_bottleneck_bench.converters import Example, marked_entities
from peft_bottleneck_bench.tasks import Hub, Task


def convert(row: Example) -> Iterable[Example]:
    example = marked_entities(row["text"], head=("[[ ", " ]]"), tail=("<< ", " >>"))
    yield {**example, "relation": row["label"]}


TASK = Task(
    name="scierc",
    kind="relation_extraction",
    data=Hub(id="nsusemiehl/SciERC", revision="refs/convert/parquet"),
    convert=convert,
    labels=("USED-FOR", "CONJUNCTION", "EVALUATE-FOR", "HYPONYM-OF", "PART-OF", "FEATURE-OF", "COMPARE"),
    main_metric="macro_f1",
    licence="not stated",
    source="Luan et al. 2018, https://aclanthology.org/D18-1360; Beltagy et al. 2019, arXiv:1903.10676",
    description="One of seven relations between two terms of a scientific abstract.",
)
