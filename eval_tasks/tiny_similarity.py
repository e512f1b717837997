"""How alike two short English sentences are in meaning; small enough to try everything on, with no network."""

from peft_bottleneck_bench.tasks import Task, shipped

TASK = Task(
    name="tiny_similarity",
    kind="regression",
    data=shipped("tiny_similarity"),
    main_metric="pearson",
    licence="Apache-2.0",
    source="written for this project",
    description="Pairs of short sentences with a score of shared meaning from 0 to 5.",
)
