"""SAMSum. The row without a dialogue is left out."""

from peft_bottleneck_bench.converters import filled
from peft_bottleneck_bench.tasks import Hub, Task

TASK = Task(
    name="samsum",
    kind="summarization",
    data=Hub(id="knkarthick/samsum", revision="6b929ff10edec703164e3ddb2e94aae058c9ab5f"),
    convert=filled(document="dialogue", summary="summary"),
    main_metric="rougeL",
    prompt="{document}\n\nSummary:",
    source_prefix="summarize: ",
    licence="CC BY-NC-ND 4.0",
    source="Gliwa et al. 2019, https://aclanthology.org/D19-5409",
    description="Chats between friends, each with a short summary.",
)
