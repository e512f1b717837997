"""The command `convert`: there and back, and each error one line."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import FIXTURES, golden
from huggingface_hub import constants
from peft import AutoPeftModel, PeftModel
from transformers import AutoConfig, AutoModelForSequenceClassification

from peft_bottleneck import HoulsbyConfig, load_adapterhub
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.commands.convert import convert
from peft_bottleneck_bench.errors import UserError

BASE = FIXTURES / "bert" / "base"
CHECKPOINT = FIXTURES / "bert" / "houlsby"


def test_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there, back = tmp_path / "peft", tmp_path / "adapterhub"
    assert main(["convert", str(CHECKPOINT), str(there), "--model", str(BASE)]) == 0
    assert f"{there}: written for PEFT" in capsys.readouterr().out
    loaded = AutoPeftModel.from_pretrained(there)
    assert isinstance(loaded.peft_config["default"], HoulsbyConfig)

    assert main(["convert", str(there), str(back)]) == 0
    assert f"{back}: written for AdapterHub" in capsys.readouterr().out
    first = torch.load(CHECKPOINT / "pytorch_adapter.bin", weights_only=True)
    last = torch.load(back / "pytorch_adapter.bin", weights_only=True)
    assert {key.replace(".houlsby.", ".default."): value.tolist() for key, value in first.items()} == {
        key: value.tolist() for key, value in last.items()
    }


def test_a_class_with_a_head(tmp_path: Path) -> None:
    convert(CHECKPOINT, tmp_path / "peft", str(BASE), "AutoModelForSequenceClassification")
    convert(tmp_path / "peft", tmp_path / "adapterhub")  # finds the class in what PEFT wrote
    model = AutoModelForSequenceClassification.from_pretrained(BASE)
    assert load_adapterhub(model, tmp_path / "adapterhub").peft_config["default"].reduction_factor == 4
    with pytest.raises(UserError, match="Found missing adapter keys"):
        convert(tmp_path / "peft", tmp_path / "wrong", model_class="AutoModel")
    assert not (tmp_path / "wrong").exists()


def test_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new, used = tmp_path / "new", tmp_path / "used"
    used.mkdir()
    (used / "adapter_config.json").write_text("{", encoding="utf-8")
    for arguments, message in (
        ([tmp_path / "nothing", new], "nothing: no adapter_config.json can be read there"),
        ([used, new], "adapter_config.json: not JSON"),
        ([CHECKPOINT, used], f"{used} exists and is not empty"),
        ([CHECKPOINT, new], "names no base model; please give --model"),
        ([CHECKPOINT, new, "--model", BASE, "--class", "AutoModle"], "transformers has no class 'AutoModle'"),
        (
            [CHECKPOINT, new, "--model", FIXTURES / "gpt2" / "base"],
            "it is for model_type='bert', the model has 'gpt2'",
        ),
    ):
        assert main(["convert", *map(str, arguments)]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert not new.exists()


def test_a_head_and_its_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The class is the one that has the head; the base model's configuration keeps the labels."""
    source, base = FIXTURES / "bert-flex" / "head_classification", FIXTURES / "bert-flex" / "base"
    there, back = tmp_path / "peft", tmp_path / "hub"
    assert main(["convert", str(source), str(there), "--model", str(base)]) == 0
    assert "(AutoModelForSequenceClassification)" in capsys.readouterr().out
    config = AutoConfig.from_pretrained(there)
    assert config.id2label == {0: "bad", 1: "fair", 2: "good"}
    model = AutoModelForSequenceClassification.from_pretrained(base, config=config)
    inputs, outputs = golden("bert-flex")
    adapted = PeftModel.from_pretrained(model, there).eval()
    logits = outputs["logits.head_classification"]
    torch.testing.assert_close(adapted(**inputs).logits, logits, rtol=0, atol=1e-5)

    assert main(["convert", str(there), str(back)]) == 0
    fresh = load_adapterhub(AutoModelForSequenceClassification.from_pretrained(base), back).eval()
    torch.testing.assert_close(fresh(**inputs).logits, logits, rtol=0, atol=1e-5)
    assert fresh.get_base_model().config.label2id == {"bad": 0, "fair": 1, "good": 2}


def test_a_folder_of_adapters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One table at the end says what became of each, and what did not come along."""
    folder, target = tmp_path / "hub", tmp_path / "peft"
    shutil.copytree(FIXTURES / "gpt2-flex" / "head_classification", folder / "heads" / "left-out")
    shutil.copytree(FIXTURES / "gpt2-flex" / "head_classification_static", folder / "heads" / "fits")
    shutil.copytree(FIXTURES / "gpt2-flex" / "head_causal_lm_static", folder / "damaged")
    (folder / "damaged" / "pytorch_adapter.bin").write_bytes(b"PK")
    shutil.copytree(FIXTURES / "bert" / "houlsby", folder / "other")
    assert main(["convert", str(folder), str(target), "--model", str(FIXTURES / "gpt2-flex" / "base")]) == 1
    output = capsys.readouterr().out
    assert "2 of 4 adapters converted" in output
    words = " ".join(output.replace("│", " ").split())
    assert "layers=2, not 1" in words
    assert "damaged" in words
    assert "weights_only" not in words
    assert sorted(str(path.parent.relative_to(target)) for path in target.rglob("adapter_config.json")) == [
        "heads/fits",
        "heads/left-out",
    ]


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04 nothing", b"\x80\x04.", b"{}"])
@pytest.mark.parametrize("name", ["pytorch_adapter.bin", "adapter.safetensors", "pytorch_model_head.bin"])
def test_damaged_weights(name: str, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "hub"
    shutil.copytree(FIXTURES / "bert-flex" / "head_tagging", folder)
    (folder / name).write_bytes(content)
    assert main(["convert", str(folder), str(tmp_path / "new"), "--model", str(FIXTURES / "bert-flex" / "base")]) == 2
    error = capsys.readouterr().err
    assert f"{name} is damaged" in error
    assert error.count("\n") == 1
    assert "weights_only" not in error
    assert not (tmp_path / "new").exists()


ODD: dict[str, Any] = {
    "nested": "[" * 100_000,
    "long number": '{"config": ' + "9" * 6000 + "}",
    "no text": b"\xff\xfe{",
    "fusion without adapters": '{"peft_type": "HOULSBY", "composition": {}}',
    "fusion of a number": '{"peft_type": "HOULSBY", "composition": {"adapters": 5}}',
}


@pytest.mark.parametrize("case", ODD)
def test_odd_descriptions(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the adapter itself, and in a folder beside it, where they are no concern of a sound one."""
    odd, content = tmp_path / "odd", ODD[case]
    shutil.copytree(CHECKPOINT, odd)
    (odd / "adapter_config.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["convert", str(odd), str(tmp_path / "new"), "--model", str(BASE)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "adapter_config.json" in error
    assert error.count("\n") == 1
    shutil.copytree(CHECKPOINT, tmp_path / "sound")
    assert main(["convert", str(tmp_path / "sound"), str(tmp_path / "new"), "--model", str(BASE)]) == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("name", ["adapter_config.json", "pytorch_adapter.bin"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(CHECKPOINT, tmp_path / "odd")
    (tmp_path / "odd" / name).unlink()
    os.mkfifo(tmp_path / "odd" / name)
    assert main(["convert", str(tmp_path / "odd"), str(tmp_path / "new"), "--model", str(BASE)]) == 2
    assert name in capsys.readouterr().err


def test_objects_are_not_unpickled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "hub"
    shutil.copytree(FIXTURES / "bert-flex" / "head_tagging", folder)
    torch.save({"weights": Path("somewhere")}, folder / "pytorch_adapter.bin")
    arguments = ["convert", str(folder), str(tmp_path / "new"), "--model", str(FIXTURES / "bert-flex" / "base")]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "pytorch_adapter.bin is damaged, or holds something else than tensors" in error
    assert "weights_only" not in error


def test_damaged_checkpoints_of_peft(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert(CHECKPOINT, tmp_path / "peft", str(BASE))
    (tmp_path / "peft" / "adapter_model.safetensors").write_bytes(b"nothing")
    assert main(["convert", str(tmp_path / "peft"), str(tmp_path / "new")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()
    (tmp_path / "peft" / "adapter_model.safetensors").unlink()
    (tmp_path / "peft" / "adapter_model.bin").write_bytes(b"\x80\x04.")
    assert main(["convert", str(tmp_path / "peft"), str(tmp_path / "new")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "weights_only" not in error


def test_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--someone--adapter"
    shutil.copytree(CHECKPOINT, repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40, encoding="utf-8")
    assert convert("someone/adapter", tmp_path / "peft", str(BASE)).class_name == "AutoModel"
    with pytest.raises(UserError, match="'no/such' is no directory, and the hub does not provide it"):
        convert("no/such", tmp_path / "other", str(BASE))
