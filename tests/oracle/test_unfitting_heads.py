"""Heads of AdapterHub that a model does not compute, or whose weights do not fit: left out, and it says why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import FIXTURES
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from peft_bottleneck import load_adapterhub

BERT = FIXTURES / "bert-flex"


def changed(target: Path, head: str, change: Callable[[dict[str, Any]], Any]) -> Path:
    shutil.copytree(BERT / head, target)
    file = target / "head_config.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")
    return target


@pytest.mark.parametrize(
    ("auto_class", "head", "change", "message"),
    [
        (
            AutoModel,
            "head_classification",
            {},
            "the model is BertModel; load it as AutoModelForSequenceClassification",
        ),
        (
            AutoModelForTokenClassification,
            "head_classification",
            {},
            "the model is BertForTokenClassification; load it",
        ),
        (AutoModel, "head_tagging", {"head_type": "dependency_parsing"}, "no class with a head of type 'dependency_p"),
        (
            AutoModelForSequenceClassification,
            "head_classification",
            {"use_pooler": True},
            "use_pooler=True, not False",
        ),
        (AutoModelForSequenceClassification, "head_classification", {"layers": 3}, "layers=3, not 2"),
        (AutoModelForTokenClassification, "head_tagging", {"layers": 2}, "layers=2, not 1"),
        (AutoModelForTokenClassification, "head_tagging", {"num_labels": 3, "layers": 1}, None),
    ],
)
def test_without_counterpart(auto_class: Any, head: str, change: Any, message: str | None, tmp_path: Path) -> None:
    checkpoint = changed(tmp_path / "changed", head, lambda content: content["config"].update(change))
    base = auto_class.from_pretrained(BERT / "base")
    if message is None:
        assert load_adapterhub(base, checkpoint).peft_config["default"].modules_to_save
        return
    with pytest.warns(UserWarning, match=f"its head '{head}' is left out: .*{message}"):
        model = load_adapterhub(base, checkpoint)
    assert model.peft_config["default"].modules_to_save is None
    assert model.get_base_model().config.num_labels == 2


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    for number, (change, message) in enumerate(
        (
            (
                lambda weights: weights | {"heads.head_tagging.7.bias": torch.ones(3)},
                "its weights are at 1, 7, not at 1",
            ),
            (
                lambda weights: weights | {"heads.head_tagging.1.weight": torch.ones(3, 9)},
                r"has the shape \(9,\), the",
            ),
            (lambda weights: {k: v for k, v in weights.items() if "bias" not in k}, "it lacks classifier.bias"),
        )
    ):
        checkpoint = changed(tmp_path / str(number), "head_tagging", lambda content: None)
        file = checkpoint / "pytorch_model_head.bin"
        torch.save(change(torch.load(file, weights_only=True)), file)
        with pytest.warns(UserWarning, match=message):
            load_adapterhub(AutoModelForTokenClassification.from_pretrained(BERT / "base"), checkpoint)


@pytest.mark.parametrize(
    ("change", "labels", "message"),
    [
        ({"label2id": {"bad": "0", "good": "2"}}, ["bad", "LABEL_1", "good"], None),
        ({"label2id": {"bad": 0, "fair": 1, "good": 2}, "num_labels": "3"}, ["bad", "fair", "good"], None),
        ({"label2id": {"bad": 0, "good": 2}, "num_labels": None}, ["bad", "LABEL_1", "good"], None),
        ({"label2id": None}, ["LABEL_0", "LABEL_1", "LABEL_2"], None),
        ({"num_labels": 5}, ["LABEL_0", "LABEL_1"], "its weights are of 3 labels, its configuration of 5"),
    ],
)
def test_labels(change: dict[str, Any], labels: list[str], message: str | None, tmp_path: Path) -> None:
    """The model gets a name for every output of the head, whatever form the labels have."""
    checkpoint = changed(tmp_path / "changed", "head_classification", lambda content: content["config"].update(change))
    base = AutoModelForSequenceClassification.from_pretrained(BERT / "base")
    if message is None:
        load_adapterhub(base, checkpoint)
    else:
        with pytest.warns(UserWarning, match=message):
            load_adapterhub(base, checkpoint)
    assert base.config.id2label == dict(enumerate(labels))
    assert base.config.label2id == {label: number for number, label in enumerate(labels)}
    assert base.config.num_labels == base.num_labels == len(labels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(config="tanh"), "config must be an object, got 'tanh'"),
        (lambda content: content["config"].update(label2id=["bad"]), r"label2id must be .* got \['bad'\] and 3"),
        (lambda content: content["config"].update(num_labels="many"), "num_labels a number, got .* and 'many'"),
    ],
)
def test_damaged(change: Any, message: str, tmp_path: Path) -> None:
    checkpoint = changed(tmp_path / "changed", "head_classification", change)
    base = AutoModelForSequenceClassification.from_pretrained(BERT / "base")
    with pytest.raises(ValueError, match=f"^AdapterHub checkpoint '.*': head_config.json: .*{message}"):
        load_adapterhub(base, checkpoint)
