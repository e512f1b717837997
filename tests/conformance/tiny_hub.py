"""Directories of tiny random models, under the names that PEFT's suites ask the hub for.

`from_pretrained("owner/name")` takes a directory of this name before it asks the hub, so the suites run inside the
directory that is made here, and find everything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import LoraConfig
from tiny_models import CONFIGURATIONS, VOCABULARY, tiny_model
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
)

OWNERS = ("peft-internal-testing", "hf-internal-testing", "trl-internal-testing", "ybelkada")
ADAPTER = "tiny-opt-lora-revision"  # of this one, only the configuration is read

_CAUSAL, _SEQ2SEQ, _CLASSIFIER = AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForSequenceClassification
# bitsandbytes' 4-bit product on CPUs wants rows of a multiple of 64
_4BIT = {"hidden_size": 64, "word_embed_proj_dim": 64, "ffn_dim": 128}
MODELS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "tiny-random-OPTForCausalLM": ("opt", _CAUSAL, _4BIT),
    "tiny-random-GPT2LMHeadModel": ("gpt2", _CAUSAL, {}),
    "tiny-random-gpt2": ("gpt2", _CAUSAL, {}),
    "tiny-random-GPTJForCausalLM": ("gptj", _CAUSAL, {}),
    "tiny-random-LlamaForCausalLM": ("llama", _CAUSAL, {}),
    "tiny-random-MistralForCausalLM": ("mistral", _CAUSAL, {}),
    "tiny-random-Gemma3ForCausalLM": ("gemma3_text", _CAUSAL, {}),
    "tiny-dummy-qwen2": ("qwen2", _CAUSAL, {}),
    "tiny-random-T5ForConditionalGeneration-calibrated": ("t5", _SEQ2SEQ, {}),
    "tiny-random-BartForConditionalGeneration": ("bart", _SEQ2SEQ, {}),
    "tiny-random-BertModel": ("bert", AutoModel, {}),
    "tiny-random-RobertaModel": ("roberta", AutoModel, {}),
    "tiny-random-DebertaModel": ("deberta", AutoModel, {}),
    "tiny-random-DebertaV2Model": ("deberta-v2", AutoModel, {}),
    "tiny-random-BertForSequenceClassification": ("bert", _CLASSIFIER, {}),
    "tiny-random-RobertaForSequenceClassification": ("roberta", _CLASSIFIER, {}),
    "tiny-LlamaForSequenceClassification-3.2": ("llama", _CLASSIFIER, {"num_labels": 1}),
    "bert-base-uncased": ("bert", _CLASSIFIER, {}),
    # asked for by the suites of PEFT 0.18 only
    "tiny-random-BloomForCausalLM": ("bloom", _CAUSAL, {}),
    "tiny-random-gpt_neo": ("gpt_neo", _CAUSAL, {}),
    "tiny-random-GPTBigCodeForCausalLM": ("gpt_bigcode", _CAUSAL, {}),
}


def build(directory: Path) -> Path:
    """Writes all models, each with a tokenizer, and links every owner's name to them."""
    # A family that has no row, and so no tiny configuration: its sites are read off its structure.
    CONFIGURATIONS.setdefault("gpt_bigcode", CONFIGURATIONS["gpt2"])
    tokenizer = characters()
    for name, (model_type, auto_class, changes) in MODELS.items():
        tiny_model(model_type, auto_class, **changes).save_pretrained(directory / name)
        tokenizer.save_pretrained(directory / name)
        assert AutoConfig.from_pretrained(directory / name).model_type == model_type
    LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]).save_pretrained(directory / ADAPTER)
    for owner in OWNERS:
        (directory / owner).symlink_to(".", target_is_directory=True)
    return directory


def characters() -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are the printable ASCII characters; its vocabulary is as large as the tiny models'."""
    tokens = ["<pad>", "<s>", "</s>", "<unk>", *map(chr, range(32, 127))]
    assert len(tokens) == VOCABULARY
    tokenizer = Tokenizer(models.WordLevel({token: index for index, token in enumerate(tokens)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )
