"""Banking77. The source has no validation split, and its rows are sorted by label."""

from peft_bottleneck_bench.tasks import Hub, Task

TASK = Task(
    name="banking77",
    kind="classification",
    data=Hub(
        id="mteb/banking77",
        revision="18072d2685ea682290f7b8924d94c62acc19c0b2",
        validation=1000,
    ),
    columns={"label": "label_text"},
    main_metric="accuracy",
    licence="CC BY 4.0",
    source="Casanueva et al. 2020, https://aclanthology.org/2020.nlp4convai-1.5",
    description="What a customer asks a bank, one of 77 intents.",
)
