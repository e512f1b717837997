"""WNUT-17. The repository itself is a script, so the commit is one of the branch that the hub made of it."""

from peft_bottleneck_bench.tasks import Hub, Task

TASK = Task(
    name="wnut17",
    kind="ner",
    data=Hub(
        id="leondz/wnut_17",
        revision="1ac0b6d18c8a1a1d1606b24bef78b8af2f92d2d9",
        folder="wnut_17",
    ),
    columns={"tags": "ner_tags"},
    labels=("corporation", "creative-work", "group", "location", "person", "product"),
    main_metric="f1",
    licence="CC BY 4.0",
    source="Derczynski et al. 2017, https://aclanthology.org/W17-4418",
    description="New and rare entities of six types in posts and comments; its test entities do not occur in train.",
)
