"""TRL's `SFTTrainer`, which makes the adapter itself from `peft_config`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from adapter_files import assert_holds_adapters_only
from equations import METHODS
from peft import PeftModel
from tiny_models import tiny_model
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")

# TRL uses the name that both transformers 4 and 5 know.
pytestmark = pytest.mark.filterwarnings("ignore:.gradient_checkpointing. is deprecated:FutureWarning")

TEXTS = ["the cat sat on the mat", "the dog sat on the log", "a bird sang in the tree", "a fish swam in the sea"] * 4


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Whole words, made here."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    special = ["<pad>", "<s>", "</s>", "<unk>"]
    words = special + sorted({word for text in TEXTS for word in text.split()})
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_supervised_fine_tuning(method: str, gradient_checkpointing: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    trainer = trl.SFTTrainer(
        model=tiny_model("llama", AutoModelForCausalLM),
        args=trl.SFTConfig(
            output_dir=str(tmp_path),
            learning_rate=2e-2,
            per_device_train_batch_size=4,
            max_steps=12,
            save_steps=12,
            logging_steps=1,
            gradient_checkpointing=gradient_checkpointing,
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            bf16=False,
        ),
        train_dataset=datasets.Dataset.from_dict({"text": TEXTS}),
        processing_class=tiny_tokenizer(),
        peft_config=METHODS[method](task_type="CAUSAL_LM", reduction_factor=1),
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert sum(losses[-4:]) < 0.95 * sum(losses[:4])  # each four steps see the whole data
    assert_holds_adapters_only(tmp_path / "checkpoint-12", trainer.model)

    reloaded = PeftModel.from_pretrained(tiny_model("llama", AutoModelForCausalLM), tmp_path / "checkpoint-12").eval()
    tokens = tiny_tokenizer()(TEXTS[0], return_tensors="pt")["input_ids"]
    assert torch.equal(reloaded(tokens).logits, trainer.model.eval()(tokens).logits)
