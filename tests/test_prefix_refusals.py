"""What cannot reuse a frozen prefix, and says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from peft import PromptTuningConfig, get_peft_model
from prefix_models import tiny, with_adapter
from tiny_models import tiny_inputs, tiny_model
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
)
from transformers.models.bert.modeling_bert import BertLayer

from peft_bottleneck import FrozenPrefix, reuse_prefix


class Reading(BertLayer):
    """A block that reads what the first one left for it: more than the hidden states of the block below."""

    index = 0
    left: ClassVar[dict[str, Tensor]] = {}

    def forward(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        if self.index == 2 and self.left:
            hidden = hidden + self.left.pop("first")
        output = super().forward(hidden, *args, **kwargs)
        if self.index == 0:
            self.left["first"] = output
        return output


def test_models_that_need_more_are_refused_by_the_first_call(tmp_path: Path) -> None:
    model = tiny("bert").requires_grad_(False)
    for index, block in enumerate(model.encoder.layer):
        block.__class__, block.index = Reading, index
    model.encoder.layer[2].requires_grad_()
    with reuse_prefix(model, tmp_path):
        Reading.left.clear()  # of the call without values
        with pytest.raises(ValueError, match="BertModel gives other outputs when its first 2 blocks are left out"):
            model(**tiny_inputs("bert"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: tiny("albert").requires_grad_(False),
            "AlbertModel does not run each block of encoder.albert_layer_g",
        ),
        (lambda: with_adapter(tiny("bert"), "houlsby", [0, 2]), r"encoder\.layer\.0\..* is trained or adapted"),
        (lambda: tiny("bert"), r"embeddings\..* is trained or adapted, in or before the first block of BertModel"),
        (
            lambda: get_peft_model(
                tiny("llama", AutoModelForCausalLM), PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM")
            ),
            "PROMPT_TUNING trains what enters the first block",
        ),
        (
            lambda: with_adapter(tiny("bert"), "lora", [2], target_modules=["query"], modules_to_save=["embeddings"]),
            "embeddings.* is trained or adapted",
        ),
        (lambda: nn.DataParallel(tiny("bert")), "Launch one process per GPU"),
        (lambda: tiny_model("m2m_100").requires_grad_(False), "set encoder_layerdrop to 0"),
        (lambda: nn.Linear(2, 2), "Linear is no model of transformers"),
    ],
    ids=["albert", "lowest block", "all trained", "prompts", "embeddings", "data parallel", "layer drop", "no model"],
)
def test_refusals(make: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        reuse_prefix(make(), tmp_path / "store")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(("option", "value"), [("limit", 0), ("limit", True), ("limit", 1.5), ("dtype", torch.int8)])
def test_options_are_checked(option: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{option} must be"):
        FrozenPrefix(tiny("bert"), tmp_path, **{"limit": 1, "dtype": None, option: value})


def test_one_reuse_at_a_time(tmp_path: Path) -> None:
    model = with_adapter(tiny("bert"), "houlsby", [2])
    prefix = reuse_prefix(model, tmp_path)
    with pytest.raises(ValueError, match="BertModel reuses its prefix already"):
        reuse_prefix(model, tmp_path)
    prefix.close()
    prefix.close()
    with reuse_prefix(model, tmp_path), torch.no_grad():
        model(**tiny_inputs("bert"))
