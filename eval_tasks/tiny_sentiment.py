"""Sentiment of short everyday English sentences; small enough to try everything on, with no network."""

from peft_bottleneck_bench.tasks import Task, shipped

TASK = Task(
    name="tiny_sentiment",
    kind="classification",
    data=shipped("tiny_sentiment"),
    labels=("negative", "positive"),
    main_metric="accuracy",
    licence="Apache-2.0",
    source="written for this project",
    description="A few hundred everyday sentences, positive or negative.",
)
