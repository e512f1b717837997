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
