"""Computes with AdapterHub's library what `tests/oracle` holds ours against.

It needs an environment of its own, as that library pins another transformers than this project uses:

    python -m venv .oracle
    .oracle/bin/pip install torch adapters==1.3.0
    .oracle/bin/python tests/oracle/make_oracle.py DIRECTORY [--cases bert bart-heads …] [--configs houlsby …]
    ORACLE=DIRECTORY python -m pytest tests/oracle/test_hidden_states.py

Per case, `DIRECTORY/<case>` gets the base model (`base/`), one checkpoint for each configuration, as `save_adapter`
writes it, and `golden.safetensors`: `input.*` (what to call the model with), `plain` (what it computes without
adapters) and `output.<configuration>`. Where the library itself fails, it is printed why.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import adapters
import torch
import transformers
from adapters import (
    AdapterPlusConfig,
    BnConfig,
    CompacterConfig,
    CompacterPlusPlusConfig,
    DoubleSeqBnConfig,
    DoubleSeqBnInvConfig,
    ParBnConfig,
    SeqBnConfig,
    SeqBnInvConfig,
)
from fields import by_field
from safetensors.torch import save_file
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny_models import CONFIGURATIONS as MODELS
from tiny_models import tiny_inputs, tiny_model

MODELS["plbart"] = MODELS["bart"]  # they share a row of sites

_VARIED = dict(reduction_factor={"0": 2, "2": 16, "default": 4}, leave_out=[1, 3])
CONFIGURATIONS: dict[str, BnConfig] = {
    "houlsby": DoubleSeqBnConfig(reduction_factor=4),
    "pfeiffer": SeqBnConfig(reduction_factor=4),
    "parallel": ParBnConfig(reduction_factor=4),
    "houlsby_varied": DoubleSeqBnConfig(**_VARIED, non_linearity="leakyrelu", scaling="channel", dropout=0.1),
    "pfeiffer_varied": SeqBnConfig(**_VARIED, non_linearity="gelu_new", scaling="learned"),
    "parallel_varied": ParBnConfig(**_VARIED, non_linearity="tanh", scaling="channel"),
    "houlsby_attention": DoubleSeqBnConfig(reduction_factor=2.5, output_adapter=False, scaling=0.5),
    "houlsby_ffn": DoubleSeqBnConfig(reduction_factor=0.5, mh_adapter=False, non_linearity="GELU"),
    "pfeiffer_block_output": SeqBnConfig(reduction_factor=4, original_ln_after=False, residual_before_ln=False),
    "pfeiffer_attention": SeqBnConfig(reduction_factor=4, mh_adapter=True, cross_adapter=True),
    "houlsby_cross": DoubleSeqBnConfig(reduction_factor=4, cross_adapter=True),
    "seq_bn_inv": SeqBnInvConfig(reduction_factor=4),
    "double_seq_bn_inv": DoubleSeqBnInvConfig(reduction_factor=4),
    "inv_gelu_rf2": SeqBnInvConfig(reduction_factor=2, non_linearity="gelu"),
    "compacter": CompacterConfig(reduction_factor=8),
    "compacter_pp": CompacterPlusPlusConfig(reduction_factor=4),
    "compacter_factorised_rule": CompacterConfig(reduction_factor=4, factorized_phm_rule=True, phm_rank=2),
    "compacter_own_rules": CompacterPlusPlusConfig(reduction_factor=4, shared_phm_rule=False, factorized_phm_W=False),
    "compacter_shared_weights": CompacterConfig(reduction_factor=4, shared_W_phm=True, phm_dim=2, phm_bias=False),
    "compacter_parallel": ParBnConfig(reduction_factor=4, phm_layer=True, shared_phm_rule=False, init_weights="bert"),
    "gating": SeqBnConfig(reduction_factor=4, use_gating=True),
    "gating_parallel": ParBnConfig(reduction_factor=4, use_gating=True),
    "ln_before": SeqBnConfig(reduction_factor=4, ln_before=True),
    "ln_after": DoubleSeqBnConfig(reduction_factor=4, ln_after=True),
    "ln_after_residual": SeqBnConfig(reduction_factor=4, ln_after=True, adapter_residual_before_ln=True),
    "ln_after_residual_double": DoubleSeqBnConfig(reduction_factor=4, ln_after=True, adapter_residual_before_ln=True),
    "ln_parallel": ParBnConfig(reduction_factor=4, ln_before=True, ln_after=True),
    "adapter_plus": AdapterPlusConfig(reduction_factor=4),
    "scaled_par": ParBnConfig(reduction_factor=4, scaling="learned"),
}


@dataclass(frozen=True)
class Case:
    """A model: its type, the class that builds it, changes to its configuration and what it is called with."""

    model_type: str
    auto_class: str = "AutoModel"
    changes: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()  # () is all of `tiny_inputs`


_FAMILIES = (
    "albert",
    "bart",
    "beit",
    "bert",
    "bert-generation",
    "clip",
    "deberta",
    "deberta-v2",
    "distilbert",
    "electra",
    "gemma3_text",
    "gpt2",
    "gptj",
    "llama",
    "mbart",
    "mistral",
    "modernbert",
    "mt5",
    "phi",
    "plbart",
    "qwen2",
    "qwen3",
    "roberta",
    "t5",
    "vit",
    "whisper",
    "xlm-roberta",
)
_CLASSIFIERS = (
    "albert",
    "bert",
    "deberta",
    "deberta-v2",
    "distilbert",
    "electra",
    "llama",
    "mistral",
    "modernbert",
    "phi",
    "qwen2",
    "qwen3",
    "roberta",
    "xlm-roberta",
)
_GENERATORS = ("bart", "mbart", "mt5", "plbart", "t5")
# transformers 4.57 does not cap these by default, transformers 5 does.
_GEMMA2 = dict(attn_logit_softcapping=None)
CASES: dict[str, Case] = {
    **{family: Case(family) for family in _FAMILIES},
    **{f"{family}-heads": Case(family, "AutoModelForSequenceClassification") for family in _CLASSIFIERS},
    **{f"{family}-heads": Case(family, "AutoModelForSeq2SeqLM") for family in _GENERATORS},
    "gpt2-heads": Case("gpt2", "AutoModelForSequenceClassification", changes=dict(pad_token_id=0)),
    "gemma2": Case("gemma2", changes=_GEMMA2),
    "gemma2-heads": Case("gemma2", "AutoModelForSequenceClassification", changes=_GEMMA2),
    "bert-lm": Case("bert", "AutoModelForMaskedLM"),
    "gpt2-lm": Case("gpt2", "AutoModelForCausalLM"),
    "gptj-lm": Case("gptj", "AutoModelForCausalLM"),
    "gemma3_text-lm": Case("gemma3_text", "AutoModelForCausalLM"),
    "qwen3-lm": Case("qwen3", "AutoModelForCausalLM"),
    "beit-heads": Case("beit", "AutoModelForImageClassification"),
    "vit-heads": Case("vit", "AutoModelForImageClassification"),
    "whisper-heads": Case("whisper", "AutoModelForSpeechSeq2Seq"),
    "whisper-classifier": Case("whisper", "AutoModelForAudioClassification", inputs=("input_features",)),
    "albert-groups": Case("albert", changes=dict(num_hidden_layers=4, num_hidden_groups=2, inner_group_num=2)),
    "beit-unscaled": Case("beit", changes=dict(layer_scale_init_value=0.0)),
    "deberta-v2-conv": Case("deberta-v2", changes=dict(conv_kernel_size=3, conv_act="gelu")),
    "t5-gated": Case("t5", changes=dict(feed_forward_proj="gated-gelu")),
    "bert2bert": Case("encoder-decoder", "EncoderDecoderModel"),
    "bert-decoder": Case("bert", "BertLMHeadModel", changes=dict(is_decoder=True, add_cross_attention=True)),
    "t5-encoder": Case("t5", "T5EncoderModel", inputs=("input_ids", "attention_mask")),
    "clip-text": Case("clip", "CLIPTextModel", inputs=("input_ids", "attention_mask")),
    "clip-vision": Case("clip", "CLIPVisionModel", inputs=("pixel_values",)),
    "clip-text-projection": Case("clip", "CLIPTextModelWithProjection", inputs=("input_ids", "attention_mask")),
}


def build(case: Case) -> torch.nn.Module:
    """The model, with norms and biases drawn too, so that none can stand for another."""
    auto_class = getattr(transformers, case.auto_class)
    if not case.auto_class.startswith("Auto"):
        auto_class = _Direct(auto_class)
    model = tiny_model(case.model_type, auto_class, **case.changes)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() <= 1:
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


class _Direct:
    """A model class in an auto class's place; a tower of CLIP takes its own part of the configuration."""

    def __init__(self, model_class: type[transformers.PreTrainedModel]) -> None:
        self.model_class = model_class

    def from_config(self, config: Any) -> Any:
        part = {"CLIPText": "text_config", "CLIPVisi": "vision_config"}.get(self.model_class.__name__[:8])
        return self.model_class(getattr(config, part) if part else config)


def initialise(model: torch.nn.Module) -> None:
    """Makes the library's model of it, without the biases that it gives DeBERTa's and ModernBERT's attention anew.

    They are drawn at random and saved nowhere; the library's own way of loading (`from_pretrained`) zeroes them.
    """
    known = {name for name, _ in model.named_parameters()}
    adapters.init(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name not in known:
                parameter.zero_()


def output_of(model: torch.nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """The tensor that is compared: hidden states, a head's logits, or what CLIP's towers say."""
    with torch.no_grad():
        output = model.eval()(**inputs)
    if "image_embeds" in output and "text_embeds" in output:
        return torch.cat((output["image_embeds"], output["text_embeds"]))
    name = next(name for name in ("last_hidden_state", "logits", "text_embeds") if output.get(name) is not None)
    return output[name].contiguous()


def loses_weights(model: torch.nn.Module, checkpoint: Path) -> bool:
    """Whether a checkpoint lacks what the adapter's layers share: of a model without head, the library saves none."""
    shared = any("shared_parameters." in key for key in model.state_dict())
    return shared and not any("shared_parameters." in key for key in torch.load(checkpoint / "pytorch_adapter.bin"))


def make(name: str, case: Case, configurations: list[str], directory: Path) -> None:
    model = build(case)
    model_class = type(model)  # the library changes the class of what it adapts
    model.save_pretrained(directory / "base")
    inputs = tiny_inputs(case.model_type)
    inputs = {key: value for key, value in inputs.items() if not case.inputs or key in case.inputs}
    golden = {f"input.{key}": value for key, value in inputs.items()}
    golden["plain"] = output_of(model, inputs)
    for configuration in configurations:
        model = model_class.from_pretrained(directory / "base")
        try:
            initialise(model)
            model.add_adapter(configuration, config=CONFIGURATIONS[configuration], set_active=True)
            generator = torch.Generator().manual_seed(2)
            with torch.no_grad():
                for key, parameter in model.named_parameters():
                    if any(f"{holder}.{configuration}." in key for holder in ("adapters", "shared_parameters")):
                        parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
            output = output_of(model, inputs)
        except Exception as error:  # the library fails in many ways, and each is a line of the report
            print(f"{name} {configuration}: {type(error).__name__}: {[*str(error).splitlines(), ''][0]}")
            continue
        model.save_adapter(str(directory / configuration), configuration, with_head=False)
        if loses_weights(model, directory / configuration):
            print(f"{name} {configuration}: the library does not save what its layers share, in a model without head")
            shutil.rmtree(directory / configuration)
            continue
        golden[f"output.{configuration}"] = output
    save_file(golden, directory / "golden.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compute the oracle with AdapterHub's library.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--configs", nargs="+", choices=CONFIGURATIONS, default=list(CONFIGURATIONS))
    parser.add_argument("--fields", action="store_true", help="every value of every field, as fields.py lists them")
    arguments = parser.parse_args()
    if arguments.fields:
        CONFIGURATIONS.update(by_field())
        arguments.configs = [*by_field()]
    torch.use_deterministic_algorithms(True)
    for name in arguments.cases:
        make(name, CASES[name], arguments.configs, arguments.directory / name)


if __name__ == "__main__":
    main()
