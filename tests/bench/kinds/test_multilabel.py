"""Several labels per example: thresholds, losses and what is read from rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from transformers.modeling_outputs import SequenceClassifierOutput

from peft_bottleneck_bench.kinds import KINDS, Context
from peft_bottleneck_bench.kinds.multilabel_classification import best_threshold
from peft_bottleneck_bench.models.base_model import BaseModel

KIND = KINDS["multilabel_classification"]


def context(folder: Path, **fields: Any) -> Context:
    return Context(**{"model": BaseModel.named(str(folder)), "labels": ("a", "b", "c"), "max_length": 64, **fields})


@pytest.mark.parametrize("labels", [["b", " a", "a"], "a, b", "b|a", "a;b;"])
def test_labels_are_a_list_or_a_text(labels: Any) -> None:
    assert KIND.example({"text": "good", "labels": labels})["labels"] == ["a", "b"]


def test_no_label_is_an_answer(bert: Path) -> None:
    example = KIND.example({"text": "good", "labels": []})
    assert KIND.encode([example], context(bert), training=True).columns["labels"] == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("labels", [None, 3, [None], ["a", " "]])
def test_what_is_no_list_of_labels_is_named(labels: Any) -> None:
    with pytest.raises(ValueError, match="'labels' must be a list of names"):
        KIND.example({"text": "good", "labels": labels})


def test_a_threshold_has_the_best_f1_of_its_label() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        probabilities = random.random(20).round(1)  # some are equal
        gold = random.random(20) < 0.3 * probabilities + 0.2
        if not gold.any():
            continue
        chosen = f1_score(gold, probabilities >= best_threshold(probabilities, gold))
        tried = [f1_score(gold, probabilities >= t, zero_division=0) for t in np.linspace(0, 1, 101)]
        assert chosen == pytest.approx(max(tried))


def test_validation_chooses_thresholds_and_predictions_follow_them(bert: Path) -> None:
    examples = [KIND.example({"text": "good", "labels": labels}) for labels in (["a"], ["a"], [], ["b"])]
    logits = np.array([[-1.0, -3.0, 0.5], [-1.5, -4.0, 0.0], [-4.0, -4.0, 1.0], [-5.0, -2.0, 2.0]])
    known = context(bert)
    encoded = KIND.encode(examples, known, training=False)
    assert KIND.predictions(logits, encoded, examples, known) == [["c"], ["c"], ["c"], ["c"]]
    chosen = KIND.calibrated(logits, examples, known)
    assert chosen.thresholds[2] == 0.5  # no example has c
    assert KIND.predictions(logits, encoded, examples, chosen) == [["a", "c"], ["a", "c"], ["c"], ["b", "c"]]


def test_the_weighted_loss_is_written_out(bert: Path) -> None:
    weights = KIND.class_weights({"a": 5, "b": 10, "c": 0}, 20, ("a", "b", "c"))
    assert weights == (3.0, 1.0, 1.0)
    loss = KIND.loss(context(bert, class_weights=weights))
    logits, labels = torch.randn(4, 3), torch.randint(2, (4, 3)).float()
    p = torch.sigmoid(logits)
    expected = -(torch.tensor(weights) * labels * p.log() + (1 - labels) * (1 - p).log()).mean()
    assert loss(SequenceClassifierOutput(logits=logits), labels) == pytest.approx(float(expected), rel=1e-4)
    assert KIND.loss(context(bert)) is None


@pytest.mark.parametrize("kind", ["classification", "relation_extraction"])
def test_balanced_weights_are_those_of_scikit_learn(bert: Path, kind: str) -> None:
    from sklearn.utils.class_weight import compute_class_weight

    names = ["a"] * 6 + ["b"] * 3 + ["c"]
    weights = KINDS[kind].class_weights({"a": 6, "b": 3, "c": 1}, 10, ("a", "b", "c"))
    assert weights == pytest.approx(compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=names))
    loss = KINDS[kind].loss(context(bert, class_weights=weights))
    logits, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    of_each = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    expected = (torch.tensor(weights)[labels] * of_each).sum()
    output = SequenceClassifierOutput(logits=logits)
    assert float(loss(output, labels)) == pytest.approx(float(expected) / 4, rel=1e-4)
    assert float(loss(output, labels, num_items_in_batch=8)) == pytest.approx(float(expected) / 8, rel=1e-4)
