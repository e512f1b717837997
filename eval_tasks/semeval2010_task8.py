"""SemEval-2010 task 8, by its official score. The source has no validation split.

The revision is the branch that the hub keeps in Parquet, because the repository's own commit is unknown.
"""

from collections.abc import Iterable

from peft_bottleneck_bench.converters import Example, marked_entities
from peft_bottleneck_bench.semeval import LABELS, MARKERS
from peft_bottleneck_bench.tasks import Hub, Task


def convert(row: Example) -> Iterable[Example]:
    """The head is e1 and the tail e2, whatever the direction of the relation."""
    example = marked_entities(row["sentence"], **MARKERS)
    yield {**example, "relation": row["relation"]}


TASK = Task(
    name="semeval2010_task8",
    kind="relation_extraction",
    data=Hub(id="SemEvalWorkshop/sem_eval_2010_task_8", revision="refs/convert/parquet", validation=800),
    convert=convert,
    labels=LABELS,
    metric="semeval2010_task8",
    main_metric="macro_f1",
    licence="CC BY 3.0",
    source="Hendrickx et al. 2010, https://aclanthology.org/S10-1006",
    description="One of nine relations and its direction, or another, between two nominals.",
)
