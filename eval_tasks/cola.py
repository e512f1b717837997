"""CoLA as GLUE distributes it. GLUE hides the labels of its test split, so its validation split is the test here."""

from peft_bottleneck_bench.tasks import Hub, Task

TASK = Task(
    name="cola",
    kind="classification",
    data=Hub(
        id="nyu-mll/glue",
        config="cola",
        revision="bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
        validation=850,
        test="validation",
    ),
    columns={"text": "sentence"},
    labels=("unacceptable", "acceptable"),
    main_metric="matthews_correlation",
    licence="not stated",
    source="Warstadt et al. 2019, https://aclanthology.org/Q19-1040; GLUE, Wang et al. 2019, arXiv:1804.07461",
    description="Whether an English sentence is grammatical, by examples of linguists.",
)
