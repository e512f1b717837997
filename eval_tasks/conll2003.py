"""CoNLL-2003 in English. The source holds its tags in strict IOB2, where the shared task's own files have IOB1."""

from peft_bottleneck_bench.tasks import Hub, Task

TASK = Task(
    name="conll2003",
    kind="ner",
    data=Hub(id="lhoestq/conll2003", revision="19edcb426bfd625c275c17b9a99b2239243f4377"),
    columns={"tags": "ner_tags"},
    labels=("PER", "ORG", "LOC", "MISC"),
    main_metric="f1",
    licence="Reuters Corpus: for research, by agreement with NIST",
    source="Tjong Kim Sang and De Meulder 2003, https://aclanthology.org/W03-0419",
    description="Persons, organisations, locations and others in news of 1996 and 1997.",
)
