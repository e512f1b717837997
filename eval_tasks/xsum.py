"""XSum. The few rows without a document are left out."""

from peft_bottleneck_bench.converters import filled
from peft_bottleneck_bench.tasks import Hub, Task

TASK = Task(
    name="xsum",
    kind="summarization",
    data=Hub(id="EdinburghNLP/xsum", revision="7d4d486c2f8ef850b1a11aead99b894ff3dd7da9"),
    convert=filled(document="document", summary="summary"),
    main_metric="rougeL",
    prompt="{document}\n\nIn one sentence:",
    source_prefix="summarize: ",
    licence="not stated",
    source="Narayan et al. 2018, https://aclanthology.org/D18-1206",
    description="BBC articles, each with its first sentence as a summary.",
)
