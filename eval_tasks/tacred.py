"""TACRED for those who have its licence (LDC2018T24): the JSON files of its distribution, on your own disk.

They are looked for below the working directory; a configuration says where else they are:
`{name: tacred, data: {train: …/train.json, validation: …/dev.json, test: …/test.json}}`.
"""

from collections.abc import Iterable

from peft_bottleneck_bench.converters import Example, token_entities
from peft_bottleneck_bench.tasks import Files, Task


def convert(row: Example) -> Iterable[Example]:
    """The head is the subject and the tail the object, with their types."""
    spans = {"head": (row["subj_start"], row["subj_end"]), "tail": (row["obj_start"], row["obj_end"])}
    example = token_entities(row["token"], **spans)
    example["head"]["type"], example["tail"]["type"] = row["subj_type"], row["obj_type"]
    yield {**example, "relation": row["relation"]}


TASK = Task(
    name="tacred",
    kind="relation_extraction",
    data=Files(
        train="tacred/data/json/train.json",
        validation="tacred/data/json/dev.json",
        test="tacred/data/json/test.json",
    ),
    convert=convert,
    negative_label="no_relation",
    main_metric="micro_f1",
    markers="typed",
    licence="LDC User Agreement",
    source="Zhang et al. 2017, https://aclanthology.org/D17-1004",
    description="One of 41 relations of persons and organisations, or none, in news and web text.",
)
