"""Words, rows and random models for the tests of the benchmark."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import yaml
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

GOOD = ("good", "great", "lovely", "fine")
BAD = ("bad", "awful", "dull", "poor")
FILLERS = ("the", "a", "film", "meal", "was", "is", "very", "quite", "and", "day")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def make_tokenizer(words: Iterable[str] = (*GOOD, *BAD, *FILLERS)) -> PreTrainedTokenizerFast:
    """One number per word, BERT's special tokens around them."""
    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *words))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=64, **{f"{name}_token": token for name, token in names.items()}
    )


def save_model(model_type: str, folder: Path, tokenizer: PreTrainedTokenizerFast, **changes: Any) -> Path:
    """Writes a random model of two blocks of 32 channels, with `tokenizer`, and returns `folder`."""
    sizes = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **{"vocab_size": len(tokenizer), **sizes, **changes})
    model = AutoModel.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.2)  # enough for one word to change what comes out
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def sentences(count: int, *, start: int = 0) -> list[dict[str, Any]]:
    """Rows whose label one word gives away."""
    rows = []
    for number in range(start, start + count):
        label = ("negative", "positive")[number % 2]
        word = (BAD, GOOD)[number % 2][number // 2 % 4]
        before = [FILLERS[(number * 7 + place) % len(FILLERS)] for place in range(number % 5 + 1)]
        rows.append({"text": " ".join([*before, word, FILLERS[number % len(FILLERS)]]), "label": label})
    return rows


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Writes JSON Lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_splits(folder: Path) -> dict[str, str]:
    """Writes the three files of a task that the tiny model can learn, and returns their paths."""
    sizes = {"train": (64, 0), "validation": (16, 64), "test": (24, 80)}
    return {
        split: str(write_rows(folder / f"{split}.jsonl", sentences(count, start=start)))
        for split, (count, start) in sizes.items()
    }


def write_configuration(folder: Path, model: Path, files: dict[str, str], /, **changes: Any) -> Path:
    """Writes a configuration of the model and the task in `files`, with some keys changed; None leaves a key out."""
    content = {
        "model": str(model),
        "tasks": [{"name": "words", "kind": "classification", "data": files}],
        "methods": ["houlsby", "head_only"],
        "training": {"num_train_epochs": 2, "per_device_train_batch_size": 16, "learning_rate": 0.01},
        "results": str(folder / "results"),
        **changes,
    }
    path = folder / "run.yaml"
    path.write_text(
        yaml.safe_dump({key: value for key, value in content.items() if value is not None}, sort_keys=False)
    )
    return path
