"""Weights of other shapes than `config.json` builds: refused before a run, where loading them would be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from packaging.version import Version
from safetensors.torch import load_file, save_file
from tiny_task import save_model

from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.models.base_model import BaseModel
from peft_bottleneck_bench.models.weight_shapes import shapes_in

SEQUENCE = "AutoModelForSequenceClassification"
NAMES_SHAPES = Version(transformers.__version__) >= Version("5")
WORDS = "embeddings.word_embeddings.weight"


def changed(folder: Path, **fields: Any) -> BaseModel:
    """The model with other values in `config.json`, and the same weights."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    return BaseModel.named(str(folder))


@pytest.fixture
def folder(tmp_path: Path, bert: Path) -> Path:
    return Path(shutil.copytree(bert, tmp_path / "copy"))


def as_pickle(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")


def as_old_pickle(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def as_shards(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = list(weights)
    places = {name: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, name in enumerate(names)}
    for shard in set(places.values()):
        own = {name: weights[name] for name in names if places[name] == shard}
        save_file(own, folder / shard, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


@pytest.mark.parametrize("form", [None, as_pickle, as_old_pickle, as_shards])
@pytest.mark.parametrize("auto_class", [SEQUENCE, "AutoModel"])
def test_the_check_refuses_what_loading_refuses(
    folder: Path, auto_class: str, form: Callable[[Path], None] | None
) -> None:
    if form is not None:
        form(folder)
    fitting = BaseModel.named(str(folder))
    fitting.check_weights(auto_class)
    fitting.load(auto_class)
    words = shapes_in(folder)[WORDS].shape[0]
    wrong = changed(folder, vocab_size=words + 7)
    said = []
    for refuse in (wrong.check_weights, wrong.load):
        with pytest.raises(UserError) as error:
            refuse(auto_class)
        said.append(error.value.messages)
    assert said[0] == said[1]
    (message,) = said[0]
    prefix = "bert." if auto_class == SEQUENCE else ""
    said_of_shapes = (
        f"{prefix}{WORDS} has the shape [{words}, 32], and the configuration builds [{words + 7}, 32] "
        f"(vocab_size={words + 7})"
        if NAMES_SHAPES
        else f"{prefix}{WORDS} has not the shape [{words + 7}, 32] that the configuration builds"
    )
    assert message == f"model '{folder}': the weights do not fit config.json: {said_of_shapes}"


def test_every_weight_that_does_not_fit_counts(folder: Path) -> None:
    with pytest.raises(UserError, match=r"bert\.encoder\.layer\.0\.intermediate.*; \d+ more do not fit"):
        changed(folder, intermediate_size=56).check_weights(SEQUENCE)


@pytest.mark.parametrize("labels", [2, 5])
def test_a_head_for_other_labels_is_a_fresh_one(tmp_path: Path, bert: Path, labels: int) -> None:
    model = BaseModel.named(str(bert)).load(SEQUENCE, num_labels=3)
    trained = tmp_path / "trained"
    shutil.copytree(bert, trained)
    model.save_pretrained(trained)
    other = BaseModel.named(str(trained))
    other.check_weights(SEQUENCE, num_labels=labels)
    loaded = other.load(SEQUENCE, num_labels=labels)
    assert loaded.classifier.weight.shape[0] == labels
    assert torch.equal(loaded.bert.pooler.dense.weight, model.bert.pooler.dense.weight)
    assert loaded.classifier.weight.isfinite().all()


def test_a_language_model_keeps_its_head(tmp_path: Path, bert: Path) -> None:
    """Its output map is pretrained as the rest is: one of another size is no fresh head."""
    folder = save_model("gpt2", tmp_path / "gpt2", BaseModel.named(str(bert)).tokenizer)
    for auto_class in ("AutoModelForCausalLM", SEQUENCE):
        BaseModel.named(str(folder)).check_weights(auto_class)  # tied weights, and none of a head
    with pytest.raises(UserError, match=r"wte\.weight has .*777, 32\]"):
        changed(folder, vocab_size=777).check_weights("AutoModelForCausalLM")


def test_quantised_weights_have_shapes_of_their_own(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    name = "encoder.layer.0.output.dense.weight"
    weights[name] = torch.zeros(weights[name].numel() // 2, 1, dtype=torch.uint8)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="the weights do not fit"):
        BaseModel.named(str(folder)).check_weights(SEQUENCE)
    changed(folder, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}).check_weights(SEQUENCE)


def test_the_dry_run_refuses_them(
    folder: Path, configure: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    changed(folder, max_position_embeddings=32)
    assert main(["run", str(configure(model=str(folder))), "--dry-run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        "the weights do not fit config.json: bert.embeddings.position_embeddings.weight has the shape [64, 32]" in line
    )
