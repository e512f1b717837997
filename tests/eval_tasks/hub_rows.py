"""Rows as the field's standard sets hold them on the hub: columns, types, and one example that they must become."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from datasets import ClassLabel, List, Translation, Value

TEXT, NUMBER = Value("string"), Value("int64")


@dataclass(frozen=True)
class HubSet:
    """A split of a data set: its features, some rows, and the example that the first of them must become."""

    features: dict[str, Any]
    rows: list[dict[str, Any]]
    example: dict[str, Any]


def _glue(columns: dict[str, Any], label: Any, rows: list[dict[str, Any]], example: dict[str, Any]) -> HubSet:
    features = {**columns, "label": label, "idx": Value("int32")}
    return HubSet(features, [{**row, "idx": number} for number, row in enumerate(rows)], example)


def _translation(*languages: str, example: dict[str, str]) -> HubSet:
    words = {"de": "Ja.", "en": "Yes.", "ro": "Da."}
    pair = {language: words[language] for language in languages}
    rows = [{"translation": pair}, {"translation": pair | {languages[0]: ""}}, {"translation": pair}]
    return HubSet({"translation": Translation(languages)}, rows * 2, example)


NLI = ClassLabel(names=["entailment", "neutral", "contradiction"])
CONLL_TAGS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
WNUT_TAGS = ["O"] + [
    f"{prefix}-{name}"
    for name in ("corporation", "creative-work", "group", "location", "person", "product")
    for prefix in "BI"
]
SEMEVAL_LABELS = ["Cause-Effect(e1,e2)", "Cause-Effect(e2,e1)", "Other"]

HUB_SETS = {
    "sst2": _glue(
        {"sentence": TEXT},
        ClassLabel(names=["negative", "positive"]),
        [{"sentence": "dull", "label": 0}, {"sentence": "fine", "label": 1}],
        {"text": "dull", "label": "negative"},
    ),
    "mnli": _glue(
        {"premise": TEXT, "hypothesis": TEXT},
        NLI,
        [{"premise": "It rains.", "hypothesis": "It is wet.", "label": label} for label in (0, 1, 2)],
        {"text": "It rains.", "text_pair": "It is wet.", "label": "entailment"},
    ),
    "cola": _glue(
        {"sentence": TEXT},
        ClassLabel(names=["unacceptable", "acceptable"]),
        [
            {"sentence": "Rains it.", "label": 0},
            {"sentence": "It rains.", "label": 1},
            {"sentence": "Go.", "label": 1},
        ],
        {"text": "Rains it.", "label": "unacceptable"},
    ),
    "rte": _glue(
        {"sentence1": TEXT, "sentence2": TEXT},
        ClassLabel(names=["entailment", "not_entailment"]),
        [{"sentence1": "It rains.", "sentence2": "It is wet.", "label": label} for label in (1, 0, 1)],
        {"text": "It rains.", "text_pair": "It is wet.", "label": "not_entailment"},
    ),
    "stsb": _glue(
        {"sentence1": TEXT, "sentence2": TEXT},
        Value("float32"),
        [{"sentence1": "It rains.", "sentence2": "It pours.", "label": label} for label in (3.5, 0.0, 5.0)],
        {"text": "It rains.", "text_pair": "It pours.", "score": 3.5},
    ),
    "trec": HubSet(
        {
            "text": TEXT,
            "label": NUMBER,
            "label_text": TEXT,
            "label_original": TEXT,
            "label_coarse": NUMBER,
            "label_coarse_text": TEXT,
            "label_coarse_original": TEXT,
        },
        [
            {
                "text": "Who sings?",
                "label": 3,
                "label_text": "individual",
                "label_original": "HUM:ind",
                "label_coarse": 2,
                "label_coarse_text": "human beings",
                "label_coarse_original": "HUM",
            }
        ]
        * 3,
        {"text": "Who sings?", "label": "HUM"},
    ),
    "ag_news": HubSet(
        {"text": TEXT, "label": ClassLabel(names=["World", "Sports", "Business", "Sci/Tech"])},
        [{"text": "A cup is won.", "label": label} for label in (1, 0, 3)],
        {"text": "A cup is won.", "label": "Sports"},
    ),
    "banking77": HubSet(
        {"text": TEXT, "label": NUMBER, "label_text": TEXT},
        [{"text": "Where is my card?", "label": 11, "label_text": label} for label in ("card_arrival", "age_limit")]
        * 2,
        {"text": "Where is my card?", "label": "card_arrival"},
    ),
    "conll2003": HubSet(
        {"id": TEXT, "tokens": List(TEXT), "ner_tags": List(ClassLabel(names=CONLL_TAGS))},
        [{"id": "0", "tokens": ["Ann", "sings"], "ner_tags": [1, 0]}],
        {"tokens": ["Ann", "sings"], "tags": ["B-PER", "O"]},
    ),
    "wnut17": HubSet(
        {"id": TEXT, "tokens": List(TEXT), "ner_tags": List(ClassLabel(names=WNUT_TAGS))},
        [{"id": "0", "tokens": ["A", "Long", "Song"], "ner_tags": [3, 4, 4]}],
        {"tokens": ["A", "Long", "Song"], "tags": ["B-creative-work", "I-creative-work", "I-creative-work"]},
    ),
    "bc5cdr": HubSet(
        {"tokens": List(TEXT), "tags": List(Value("int32"))},
        [{"tokens": ["Naloxone", "eases", "chronic", "pain"], "tags": [1, 0, 2, 3]}],
        {"tokens": ["Naloxone", "eases", "chronic", "pain"], "tags": ["B-Chemical", "O", "B-Disease", "I-Disease"]},
    ),
    "semeval2010_task8": HubSet(
        {"sentence": TEXT, "relation": ClassLabel(names=SEMEVAL_LABELS)},
        [{"sentence": "<e1>Rain</e1> follows <e2>clouds</e2>.", "relation": number} for number in (1, 0, 2)],
        {
            "text": "Rain follows clouds.",
            "head": {"start": 0, "end": 4},
            "tail": {"start": 13, "end": 19},
            "relation": "Cause-Effect(e2,e1)",
        },
    ),
    "scierc": HubSet(
        {"text": TEXT, "label": TEXT, "metadata": List(NUMBER)},
        [{"text": "<< Parsing >> with [[ a chart ]] .", "label": "USED-FOR", "metadata": [3, 4, 0, 0]}],
        {
            "text": "Parsing with a chart .",
            "head": {"start": 13, "end": 20},
            "tail": {"start": 0, "end": 7},
            "relation": "USED-FOR",
        },
    ),
    "wmt16_ro_en": _translation("ro", "en", example={"source": "Da.", "target": "Yes."}),
    "opus100_en_de": _translation("de", "en", example={"source": "Yes.", "target": "Ja."}),
    "multi30k_en_de": HubSet(
        {"en": TEXT, "de": TEXT}, [{"en": "A dog.", "de": "Ein Hund."}], {"source": "A dog.", "target": "Ein Hund."}
    ),
    "xsum": HubSet(
        {"document": TEXT, "summary": TEXT, "id": TEXT},
        [{"document": text, "summary": "Rain.", "id": "1"} for text in ("It rained all day.", "", "It poured.")],
        {"document": "It rained all day.", "summary": "Rain."},
    ),
    "cnn_dailymail": HubSet(
        {"article": TEXT, "highlights": TEXT, "id": TEXT},
        [{"article": "It rained all day.", "highlights": "Rain .", "id": "1"}],
        {"document": "It rained all day.", "summary": "Rain ."},
    ),
    "gsm8k": HubSet(
        {"question": TEXT, "answer": TEXT},
        [{"question": "What is 2 + 3?", "answer": "Two and three are <<2+3=5>>5.\n#### 5"}] * 3,
        {"question": "What is 2 + 3?", "target": "Two and three are <<2+3=5>>5.\n#### 5"},
    ),
    "samsum": HubSet(
        {"id": TEXT, "dialogue": TEXT, "summary": TEXT},
        [{"id": "1", "dialogue": text, "summary": "Ann is late."} for text in ("Ann: I am late.", None, "Bo: Late!")],
        {"document": "Ann: I am late.", "summary": "Ann is late."},
    ),
    "scitldr": HubSet(
        {
            "source": List(TEXT),
            "source_labels": List(ClassLabel(names=["non-oracle", "oracle"])),
            "rouge_scores": List(Value("float32")),
            "paper_id": TEXT,
            "target": List(TEXT),
        },
        [
            {
                "source": ["We parse.", "It works."],
                "source_labels": [1, 0],
                "rouge_scores": [0.5, 0.1],
                "paper_id": "p",
                "target": ["A parser.", "Parsing."],
            }
        ],
        {"document": "We parse. It works.", "summary": "A parser."},
    ),
}
