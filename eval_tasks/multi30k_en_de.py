"""Multi30k, English into German; its test is test_2016_flickr.

The revision is the branch that the hub keeps in Parquet, because the repository's own commit is unknown.
"""

from peft_bottleneck_bench.tasks import Hub, Task

TASK = Task(
    name="multi30k_en_de",
    kind="translation",
    data=Hub(id="bentrevett/multi30k", revision="refs/convert/parquet"),
    columns={"source": "en", "target": "de"},
    main_metric="bleu",
    prompt="Translate from English to German.\nEnglish: {source}\nGerman:",
    source_prefix="translate English to German: ",
    licence="not stated",
    source="Elliott et al. 2016, https://aclanthology.org/W16-3210",
    description="Descriptions of pictures from English into German.",
)
