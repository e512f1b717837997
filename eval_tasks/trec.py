"""TREC's coarse question classes. The source has no validation split."""

from peft_bottleneck_bench.tasks import Hub, Task

TASK = Task(
    name="trec",
    kind="classification",
    data=Hub(
        id="SetFit/TREC-QC",
        revision="0a34640b3cac3affef6f0abdfb81e3d0ecffcf92",
        validation=500,
    ),
    columns={"label": "label_coarse_original"},
    labels=("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"),
    main_metric="accuracy",
    licence="not stated",
    source="Li and Roth 2002, https://aclanthology.org/C02-1150",
    description="What a question asks for: an abbreviation, description, entity, human, location or number.",
)
