"""AG News. The source has no validation split."""

from peft_bottleneck_bench.tasks import Hub, Task

TASK = Task(
    name="ag_news",
    kind="classification",
    data=Hub(
        id="fancyzhx/ag_news",
        revision="eb185aade064a813bc0b7f42de02595523103ca4",
        validation=4000,
    ),
    labels=("World", "Sports", "Business", "Sci/Tech"),
    main_metric="accuracy",
    licence="for non-commercial use, as its author states",
    source="Zhang et al. 2015, arXiv:1509.01626",
    description="The topic of a news item, one of four.",
)
