"""What is quantised, what is not, and what is said where it cannot be."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
import transformers
from tiny_models import tiny_config, tiny_model
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

import peft_bottleneck.quantization
from peft_bottleneck.quantization import QUANTIZATIONS, quantization_config

# model_type, class -> linear maps outside of the blocks
OUTSIDE: dict[tuple[str, str], set[str]] = {
    ("bert", "AutoModelForSequenceClassification"): {"bert.pooler.dense", "classifier"},
    ("bert", "BertForTokenClassification"): {"classifier"},
    ("roberta", "AutoModelForSequenceClassification"): {"classifier.dense", "classifier.out_proj"},
    ("distilbert", "AutoModelForSequenceClassification"): {"pre_classifier", "classifier"},
    ("albert", "AutoModelForSequenceClassification"): {
        "albert.encoder.embedding_hidden_mapping_in",
        "albert.pooler",
        "classifier",
    },
    ("bart", "AutoModelForSeq2SeqLM"): {"lm_head"},
    ("t5", "AutoModelForSequenceClassification"): {"classification_head.dense", "classification_head.out_proj"},
    ("gpt2", "AutoModelForTokenClassification"): {"classifier"},
    ("llama", "AutoModelForCausalLM"): {"lm_head"},
    ("llama", "AutoModelForSequenceClassification"): {"score"},
}


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize(("model_type", "auto_class"), OUTSIDE)
def test_the_blocks_are_quantised_and_nothing_else(
    model_type: str, auto_class: str, quantization: str, tmp_path: Path
) -> None:
    loader = getattr(transformers, auto_class)
    builder = transformers.AutoModel if "Classification" in auto_class else loader
    tiny_model(model_type, builder, hidden_size=64, intermediate_size=64).save_pretrained(tmp_path)
    config = quantization_config(quantization, tmp_path, loader)
    model = loader.from_pretrained(tmp_path, quantization_config=config)
    full = {name for name, module in model.named_modules() if type(module) in (nn.Linear, Conv1D)}
    kept_by_transformers = {name for name in full if name.endswith("DenseReluDense.wo")}  # T5 overflows there
    assert full - kept_by_transformers == OUTSIDE[model_type, auto_class]
    quantised = {type(module).__name__ for module in model.modules() if isinstance(module, nn.Linear)} - {"Linear"}
    assert quantised == {{"8bit": "Linear8bitLt", "4bit": "Linear4bit"}[quantization]}


def test_four_bits_are_those_of_qlora() -> None:
    config = quantization_config("4bit", tiny_config("llama"), AutoModelForCausalLM)
    assert (config.bnb_4bit_quant_type, config.bnb_4bit_use_double_quant) == ("nf4", True)
    expected = torch.bfloat16 if torch.accelerator.is_available() else torch.float32
    assert config.bnb_4bit_compute_dtype == expected


def test_wrong_values_are_named() -> None:
    with pytest.raises(ValueError, match="quantization must be one of '8bit', '4bit', got 'int8'"):
        quantization_config("int8", tiny_config("llama"), AutoModelForCausalLM)


def test_a_model_without_blocks_is_named() -> None:
    config = AutoConfig.for_model("resnet")
    with pytest.raises(ValueError, match="ResNetForImageClassification: its transformer blocks and its heads"):
        quantization_config("8bit", config, transformers.AutoModelForImageClassification)


def test_bitsandbytes_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    module = importlib.reload(peft_bottleneck.quantization)  # importing alone does not ask for it
    with pytest.raises(ImportError, match=r"quantization='4bit' needs bitsandbytes, .*pip install bitsandbytes"):
        module.quantization_config("4bit", tiny_config("llama"), AutoModelForCausalLM)


def test_bitsandbytes_is_installed_but_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", ModuleType("bitsandbytes"))  # as empty as a failed build
    with pytest.raises(RuntimeError, match=r"'8bit': bitsandbytes does not work on \w+ here \(.*functional"):
        quantization_config("8bit", tiny_config("llama"), AutoModelForCausalLM)
