"""SST-2 as GLUE distributes it. GLUE hides the labels of its test split, so its validation split is the test here."""

from peft_bottleneck_bench.tasks import Hub, Task

TASK = Task(
    name="sst2",
    kind="classification",
    data=Hub(
        id="nyu-mll/glue",
        config="sst2",
        revision="bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
        train="train[:-2000]",
        validation="train[-2000:]",
        test="validation",
    ),
    columns={"text": "sentence"},
    labels=("negative", "positive"),
    main_metric="accuracy",
    licence="not stated",
    source="Socher et al. 2013, https://aclanthology.org/D13-1170; GLUE, Wang et al. 2019, arXiv:1804.07461",
    description="Sentences and phrases of film reviews, positive or negative.",
)
