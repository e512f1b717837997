"""STS-B as GLUE distributes it. GLUE hides the scores of its test split, so its validation split is the test here."""

from peft_bottleneck_bench.tasks import Hub, Task

TASK = Task(
    name="stsb",
    kind="regression",
    data=Hub(
        id="nyu-mll/glue",
        config="stsb",
        revision="bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
        validation=500,
        test="validation",
    ),
    columns={"text": "sentence1", "text_pair": "sentence2", "score": "label"},
    main_metric="pearson",  # GLUE's own score is the mean of Pearson and Spearman; the record has both
    licence="not stated",
    source="Cer et al. 2017, https://aclanthology.org/S17-2001; GLUE, Wang et al. 2019, arXiv:1804.07461",
    description="How alike two sentences are in meaning, from 0 to 5.",
)
