"""WMT16, Romanian into English: newsdev2016 is validation, newstest2016 test."""

from peft_bottleneck_bench.converters import filled
from peft_bottleneck_bench.tasks import Hub, Task

TASK = Task(
    name="wmt16_ro_en",
    kind="translation",
    data=Hub(id="wmt/wmt16", config="ro-en", revision="41d8a4013aa1489f28fea60ec0932af246086482"),
    convert=filled(source="translation.ro", target="translation.en"),
    main_metric="bleu",
    prompt="Translate from Romanian to English.\nRomanian: {source}\nEnglish:",
    source_prefix="translate Romanian to English: ",
    licence="not stated",
    source="Bojar et al. 2016, https://aclanthology.org/W16-2301",
    description="Romanian into English: parliament and news to train on, news to test on.",
)
