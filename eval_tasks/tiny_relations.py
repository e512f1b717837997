"""The relation between two marked entities of an English sentence; small enough to try everything on."""

from peft_bottleneck_bench.tasks import Task, shipped

TASK = Task(
    name="tiny_relations",
    kind="relation_extraction",
    data=shipped("tiny_relations"),
    labels=("works_for", "located_in", "founded_by", "part_of", "causes", "no_relation"),
    negative_label="no_relation",
    main_metric="micro_f1",
    licence="Apache-2.0",
    source="written for this project",
    description="A few hundred sentences, each with one of five relations between two entities, or none.",
)
