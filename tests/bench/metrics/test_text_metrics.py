"""Texts of every script, and several references."""

from __future__ import annotations

import random
import string
from typing import Any

import pytest
from rouge_score.tokenizers import DefaultTokenizer
from sacrebleu import corpus_bleu, corpus_chrf, corpus_ter

from peft_bottleneck_bench import metrics
from peft_bottleneck_bench.metrics.summarization import TOKENIZERS

SENTENCES = {
    "hindi": "मैं कल अपने घर जा रहा हूँ",
    "russian": "Завтра я поеду домой на поезде",
    "arabic": "سأعود إلى البيت غدا بالقطار",
    "greek": "Αύριο γυρίζω στο σπίτι με το τρένο",
    "korean": "나는 내일 기차로 집에 간다",
    "chinese": "我明天坐火车回家。",
    "japanese": "私は明日電車で家に帰ります。",
    "thai": "พรุ่งนี้ฉันจะนั่งรถไฟกลับบ้าน",
    "german": "Morgen fährt die Größte nach Hause zurück",
}


@pytest.mark.parametrize("text", SENTENCES.values(), ids=SENTENCES)
def test_rouge_reads_every_script(text: str) -> None:
    compute = metrics.load("summarization").compute
    whole = compute(references=[text], predictions=[text])
    assert set(whole.values()) == {1.0}
    half = compute(references=[text], predictions=[text[: len(text) // 2]])
    assert 0.3 < half["rouge1"] < 1.0
    other = compute(references=[text], predictions=["nothing of the kind 17"])
    assert set(other.values()) == {0.0}


def test_rouge_takes_letters_for_what_they_are() -> None:
    compute = metrics.load("summarization").compute
    assert compute(references=["Größe"], predictions=["Gr e"])["rouge1"] == 0.0
    assert compute(references=["Größe"], predictions=["GRÖSSE größe"])["rouge1"] == pytest.approx(2 / 3)
    assert compute(references=["cafe\u0301"], predictions=["caf\u00e9"])["rouge1"] == 1.0
    assert compute(references=["iPhone手机"], predictions=["手机 iPhone"])["rouge1"] == 1.0


def test_rouge_of_english_is_that_of_rouge_score() -> None:
    draw = random.Random(3)
    theirs = DefaultTokenizer(use_stemmer=True).tokenize
    for _ in range(500):
        text = "".join(draw.choice(string.printable) for _ in range(60))
        assert TOKENIZERS["unicode"](text) == theirs(text)
    assert TOKENIZERS["unicode"]("The runners\u2019 \u201chouses\u201d \u2014 running") == theirs(
        'The runners\' "houses" - running'
    )


def test_the_tokenizer_is_part_of_the_signature() -> None:
    signatures = {name: metrics.load("summarization", tokenizer=name).signature for name in TOKENIZERS}
    assert all(f"|tokenizer:{name}|" in signature for name, signature in signatures.items())


@pytest.mark.parametrize(("language", "tokenizer"), [("chinese", "zh"), ("japanese", "char"), ("thai", "char")])
def test_bleu_of_a_script_without_spaces_counts_more_than_whole_sentences(language: str, tokenizer: str) -> None:
    text = SENTENCES[language]
    changed = text[:-3] + text[-2:]
    options = metrics.METRICS["translation"].defaults([text])
    assert options == {"tokenize": tokenizer}
    metric = metrics.load("translation", **options)
    assert f"tok:{tokenizer}" in metric.signature
    scores = metric.compute(references=[text], predictions=[changed])
    assert scores["bleu"] == pytest.approx(corpus_bleu([changed], [[text]], tokenize=tokenizer).score)
    assert scores["bleu"] > 50 > metrics.load("translation").compute(references=[text], predictions=[changed])["bleu"]
    assert scores["chrf"] == pytest.approx(corpus_chrf([changed], [[text]]).score)
    assert scores["chrf"] > 40
    assert 0 < scores["ter"] < 60


@pytest.mark.parametrize("language", ["german", "korean", "hindi"])
def test_bleu_of_a_script_with_spaces_keeps_its_usual_tokenizer(language: str) -> None:
    assert metrics.METRICS["translation"].defaults([SENTENCES[language]]) == {}


REFERENCES: list[Any] = [["a b c d e", "one two three four"], "the red house is small", ["x y z w v"]]
PREDICTIONS = ["one two three four", "the red house is big", "x y z w u"]
STREAMS = [["a b c d e", REFERENCES[1], "x y z w v"], ["one two three four", None, None]]


def test_several_references_are_scored_as_sacrebleu_scores_them() -> None:
    expected = {"bleu": corpus_bleu, "chrf": corpus_chrf, "ter": corpus_ter}
    for main, function in expected.items():
        metric = metrics.load("translation", main=main)
        score = function(PREDICTIONS, STREAMS).score
        assert metric.compute(references=REFERENCES, predictions=PREDICTIONS)[main] == pytest.approx(score)
        assert metric.score(metric.statistics(REFERENCES, PREDICTIONS).sum(0)) == pytest.approx(score)


@pytest.mark.parametrize(("name", "main"), [("summarization", "rouge1"), ("answer", "f1"), ("answer", "exact_match")])
def test_the_best_of_several_references_counts(name: str, main: str) -> None:
    metric = metrics.load(name, main=main)
    alone = [metric.compute(references=[text], predictions=PREDICTIONS[:1])[main] for text in REFERENCES[0]]
    assert metric.compute(references=REFERENCES[:1], predictions=PREDICTIONS[:1])[main] == max(alone) == 1.0


@pytest.mark.parametrize(
    ("reference", "prediction", "value"),
    [
        ("He has 5-3 = 2. #### 1,018", "so 1018.00.", 1.0),
        ("#### -4", "minus: -4", 1.0),
        ("3", "3 of 4", 0.0),
        ("7", "none", 0.0),
    ],
)
def test_the_last_number_counts(reference: str, prediction: str, value: float) -> None:
    assert metrics.load("number").compute(references=[reference], predictions=[prediction]) == {"number": value}


def test_a_reference_without_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="reference 0 is 'none': there is no number in it"):
        metrics.load("number").compute(references=["none"], predictions=["7"])


def test_the_first_choice_counts() -> None:
    metric = metrics.load("choice", pattern=r"answer is \(?([A-D])")
    said = ["The answer is (b), not C", "A", "answer is C"]
    assert metric.compute(references=["B", "A", "C"], predictions=said)["choice"] == pytest.approx(2 / 3)
