"""SciTLDR from abstracts alone, against the first summary of each: published figures take the best of several.

The repository itself is a script, so the revision is the branch that the hub made of it.
"""

from collections.abc import Iterable

from peft_bottleneck_bench.converters import Example
from peft_bottleneck_bench.tasks import Hub, Task


def convert(row: Example) -> Iterable[Example]:
    yield {"document": " ".join(row["source"]), "summary": row["target"][0]}


TASK = Task(
    name="scitldr",
    kind="summarization",
    data=Hub(id="allenai/scitldr", revision="refs/convert/parquet", folder="Abstract"),
    convert=convert,
    main_metric="rougeL",
    prompt="{document}\n\nIn one sentence:",
    source_prefix="summarize: ",
    licence="not stated for the data; its repository is Apache-2.0",
    source="Cachola et al. 2020, https://aclanthology.org/2020.findings-emnlp.428",
    description="Abstracts of papers, each with a summary of one sentence.",
)
