"""A tiny model that learns in seconds, a data set that it can learn, and configurations of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from tiny_task import make_tokenizer, save_model, write_configuration, write_splits
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
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MemoryFileSystem]:
    """An empty store at `memory://`, and a machine without working folders."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    system = MemoryFileSystem()
    system.store.clear()
    yield system
    system.store.clear()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """The three files of a task that the tiny model can learn."""
    return write_splits(tmp_path)


@pytest.fixture
def configure(tmp_path: Path, bert: Path, files: dict[str, str]) -> Callable[..., Path]:
    """Writes a configuration of the tiny model and task, with some keys changed, and returns its path."""
    return partial(write_configuration, tmp_path, bert, files)
