"""Persons, organisations, places and products in English sentences; small enough to try everything on."""

from peft_bottleneck_bench.tasks import Task, shipped

TASK = Task(
    name="tiny_ner",
    kind="ner",
    data=shipped("tiny_ner"),
    labels=("PER", "ORG", "LOC", "PRODUCT"),
    main_metric="f1",
    licence="Apache-2.0",
    source="written for this project",
    description="A few hundred sentences with persons, organisations, places and products.",
)
