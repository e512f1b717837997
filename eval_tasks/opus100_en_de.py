"""OPUS-100, English into German."""

from peft_bottleneck_bench.converters import filled
from peft_bottleneck_bench.tasks import Hub, Task

TASK = Task(
    name="opus100_en_de",
    kind="translation",
    data=Hub(id="Helsinki-NLP/opus-100", config="de-en", revision="805090dc28bf78897da9641cdf08b61287580df9"),
    convert=filled(source="translation.en", target="translation.de"),
    main_metric="bleu",
    prompt="Translate from English to German.\nEnglish: {source}\nGerman:",
    source_prefix="translate English to German: ",
    licence="not stated",
    source="Zhang et al. 2020, https://aclanthology.org/2020.acl-main.148",
    description="English into German: subtitles, parliament, software and other text of the OPUS collection.",
)
