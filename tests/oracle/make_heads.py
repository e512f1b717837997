"""Computes prediction heads of AdapterHub's flexible models, as `make_oracle.py` computes adapters.

    .oracle/bin/python tests/oracle/make_heads.py DIRECTORY [--families bert roberta …]

Per family, `DIRECTORY/<family>-flex` gets the base model, a checkpoint `head_<kind>[_<variant>]` for each head, an
adapter with it, and in `golden.safetensors` the `logits.<head>`. The variants are what the library makes by itself
(no suffix) and what it makes of the head of transformers' own class (`_static`).
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

import torch
import transformers
from adapters import AutoAdapterModel, SeqBnConfig, SeqBnInvConfig
from adapters.head_utils import STATIC_TO_FLEX_HEAD_MAP
from make_oracle import CASES, Case, build
from safetensors.torch import save_file
from tiny_models import tiny_inputs
from torch import Tensor

FAMILIES = (
    "albert",
    "bart",
    "beit",
    "bert",
    "deberta",
    "deberta-v2",
    "distilbert",
    "electra",
    "gpt2",
    "gptj",
    "llama",
    "mbart",
    "mistral",
    "mt5",
    "plbart",
    "roberta",
    "t5",
    "vit",
    "xlm-roberta",
)
ADDERS = {
    "classification": "add_classification_head",
    "multilabel_classification": "add_classification_head",
    "image_classification": "add_image_classification_head",
    "tagging": "add_tagging_head",
    "multiple_choice": "add_multiple_choice_head",
    "question_answering": "add_qa_head",
    "dependency_parsing": "add_dependency_parsing_head",
    "masked_lm": "add_masked_lm_head",
    "causal_lm": "add_causal_lm_head",
    "seq2seq_lm": "add_seq2seq_lm_head",
}
LABELS = {0: "bad", 1: "fair", 2: "good"}


def heads(model_type: str, kinds: list[str]) -> dict[str, dict[str, Any]]:
    """The heads by name, each as the library's configuration; {"head_type": …} alone is its own default."""
    found: dict[str, dict[str, Any]] = {f"head_{kind}": {"head_type": kind} for kind in kinds}
    prefix = type(transformers.AutoConfig.for_model(model_type)).__name__.removesuffix("Config")
    for name, static in STATIC_TO_FLEX_HEAD_MAP.items():
        if name.startswith(f"{prefix}For") or name == f"{prefix}LMHeadModel":
            found[f"head_{static['config']['head_type']}_static"] = dict(static["config"])
    return found


def add(model: Any, name: str, config: dict[str, Any]) -> None:
    config, kind = copy.deepcopy(config), config["head_type"]
    labels: dict[str, Any] = {"num_labels": 3, "id2label": LABELS}
    if kind == "multiple_choice":
        labels = {"num_choices": 3, "id2label": LABELS}
    elif kind == "question_answering" or kind.endswith("_lm"):
        labels = {}
    if name.endswith(("_static", "_inv")):
        model.add_prediction_head_from_config(name, config | labels)
    else:
        more = {"multilabel": True} if kind == "multilabel_classification" else {}
        getattr(model, ADDERS[kind])(name, **labels, **more)


def one_eos(inputs: dict[str, Tensor], config: Any) -> dict[str, Tensor]:
    """Each row with the end-of-sequence token just once, where its text ends: BART classifies by it."""
    if not getattr(config, "is_encoder_decoder", False):
        return inputs
    ids, end = inputs["input_ids"], inputs["attention_mask"].sum(1) - 1
    ids[ids == config.eos_token_id] += 3
    ids[range(len(ids)), end] = config.eos_token_id
    return inputs


def logits_of(model: Any, name: str, inputs: dict[str, Tensor], kind: str) -> Tensor:
    if kind == "multiple_choice":
        inputs = {key: value.unsqueeze(0) for key, value in inputs.items()}
    if kind in ("classification", "multilabel_classification", "question_answering"):
        inputs = {key: value for key, value in inputs.items() if not key.startswith("decoder_")}
    with torch.no_grad():
        output = model.eval()(**inputs, head=name)
    if kind == "question_answering":
        return torch.stack((output["start_logits"], output["end_logits"]), dim=-1)
    return output["logits"].contiguous()


def make(family: str, directory: Path) -> None:
    changes = {"pad_token_id": 0} if family in ("gpt2", "gptj") else {}
    base = build(Case(family, changes=CASES[family].changes | changes))
    base.save_pretrained(directory / "base")
    inputs = one_eos(tiny_inputs(family), base.config)
    golden = {f"input.{key}": value for key, value in inputs.items()}
    kinds = list(AutoAdapterModel.from_pretrained(directory / "base").head_types)
    variants = {name: (config, SeqBnConfig(reduction_factor=4)) for name, config in heads(family, kinds).items()}
    for kind in ("masked_lm", "causal_lm", "seq2seq_lm"):
        static = f"head_{kind}_static" if f"head_{kind}_static" in variants else f"head_{kind}"
        if static in variants:
            variants[f"head_{kind}_inv"] = (variants[static][0], SeqBnInvConfig(reduction_factor=4))
    for name, (config, adapter) in variants.items():
        try:
            model = AutoAdapterModel.from_pretrained(directory / "base")
            model.add_adapter(name, config=adapter, set_active=True)
            add(model, name, config)
            generator = torch.Generator().manual_seed(2)
            with torch.no_grad():
                for key, parameter in model.named_parameters():
                    tied = parameter is getattr(model.get_input_embeddings(), "weight", None)
                    if (f"adapters.{name}." in key or f"heads.{name}." in key) and not tied:
                        parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
            logits = logits_of(model, name, inputs, config["head_type"])
        except Exception as error:  # the library fails in many ways, and each is a line of the report
            print(f"{family} {name}: {type(error).__name__}: {str(error).splitlines()[0]}")
            continue
        model.save_adapter(str(directory / name), name, with_head=True)
        golden[f"logits.{name}"] = logits
    save_file(golden, directory / "golden.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compute prediction heads with AdapterHub's library.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=FAMILIES)
    arguments = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    for family in arguments.families:
        make(family, arguments.directory / f"{family}-flex")


if __name__ == "__main__":
    main()
