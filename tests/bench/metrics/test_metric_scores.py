"""Every score against the library or the scorer that defines it, and every resample against its examples' score."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import corpus_bleu, corpus_chrf, corpus_ter
from scipy.stats import pearsonr, spearmanr
from seqeval.metrics import f1_score as seqeval_f1
from seqeval.metrics import precision_score as seqeval_precision
from seqeval.metrics import recall_score as seqeval_recall
from seqeval.scheme import IOB2
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    matthews_corrcoef,
    mean_squared_error,
    precision_score,
    recall_score,
)

from peft_bottleneck_bench import metrics
from peft_bottleneck_bench.metrics.semeval2010_task8 import LABELS, RELATIONS

random = np.random.default_rng(7)


def labels(choices: Sequence[Any], n: int = 300, agreement: float = 0.6) -> tuple[list[Any], list[Any]]:
    """References of uneven frequency, and predictions that agree with some of them."""
    frequency = random.dirichlet(np.ones(len(choices)))
    references = random.choice(len(choices), size=n, p=frequency)
    predictions = np.where(random.random(n) < agreement, references, random.integers(len(choices), size=n))
    return [choices[i] for i in references], [choices[i] for i in predictions]


def tags(n: int = 120) -> tuple[list[list[str]], list[list[str]]]:
    """Valid IOB2 references, and predictions with wrong types, wrong ends and I- tags that nothing opens."""
    references, predictions = [], []
    for _ in range(n):
        reference: list[str] = []
        while len(reference) < 12:
            kind = random.choice(["PER", "LOC", "DRUG"])
            reference += ["O"] * random.integers(0, 3) + [f"B-{kind}"] + [f"I-{kind}"] * random.integers(0, 3)
        noise = random.choice(["O", "B-PER", "I-PER", "I-LOC", "B-DRUG"], size=len(reference))
        keep = random.random(len(reference)) < 0.8
        references.append(reference)
        predictions.append(
            [str(tag) if kept else str(other) for tag, kept, other in zip(reference, keep, noise, strict=True)]
        )
    return references, predictions


def texts(n: int = 60) -> tuple[list[str], list[str]]:
    """Sentences over a small vocabulary with inflected words, and shuffled, cut or empty versions of them."""
    vocabulary = ["the", "runner", "runs", "running", "quickly", "over", "hills,", "hill", "houses", "housed", "."]
    references, predictions = [], []
    for index in range(n):
        words = random.choice(vocabulary, size=random.integers(1, 20))
        other = np.where(random.random(len(words)) < 0.7, words, random.choice(vocabulary, size=len(words)))
        references.append(" ".join(words))
        predictions.append("" if index % 20 == 5 else " ".join(other[: random.integers(1, len(other) + 1)]))
    return references, predictions


def numbers(n: int = 200) -> tuple[list[float], list[float]]:
    references = random.normal(3.0, 1.0, size=n).round(1)  # rounding makes ties
    return references.tolist(), (0.6 * references + random.normal(1e3, 0.5, size=n).round(1)).tolist()


LABELLED = labels(["cat", "dog", "eel", "fly", "gnu"])
NUMBERED = labels(list(range(12)))
NUMBERS, TAGS, TEXTS = numbers(), tags(), texts()
RELATED = labels(["founded", "born_in", "no_relation", "works_for"])
SEMEVAL = labels(LABELS, n=900)


def ratio(function: Any, average: str, **options: Any) -> Any:
    return lambda r, p: function(r, p, average=average, zero_division=0, **options)


def rouge(figure: str, references: list[str], predictions: list[str]) -> float:
    scorer = RougeScorer([figure], use_stemmer=True)
    return float(np.mean([scorer.score(r, p)[figure].fmeasure for r, p in zip(references, predictions, strict=True)]))


def without_negative(average: str) -> Any:
    relations = ["born_in", "founded", "works_for"]
    return lambda r, p: f1_score(r, p, labels=relations, average=average)


def macro_f1(references: list[Any], predictions: list[Any]) -> float:
    return float(f1_score(references, predictions, average="macro"))


def semeval_macro_f1(references: list[str], predictions: list[str]) -> float:
    """The organisers' rules as their scorer's confusion matrix has them: wrong directions in a column of their own."""
    matrix: dict[tuple[str, str], int] = {}
    for reference, prediction in zip(references, predictions, strict=True):
        gold, guess = (label.split("(")[0] for label in (reference, prediction))
        cell = (gold, "WRONG_DIRECTION" if gold == guess and reference != prediction else guess)
        matrix[cell] = matrix.get(cell, 0) + 1
    scores = []
    for relation in RELATIONS:
        actual = sum(count for (gold, _), count in matrix.items() if gold == relation)
        if not actual:
            continue
        correct = matrix.get((relation, relation), 0)
        proposed = sum(count for (_, guess), count in matrix.items() if guess == relation)
        wrong_direction = matrix.get((relation, "WRONG_DIRECTION"), 0)
        precision = correct / (proposed + wrong_direction) if proposed else 0.0
        recall = correct / actual
        scores.append(2 * precision * recall / (precision + recall) if correct else 0.0)
    return sum(scores) / len(scores)


def seqeval_strict(score: Any) -> Any:
    return lambda r, p: score(r, p, mode="strict", scheme=IOB2)


def squad_f1(references: list[str], predictions: list[str]) -> float:
    """The rules of SQuAD's official script, on texts in which only punctuation and articles are to be dropped."""
    values = []
    for pair in zip(references, predictions, strict=True):
        gold, said = ([w for w in re.sub(r"[.,]", "", text).split() if w != "the"] for text in pair)
        common = sum((Counter(gold) & Counter(said)).values())
        both = len(gold) + len(said)
        values.append(2 * common / both if gold and said else float(gold == said))
    return float(np.mean(values))


ANSWERS = labels(["a red house", "two", "no"])
COUNTED = tuple([f"it is {number}" for number in side] for side in labels(list(range(10))))
CHOSEN = (labels(list("abcde"))[0], [f"I say {letter}" for letter in labels(list("abcde"))[0]])
RATIOS = {"precision": precision_score, "recall": recall_score, "f1": f1_score}
NEGATIVE = {"negative_label": "no_relation"}
CASES: list[tuple[str, str, dict[str, Any], Any, tuple[list[Any], list[Any]]]] = [
    ("classification", "accuracy", {}, accuracy_score, LABELLED),
    ("classification", "accuracy", {}, accuracy_score, NUMBERED),
    ("classification", "macro_f1", {}, macro_f1, LABELLED),
    ("classification", "macro_f1", {}, macro_f1, NUMBERED),
    ("classification", "matthews_correlation", {}, matthews_corrcoef, LABELLED),
    ("classification", "matthews_correlation", {}, matthews_corrcoef, labels(["no", "yes"])),
    *(
        ("classification", f"{average}_{name}", {}, ratio(function, average), LABELLED)
        for average in ("micro", "macro", "weighted")
        for name, function in RATIOS.items()
    ),
    *(
        ("classification", name, {"positive": "eel"}, ratio(function, "micro", labels=["eel"]), LABELLED)
        for name, function in RATIOS.items()
    ),
    ("regression", "pearson", {}, lambda r, p: pearsonr(r, p).statistic, NUMBERS),
    ("regression", "spearman", {}, lambda r, p: spearmanr(r, p).statistic, NUMBERS),
    ("regression", "mse", {}, mean_squared_error, NUMBERS),
    ("seqeval", "f1", {}, seqeval_strict(seqeval_f1), TAGS),
    ("seqeval", "precision", {}, seqeval_strict(seqeval_precision), TAGS),
    ("seqeval", "recall", {}, seqeval_strict(seqeval_recall), TAGS),
    ("relation_extraction", "micro_f1", NEGATIVE, without_negative("micro"), RELATED),
    ("relation_extraction", "macro_f1", NEGATIVE, without_negative("macro"), RELATED),
    ("relation_extraction", "accuracy", NEGATIVE, accuracy_score, RELATED),
    ("relation_extraction", "micro_f1", {}, lambda r, p: f1_score(r, p, average="micro"), RELATED),
    ("semeval2010_task8", "macro_f1", {}, semeval_macro_f1, SEMEVAL),
    ("semeval2010_task8", "accuracy", {}, accuracy_score, SEMEVAL),
    ("translation", "bleu", {}, lambda r, p: corpus_bleu(p, [r]).score, TEXTS),
    ("translation", "bleu", {"tokenize": "char"}, lambda r, p: corpus_bleu(p, [r], tokenize="char").score, TEXTS),
    ("translation", "chrf", {}, lambda r, p: corpus_chrf(p, [r]).score, TEXTS),
    ("translation", "ter", {}, lambda r, p: corpus_ter(p, [r]).score, TEXTS),
    ("summarization", "rougeLsum", {}, lambda r, p: rouge("rougeLsum", r, p), TEXTS),
    ("summarization", "rouge1", {"tokenizer": "rouge_score"}, lambda r, p: rouge("rouge1", r, p), TEXTS),
    ("answer", "f1", {}, squad_f1, TEXTS),
    ("answer", "exact_match", {}, lambda r, p: np.mean([a == b for a, b in zip(r, p, strict=True)]), ANSWERS),
    ("number", "number", {}, lambda r, p: np.mean([a[-1] == b[-1] for a, b in zip(r, p, strict=True)]), COUNTED),
    (
        "choice",
        "choice",
        {"pattern": "[a-e]$"},
        lambda r, p: np.mean([a == b[-1] for a, b in zip(r, p, strict=True)]),
        CHOSEN,
    ),
    ("summarization", "rouge1", {}, lambda r, p: rouge("rouge1", r, p), TEXTS),
    ("summarization", "rouge2", {}, lambda r, p: rouge("rouge2", r, p), TEXTS),
    ("summarization", "rougeL", {}, lambda r, p: rouge("rougeL", r, p), TEXTS),
]
IDS = [f"{name}-{figure}-{index}" for index, (name, figure, *_) in enumerate(CASES)]


@pytest.mark.parametrize(("name", "figure", "options", "library", "data"), CASES, ids=IDS)
def test_figure_is_the_librarys(
    name: str, figure: str, options: dict[str, Any], library: Any, data: tuple[list[Any], list[Any]]
) -> None:
    references, predictions = data
    metric = metrics.load(name, main=figure, **options)
    expected = library(references, predictions)
    assert 0.01 * metric.main_score.best < expected  # the input is no trivial one
    assert metric.compute(references=references, predictions=predictions)[figure] == pytest.approx(expected, abs=1e-9)
    low, high = metric.main_score.limits
    assert low <= expected <= high


@pytest.mark.parametrize(("name", "figure", "options", "library", "data"), CASES, ids=IDS)
def test_score_of_a_resample_is_the_figure_of_its_examples(
    name: str, figure: str, options: dict[str, Any], library: Any, data: tuple[list[Any], list[Any]]
) -> None:
    references, predictions = data
    metric = metrics.load(name, main=figure, **options)
    n = len(references)
    drawn = [np.arange(n), *random.integers(n, size=(3, n)), random.integers(n, size=5)]
    if figure == "spearman":
        drawn = drawn[:1]  # resamples keep the ranks of the whole sample
    weights = np.stack([np.bincount(indices, minlength=n) for indices in drawn]).astype(float)
    scores = metric.score(weights @ metric.statistics(references, predictions))
    for indices, score in zip(drawn, scores, strict=True):
        scores = metric.compute(
            references=[references[i] for i in indices], predictions=[predictions[i] for i in indices]
        )
        assert score == pytest.approx(scores[figure], abs=1e-6)


def test_spearman_of_a_resample_is_near_the_figure_of_its_examples() -> None:
    references, predictions = NUMBERS
    metric = metrics.load("regression", main="spearman")
    indices = random.integers(len(references), size=len(references))
    weights = np.bincount(indices, minlength=len(references)).astype(float)
    exact = spearmanr(np.array(references)[indices], np.array(predictions)[indices]).statistic
    assert metric.score(weights @ metric.statistics(references, predictions)) == pytest.approx(exact, abs=0.02)


def test_semeval_counts_a_wrong_direction_and_leaves_out_relations_without_gold() -> None:
    references = ["Cause-Effect(e1,e2)", "Cause-Effect(e1,e2)", "Other", "Other"]
    predictions = ["Cause-Effect(e1,e2)", "Cause-Effect(e2,e1)", "Message-Topic(e1,e2)", "Other"]
    scores = metrics.load("semeval2010_task8").compute(references=references, predictions=predictions)
    assert scores == {"macro_f1": 0.5, "accuracy": 0.5}  # precision 1/2, recall 1/2; Message-Topic has no gold


def test_strict_iob2_takes_no_entity_that_nothing_opens() -> None:
    scores = metrics.load("seqeval").compute(references=[["B-PER", "I-PER"]], predictions=[["I-PER", "I-PER"]])
    assert scores["f1"] == 0.0


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("classification", LABELLED),
        ("relation_extraction", RELATED),
        ("seqeval", TAGS),
        ("semeval2010_task8", SEMEVAL),
    ],
)
def test_report_has_a_row_per_label_with_its_support(name: str, data: tuple[list[Any], list[Any]]) -> None:
    references, predictions = data
    report = metrics.load(name).report(references, predictions)
    flat = references
    if name == "seqeval":
        flat = [tag[2:] for sequence in references for tag in sequence if tag.startswith("B-")]
    assert {row["label"]: row["support"] for row in report if row["support"]} == {
        label: flat.count(label) for label in set(flat)
    }
    assert all(0 <= row[column] <= 1 for row in report for column in ("precision", "recall", "f1"))
