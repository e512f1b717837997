"""MNLI as GLUE distributes it. GLUE hides the labels of its test splits, so the matched validation is the test."""

from peft_bottleneck_bench.tasks import Hub, Task

TASK = Task(
    name="mnli",
    kind="classification",
    data=Hub(
        id="nyu-mll/glue",
        config="mnli",
        revision="bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
        validation=5000,
        test="validation_matched",
    ),
    columns={"text": "premise", "text_pair": "hypothesis"},
    labels=("entailment", "neutral", "contradiction"),
    main_metric="accuracy",
    licence="OANC, CC BY-SA 3.0, CC BY 3.0 and others, by genre",
    source="Williams et al. 2018, https://aclanthology.org/N18-1101; GLUE, Wang et al. 2019, arXiv:1804.07461",
    description="Whether a premise entails a hypothesis, contradicts it, or neither, in five genres.",
)
