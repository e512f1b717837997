"""Models by hub id, directory or installed package."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import tiny_model
from tiny_task import save_model
from transformers import PreTrainedTokenizerFast

from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.kinds import KINDS
from peft_bottleneck_bench.models.base_model import BaseModel

CLASSIFICATION = KINDS["classification"]


def error_of(name: str) -> str:
    with pytest.raises(UserError) as error:
        BaseModel.named(name)
    (message,) = error.value.messages
    assert "\n" not in message
    return message


def test_a_directory(bert: Path) -> None:
    model = BaseModel.named(str(bert))
    assert (model.slug, model.config.model_type, model.is_causal) == ("tiny_bert", "bert", False)
    loaded = model.load("AutoModelForSequenceClassification", num_labels=3)
    assert loaded.classifier.out_features == 3


def test_inputs_are_as_long_as_asked_and_as_the_model_takes(bert: Path) -> None:
    model = BaseModel.named(str(bert))
    assert [model.input_length(asked) for asked in (None, 10, 1000)] == [64, 10, 64]
    assert model.input_length(None, new_tokens=60) == 64  # only decoder-only models write behind their input


def test_a_decoder_keeps_positions_for_what_it_writes(tmp_path: Path, bert: Path) -> None:
    folder = save_model("gpt2", tmp_path / "gpt2", BaseModel.named(str(bert)).tokenizer, max_position_embeddings=64)
    model = BaseModel.named(str(folder))
    assert [model.input_length(asked, 24) for asked in (None, 10, 1000)] == [40, 10, 40]
    with pytest.raises(UserError, match="takes 64 tokens, and generation_max_length 64 leaves none for the input"):
        model.input_length(None, 64)


def test_a_package_is_found_without_importing_it(tmp_path: Path, bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "carries_a_model"
    shutil.copytree(bert, package / "inside" / "model")
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    model = BaseModel.named("package:carries_a_model/inside/model")
    assert model.slug == "carries_a_model"
    assert model.config.hidden_size == 32
    assert "carries_a_model" not in sys.modules


def test_a_hub_id_with_a_revision() -> None:
    model = BaseModel("org/name@v1", "org/name", "v1")
    assert model.slug == "org--name@v1"


def test_the_identity_follows_the_weights_and_not_the_place(tmp_path: Path, bert: Path) -> None:
    copy = tmp_path / bert.name
    shutil.copytree(bert, copy)
    first, second = BaseModel.named(str(bert)), BaseModel.named(str(copy))
    assert first.identity == second.identity
    trained = second.load("AutoModel")
    with torch.no_grad():
        trained.encoder.layer[0].output.dense.bias += 1
    trained.save_pretrained(copy)
    assert BaseModel.named(str(copy)).identity != first.identity


def test_a_model_without_a_padding_token_pads_with_its_end_token(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    folder = save_model("gpt2", tmp_path / "tiny_gpt2", tokenizer, n_embd=32, n_layer=2, n_head=2)
    stripped = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, eos_token="[SEP]")
    stripped.save_pretrained(folder)
    model = BaseModel.named(str(folder))
    assert model.tokenizer.pad_token == "[SEP]"
    assert model.is_causal
    loaded = model.load("AutoModelForSequenceClassification")
    assert loaded.config.pad_token_id == tokenizer.sep_token_id


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/no/such/place", "model '/no/such/place': no such directory"),
        (
            "package:no_such_package/model",
            "model 'package:no_such_package/model': the Python package 'no_such_package' is not installed; "
            "try `pip install no-such-package`",
        ),
        ("package:peft/nothing", "model 'package:peft/nothing': the package has no directory 'nothing'"),
        ("nobody/nothing", "model 'nobody/nothing': no configuration: "),
    ],
)
def test_a_model_that_cannot_be_had_is_named(name: str, message: str) -> None:
    assert error_of(name).startswith(message)


def test_an_empty_directory_and_one_without_weights(tmp_path: Path, bert: Path) -> None:
    assert error_of(str(tmp_path)).startswith(f"model '{tmp_path}': no configuration: ")
    copy = tmp_path / "copy"
    shutil.copytree(bert, copy)
    (copy / "model.safetensors").unlink()
    assert error_of(str(copy)) == f"model '{copy}': no weights: no .safetensors or .bin file in the directory"


LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n"
SHARDS = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "model.safetensors",
            LFS_POINTER,
            "model.safetensors is a pointer of Git LFS, not the weights: `git lfs pull`",
        ),
        ("model.safetensors", b"", "model.safetensors is damaged or cut off: "),
        ("model.safetensors", None, "model.safetensors is damaged or cut off: "),
        ("pytorch_model.bin", LFS_POINTER, "pytorch_model.bin is a pointer of Git LFS"),
        ("pytorch_model.bin", b"<html>404</html>", "pytorch_model.bin is damaged or cut off"),
        (INDEX, json.dumps(SHARDS).encode(), f"{INDEX} names model-00002-of-00002.safetensors, which is not in"),
        (INDEX, b'{"weight_map": []}', f"{INDEX} is damaged: AttributeError: "),
        (INDEX, b"[", f"{INDEX} is damaged: JSONDecodeError: "),
    ],
)
def test_weights_that_cannot_be_read(
    tmp_path: Path, bert: Path, name: str, content: bytes | None, message: str
) -> None:
    """They are found before anything runs; the headers alone are read."""
    copy = tmp_path / "copy"
    shutil.copytree(bert, copy)
    cut = (copy / "model.safetensors").read_bytes()[:4000]
    (copy / name).write_bytes(cut if content is None else content)
    assert error_of(str(copy)).startswith(f"model '{copy}': no weights: {message}")


def test_weights_as_torch_saves_them(tmp_path: Path, bert: Path) -> None:
    for zipped in (True, False):
        copy = tmp_path / f"copy_{zipped}"
        shutil.copytree(bert, copy)
        weights = load_file(copy / "model.safetensors")
        (copy / "model.safetensors").unlink()
        torch.save(weights, copy / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
        loaded = BaseModel.named(str(copy)).load("AutoModel")
        assert torch.equal(loaded.pooler.dense.bias, weights["pooler.dense.bias"])


def test_a_damaged_tokenizer(tmp_path: Path, bert: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bert, copy)
    (copy / "tokenizer.json").write_text("{}")
    assert error_of(str(copy)) == f"model '{copy}': no tokenizer: damaged files: KeyError: 'added_tokens'"


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"5", b"[" * 100_000, b'{"a": ' + b"9" * 6000 + b"}", b"\xff\xfe{"]
)
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_file_of_another_content_is_one_line(tmp_path: Path, bert: Path, name: str, content: bytes) -> None:
    shutil.copytree(bert, tmp_path / "copy")
    (tmp_path / "copy" / name).write_bytes(content)
    part = "configuration" if name == "config.json" else "tokenizer"
    assert error_of(str(tmp_path / "copy")).startswith(f"model '{tmp_path / 'copy'}': no {part}: ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_size", "32"),
        ("vocab_size", None),
        ("intermediate_size", 1e9),
        ("num_attention_heads", 0),
        ("hidden_act", "gelo"),
        ("hidden_dropout_prob", 7),
    ],
)
def test_a_configuration_that_builds_no_model_is_one_line(tmp_path: Path, bert: Path, key: str, value: object) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bert, copy)
    content = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**content, key: value}))
    with pytest.raises(UserError) as error:
        BaseModel.named(str(copy)).check_weights("AutoModel")
    (message,) = error.value.messages
    assert message.startswith(f"model '{copy}': ")
    assert "\n" not in message


def test_an_adapter_in_the_place_of_its_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert error_of(str(tmp_path)) == f"model '{tmp_path}' is an adapter; name the model that it was trained on"


@pytest.mark.parametrize(
    ("model_type", "files"),
    [
        ("bert", "tokenizer.json, vocab.txt"),
        ("t5", "spiece.model, tokenizer.json"),
        ("gpt2", "merges.txt, tokenizer.json, vocab.json"),
    ],
)
def test_a_directory_without_a_tokenizer(tmp_path: Path, model_type: str, files: str) -> None:
    """transformers makes an empty one for these types, and every word would become the unknown one."""
    tiny_model(model_type).save_pretrained(tmp_path)
    assert error_of(str(tmp_path)) == (
        f"model '{tmp_path}': no tokenizer: it knows no words; its files ({files}) are missing"
    )


def test_a_model_that_does_not_fit_the_kind(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    sizes = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, image_size=16)
    folder = save_model("vit", tmp_path / "tiny_vit", tokenizer, patch_size=4, **sizes)
    model = BaseModel.named(str(folder))
    with pytest.raises(UserError) as error:
        CLASSIFICATION.check_model(model)
    assert error.value.messages == (
        f"model '{folder}' does not fit classification: "
        "transformers has no AutoModelForSequenceClassification for its architecture 'vit'",
    )
