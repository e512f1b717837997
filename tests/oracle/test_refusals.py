"""What our equations do not express, or does not fit the model, is refused by name, and the model left as it was."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import FIXTURES, base_model, golden, output_of
from checkpoints import changed
from peft import LoraConfig, PeftModel, get_peft_model
from tiny_models import tiny_model
from torch import nn
from transformers import AutoConfig, AutoModel

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig, load_adapterhub, save_adapterhub
from peft_bottleneck.bottleneck import ACTIVATIONS


def _placement(before: bool, after: bool, residual: Any, parallel: bool = False) -> dict[str, Any]:
    return dict(original_ln_before=before, original_ln_after=after, residual_before_ln=residual, is_parallel=parallel)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            dict(ln_after=True, adapter_residual_before_ln=True, original_ln_before=True, mh_adapter=False),
            "adapter_residual_before_ln=True is not expressed with original_ln_before=True",
        ),
        (dict(inv_adapter="flow"), "inv_adapter='flow' is none of nice, glow"),
        (dict(use_gating="yes"), "use_gating must be True or False, got 'yes'"),
        (dict(stochastic_depth=1.5), r"stochastic_depth must be a number in \[0, 1\), got 1.5"),
        (dict(phm_layer=True, phm_dim=0), "phm_dim must be an integer above 0, or None, got 0"),
        (dict(architecture="lora"), "architecture='lora' is not expressed, only bottleneck adapters are"),
        (dict(architecture="union", configs=[]), "architecture='union'"),
        (dict(warmth=3), "unknown field warmth=3"),
        (dict(non_linearity=..., mh_adapter=...), "the configuration lacks mh_adapter, non_linearity"),
        (dict(non_linearity="softest"), "non_linearity must be one of .* got 'softest'"),
        (dict(scaling="wide"), "scaling must be .* got 'wide'"),
        (dict(init_weights="cold"), "init_weights='cold' is none of bert, houlsby, mam_adapter"),
        (dict(reduction_factor={"0": 4}), "reduction_factor has neither a default nor layer 1"),
        (dict(leave_out=[0, 1]), r"leave_out=\[0, 1\] leaves no layer"),
        (dict(leave_out=1, reduction_factor=None), "leave_out=1 is no list of .*; reduction_factor=None is neither"),
        (dict(reduction_factor={"0": "4", "default": 4}), "reduction_factor=.*'4'.* is neither a number above 0 nor"),
        (dict(non_linearity=None), "non_linearity=None is no name of an activation"),
        (dict(invertible_adapter="nice"), "unknown field invertible_adapter='nice'"),
        (dict(new_attention_norm=True), "unknown field new_attention_norm=True"),
        (dict(mh_adapter=False, output_adapter=False), "HOULSBY is not expressed with the sites none"),
        (dict(is_parallel=True), "PARALLEL_ADAPTER is not expressed with the sites mh_adapter, output_adapter"),
        *(
            (
                _placement(*values),
                "original_ln_before=.*, original_ln_after=.*, residual_before_ln=.* is not expressed",
            )
            for values in (
                (False, False, True),
                (False, True, "post_add"),
                (True, True, False),
                (True, True, "post_add"),
                (True, False, True),
                (True, False, "post_add"),
                (False, False, True, True),
            )
        ),
    ],
)
def test_configurations(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    model = base_model("bert")
    with pytest.raises(ValueError, match=f"^AdapterHub checkpoint '.*checkpoint': .*{message}"):
        load_adapterhub(model, changed(tmp_path, config=config))
    assert not any("Houlsby" in type(module).__name__ for module in model.modules())


@pytest.mark.parametrize("case", ["gpt2", "vit"])
def test_no_module_has_the_sum_after_attention(case: str, tmp_path: Path) -> None:
    """In pre-LN blocks; in post-LN ones a norm reads it."""
    checkpoint = changed(tmp_path, case, config=dict(original_ln_before=True))
    with pytest.raises(ValueError, match="PFEIFFER is not expressed with the sites mh_adapter, output_adapter"):
        load_adapterhub(base_model(case), checkpoint)


def test_layers_that_the_model_lacks() -> None:
    with pytest.raises(ValueError, match=r"leave_out names the layers \[-1, 2\], the model has 0 to 1"):
        load_adapterhub(base_model("bert"), FIXTURES / "bert" / "houlsby", leave_out=[-1, 0, 2])


DOWN = "encoder.layer.0.output.adapters.houlsby.adapter_down.0.weight"
SHORT = "encoder.layer.0.output.adapters.adapter_down.0.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: {k: v for k, v in weights.items() if k != DOWN}, f"it lacks {SHORT}"),
        (lambda weights: weights | {"pooler.extra": torch.ones(1)}, "it has pooler.extra, which the model lacks"),
        (
            lambda weights: weights | {DOWN: torch.zeros(3, 32)},
            rf"{SHORT} has the shape \(3, 32\), not \(8, 32\)",
        ),
        (
            lambda weights: {k.replace("layer.1", "layer.7"): v for k, v in weights.items()},
            "it has encoder.layer.7.* it lacks encoder.layer.1.",
        ),
        (  # cross-attention of a BERT decoder, which the library adapts and we do not
            lambda weights: (
                weights
                | {
                    f"encoder.layer.0.crossattention.output.adapters.houlsby.{p}": torch.ones(1)
                    for p in ("adapter_up.bias",)
                }
            ),
            "it has encoder.layer.0.crossattention.output.adapters.adapter_up.bias, which the model lacks",
        ),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_weights(change: Any, message: str, wrapped: bool, tmp_path: Path) -> None:
    inputs, outputs = golden("bert")
    model = base_model("bert")
    if wrapped:
        model = load_adapterhub(model, FIXTURES / "bert" / "houlsby", "first")
    with pytest.raises(ValueError, match=message):
        load_adapterhub(model, changed(tmp_path, weights=change), "second")
    assert not any(".second." in name for name, _ in model.named_parameters())
    torch.testing.assert_close(output_of(model, inputs), outputs["output.houlsby" if wrapped else "plain"])


def test_other_models_checkpoints(tmp_path: Path) -> None:
    checkpoint = FIXTURES / "bert" / "houlsby"
    with pytest.raises(ValueError, match="it is for model_type='bert', the model has 'roberta'"):
        load_adapterhub(tiny_model("roberta"), checkpoint)
    with pytest.raises(ValueError, match="it is for hidden_size=32, the model has 48"):
        load_adapterhub(tiny_model("bert", hidden_size=48), checkpoint)
    with pytest.raises(ValueError, match="models of type 'mpnet' cannot be converted: only albert, bart"):
        load_adapterhub(tiny_model("mpnet"), checkpoint)
    xmod = AutoModel.from_config(AutoConfig.for_model("xmod", num_hidden_layers=1, hidden_size=48, vocab_size=99))
    with pytest.raises(
        ValueError, match="models of type 'xmod' cannot be converted: the library takes out X-MOD's own"
    ):
        load_adapterhub(xmod, checkpoint)
    with pytest.raises(ValueError, match="models of type 'None' cannot be converted"):
        load_adapterhub(nn.Linear(2, 2), checkpoint)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (lambda content: {"peft_type": "LORA"}, "it is a checkpoint of PEFT, which PeftModel.from_pretrained loads"),
        (lambda content: {"config": {}}, "adapter_config.json lacks model_type, name"),
        (
            lambda content: content | {"config": "pfeifer"},
            r"config must be an object or one of .* got 'pfeifer'",
        ),
    ],
)
def test_descriptions(description: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        load_adapterhub(base_model("bert"), changed(tmp_path, description=description))


def test_files(tmp_path: Path) -> None:
    model = base_model("bert")
    with pytest.raises(FileNotFoundError, match="'no/such' is no directory, and the hub does not provide it"):
        load_adapterhub(model, "no/such")
    with pytest.raises(FileNotFoundError, match="the hub does not provide it: Repo id must"):
        load_adapterhub(model, tmp_path / "nothing" / "here")
    with pytest.raises(FileNotFoundError, match="adapter_config.json"):
        load_adapterhub(model, tmp_path)
    checkpoint = changed(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=rf"there is no adapter_config.json, but in {re.escape(str(checkpoint))}"
    ):
        load_adapterhub(model, checkpoint.parent)
    (checkpoint / "pytorch_adapter.bin").unlink()
    with pytest.raises(FileNotFoundError, match="neither adapter.safetensors nor pytorch_adapter.bin"):
        load_adapterhub(model, checkpoint)
    (checkpoint / "adapter_config.json").write_text("[", encoding="utf-8")
    with pytest.raises(ValueError, match="adapter_config.json is not JSON"):
        load_adapterhub(model, checkpoint)


def test_a_name_is_taken_once() -> None:
    model = load_adapterhub(base_model("bert"), FIXTURES / "bert" / "houlsby")
    with pytest.raises(ValueError, match="the model already has an adapter 'default'"):
        load_adapterhub(model, FIXTURES / "bert" / "houlsby")


def test_one_module_has_one_placement() -> None:
    """On Phi the library adapts the FFN's output, we the block's: the two cannot share the module that keeps them."""
    model = get_peft_model(base_model("phi"), PfeifferConfig())
    with pytest.raises(ValueError, match=r"with layers.0.mlp.fc2 otherwise than the adapters that are there"):
        load_adapterhub(model, FIXTURES / "phi" / "pfeiffer", "given")
    assert list(model.peft_config) == ["default"]


@pytest.mark.parametrize(
    ("model_type", "config", "message"),
    [
        ("bert", LoraConfig(target_modules=["query"]), "it is of type LORA, not one of HOULSBY, PFEIFFER"),
        ("bert", HoulsbyConfig(bottleneck="gated"), "bottleneck='gated', not 'plain'"),
        ("bert", HoulsbyConfig(use_bias=False), "use_bias=False, not True"),
        ("bert", HoulsbyConfig(target_modules=["query"]), "a bottleneck at encoder.layer.0.attention.self.query"),
        (
            "bert",
            HoulsbyConfig(exclude_modules=r".*layer\.0\.output\.dense"),
            "no bottleneck at encoder.layer.0.output.dense",
        ),
        (
            "bert",
            HoulsbyConfig(bottleneck_size_pattern={r"layer\.0\.output\.dense": 3}),
            "size .* at encoder.layer.0.* unlike the rest of its layer",
        ),
        ("gpt2", ParallelAdapterConfig(), r"input_modules=None, not '\\\\g<block>.ln_2'"),
        ("modernbert", ParallelAdapterConfig(parallel_input="residual"), r"input_modules='.*mlp_norm', not None"),
        ("gpt2", PfeifferConfig(target_modules=r".*mlp\.c_proj"), r"output_modules=None, not '\\\\g<block>'"),
        ("phi", PfeifferConfig(), r"output_modules='\\\\g<block>', not None"),
        ("gptj", ParallelAdapterConfig(), r"input_modules=None, not '.*ln_1\+.*attn'"),
        ("gemma2", PfeifferConfig(), "PFEIFFER is not expressed for gemma2: there it reads"),
        ("mpnet", HoulsbyConfig(), "models of type 'mpnet' cannot be converted"),
    ],
)
def test_adapters_of_ours(model_type: str, config: Any, message: str, tmp_path: Path) -> None:
    model: PeftModel = get_peft_model(tiny_model(model_type), config)
    with pytest.raises(ValueError, match=message):
        save_adapterhub(model, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(ValueError, match="the model has only 'default'"):
        save_adapterhub(model, tmp_path / "new", "other")


@pytest.mark.skipif("hardswish" not in ACTIVATIONS, reason="this version of transformers lacks it too")
def test_a_non_linearity_that_the_library_lacks(tmp_path: Path) -> None:
    model: PeftModel = get_peft_model(tiny_model("bert"), HoulsbyConfig(non_linearity="hardswish"))
    with pytest.raises(ValueError, match="non_linearity='hardswish', which it lacks"):
        save_adapterhub(model, tmp_path / "new")
