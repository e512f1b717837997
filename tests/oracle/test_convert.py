"""The command `convert`: there and back, and each error one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from cases import FIXTURES
from peft import AutoPeftModel
from transformers import AutoModelForSequenceClassification

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
