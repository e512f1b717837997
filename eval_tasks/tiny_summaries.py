"""Short English documents and a summary of one sentence each; small enough to try everything on, with no network."""

from peft_bottleneck_bench.tasks import Task, shipped

TASK = Task(
    name="tiny_summaries",
    kind="summarization",
    data=shipped("tiny_summaries"),
    main_metric="rougeL",
    prompt="{document}\n\nIn one sentence:",
    source_prefix="summarize: ",
    licence="Apache-2.0",
    source="written for this project",
    description="Short news items, notices and letters, each with a summary of one sentence.",
)
