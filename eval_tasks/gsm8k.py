"""GSM8K: the last number that a model writes is compared with the last number of the solution."""

from peft_bottleneck_bench.tasks import Hub, Task

TASK = Task(
    name="gsm8k",
    kind="generation",
    data=Hub(
        id="openai/gsm8k",
        config="main",
        revision="e53f048856ff4f594e959d75785d2c2d37b678ee",
        validation=500,
    ),
    columns={"target": "answer"},
    metric="number",
    main_metric="number",
    prompt="Question: {question} Think step by step.\nAnswer:",
    licence="MIT",
    source="Cobbe et al. 2021, arXiv:2110.14168",
    description="Word problems of primary school, with their solutions.",
)
