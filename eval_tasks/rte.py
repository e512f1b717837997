"""RTE as GLUE distributes it. GLUE hides the labels of its test split, so its validation split is the test here."""

from peft_bottleneck_bench.tasks import Hub, Task

TASK = Task(
    name="rte",
    kind="classification",
    data=Hub(
        id="nyu-mll/glue",
        config="rte",
        revision="bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
        validation=250,
        test="validation",
    ),
    columns={"text": "sentence1", "text_pair": "sentence2"},
    labels=("entailment", "not_entailment"),
    main_metric="accuracy",
    licence="not stated",
    source="Dagan et al. 2005 to Bentivogli et al. 2009; GLUE, Wang et al. 2019, arXiv:1804.07461",
    description="Whether a text entails a sentence; few examples.",
)
