"""A tiny model that learns in seconds, a data set that it can learn, and configurations of both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_task import make_tokenizer, save_model, sentences, write_rows
from transformers import PreTrainedTokenizerFast


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """One number per word, BERT's special tokens around them."""
    return make_tokenizer()


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    """A directory with a random BERT of two blocks and its tokenizer."""
    return save_model("bert", tmp_path_factory.mktemp("models") / "tiny_bert", tokenizer, max_position_embeddings=64)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """The three files of a task that the tiny model can learn."""
    sizes = {"train": (64, 0), "validation": (16, 64), "test": (24, 80)}
    return {
        split: str(write_rows(tmp_path / f"{split}.jsonl", sentences(count, start=start)))
        for split, (count, start) in sizes.items()
    }


@pytest.fixture
def configure(tmp_path: Path, bert: Path, files: dict[str, str]) -> Callable[..., Path]:
    """Writes a configuration of the tiny model and task, with some keys changed, and returns its path."""

    def write(**changes: Any) -> Path:
        content = {
            "model": str(bert),
            "tasks": [{"name": "words", "kind": "classification", "data": files}],
            "methods": ["houlsby", "head_only"],
            "training": {"num_train_epochs": 2, "per_device_train_batch_size": 16, "learning_rate": 0.01},
            "results": str(tmp_path / "results"),
            **changes,
        }
        path = tmp_path / "run.yaml"
        path.write_text(
            yaml.safe_dump({key: value for key, value in content.items() if value is not None}, sort_keys=False)
        )
        return path

    return write
