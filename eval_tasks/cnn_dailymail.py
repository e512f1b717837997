"""CNN/DailyMail, version 3.0.0: names as in the articles."""

from peft_bottleneck_bench.tasks import Hub, Task

TASK = Task(
    name="cnn_dailymail",
    kind="summarization",
    data=Hub(id="abisee/cnn_dailymail", config="3.0.0", revision="96df5e686bee6baa90b8bee7c28b81fa3fa6223d"),
    columns={"document": "article", "summary": "highlights"},
    main_metric="rougeL",
    prompt="{document}\n\nHighlights:",
    source_prefix="summarize: ",
    licence="Apache-2.0",
    source="See et al. 2017, https://aclanthology.org/P17-1099",
    description="News articles with highlights of a few sentences.",
)
