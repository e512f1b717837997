"""Everyday English sentences and their German translations; small enough to try everything on, with no network."""

from peft_bottleneck_bench.tasks import Task, shipped

TASK = Task(
    name="tiny_translation",
    kind="translation",
    data=shipped("tiny_translation"),
    main_metric="chrf",
    prompt="Translate from English to German.\nEnglish: {source}\nGerman:",
    source_prefix="translate English to German: ",
    licence="Apache-2.0",
    source="written for this project",
    description="A few hundred everyday sentences from English into German.",
)
