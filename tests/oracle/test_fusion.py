"""Fusions of AdapterHub's library, met by ours with their directories loaded, and written for it again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from cases import DIRECTORY, base_model, output_of, unpadded
from cases import golden as golden_of_adapters
from peft import PeftModel
from safetensors.torch import load_file, save_file
from test_hidden_states import REFUSED
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification

from peft_bottleneck import average, load_adapterhub, save_adapterhub
from peft_bottleneck.adapterhub.attention import attend_in_the_order_of_the_library
from peft_bottleneck_bench.cli import main

# The names of the fixtures' adapters are single letters, which the methods' prefixes hold.
pytestmark = pytest.mark.filterwarnings("ignore:Adapter name .* should not be contained in the prefix:UserWarning")

METHODS = {"seq_bn": "pfeiffer", "double_seq_bn": "houlsby", "par_bn": "parallel", "left_out": "pfeiffer"}
CASES = sorted(
    (path.parents[2].name, path.parents[1].name) for path in DIRECTORY.glob("*/fusion*/*/adapter_fusion_config.json")
)


def golden(case: str, configuration: str) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """What to call the model with, what it computes without adapters, and with the fusion."""
    files = [DIRECTORY / case / name for name in ("fusion.safetensors", "golden.safetensors")]
    tensors = load_file(next(file for file in files if file.exists()))
    inputs = {name.removeprefix("input."): value for name, value in tensors.items() if name.startswith("input.")}
    return inputs, tensors["plain"], tensors[f"output.{configuration}"]


def check(model: PeftModel, case: str, configuration: str) -> None:
    inputs, plain, expected = golden(case, configuration)
    assert not torch.allclose(expected, plain, atol=1e-3)
    tolerance = 2e-5 if model.get_base_model().config.model_type in ("t5", "mt5") else 1e-5
    output = unpadded(output_of(model, inputs), inputs)
    torch.testing.assert_close(output, unpadded(expected, inputs), rtol=0, atol=tolerance)


@pytest.mark.parametrize(("case", "configuration"), CASES)
def test_output(case: str, configuration: str) -> None:
    directory = DIRECTORY / case / configuration
    model = base_model(case)
    method = METHODS[configuration.removeprefix("fusion_")]
    refused = method in REFUSED.get(model.config.model_type, ())
    if model.config.model_type == "albert" and configuration == "fusion_left_out":
        pytest.skip("the library lowers a temperature that blocks share in each of them, within one call")
    if refused or method == "parallel":
        names = [name for name, _ in model.named_modules()]
        reason = "is not expressed for" if refused else "the library adds the residual stream twice"
        with pytest.raises(ValueError, match=reason):
            load_adapterhub(model, directory)
        assert [name for name, _ in model.named_modules()] == names
        return
    check(load_adapterhub(model, directory), case, configuration)


@pytest.mark.skipif(transformers.__version__ < "5", reason="a T5 has one attention alone")
def test_a_t5_attends_in_the_order_of_the_library() -> None:
    """Its own order rounds otherwise, and the softmax of a fusion magnifies that."""
    directory = DIRECTORY / "t5" / "fusion_seq_bn"
    inputs, _, expected = golden("t5", "fusion_seq_bn")
    model = load_adapterhub(base_model("t5"), directory, "both")
    assert torch.equal(unpadded(output_of(model, inputs), inputs), unpadded(expected, inputs))
    base = model.get_base_model()
    base.set_attn_implementation("sdpa")
    torch.testing.assert_close(output_of(model, inputs), expected, rtol=0, atol=1e-3)
    load_adapterhub(model, directory / "a", "alone")
    assert base.config._attn_implementation == "sdpa"  # a single adapter leaves it
    chosen = base_model("t5")
    chosen.config._attn_implementation_internal = "flash_attention_2"
    assert load_adapterhub(chosen, directory).get_base_model().config._attn_implementation == "flash_attention_2"


@pytest.mark.skipif(transformers.__version__ < "5", reason="a GPT-J has one attention alone")
def test_a_gptj_attends_in_the_order_of_the_library() -> None:
    """Transformers 5 multiplies the scores by `1 / √d`, the library divides them by `√d`."""
    inputs, outputs = golden_of_adapters("gptj")
    model = base_model("gptj")
    torch.testing.assert_close(output_of(model, inputs), outputs["plain"], rtol=0, atol=1e-5)
    attend_in_the_order_of_the_library(model)
    assert model.config._attn_implementation == "eager_divided"
    assert torch.equal(output_of(model, inputs), outputs["plain"])
    weights = model(**inputs, output_attentions=True).attentions[0]
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))
    model.set_attn_implementation("sdpa")
    torch.testing.assert_close(output_of(model, inputs), outputs["plain"], rtol=0, atol=1e-5)
    other = base_model("bert")
    attend_in_the_order_of_the_library(other)
    assert other.config._attn_implementation == "sdpa"


SEQUENTIAL = [("bert", "fusion_seq_bn"), ("gpt2", "fusion_double_seq_bn")]


@pytest.mark.parametrize(("case", "configuration"), SEQUENTIAL)
def test_written_and_loaded_again(case: str, configuration: str, tmp_path: Path) -> None:
    model = load_adapterhub(base_model(case), DIRECTORY / case / configuration, "both")
    save_adapterhub(model, tmp_path, "both")
    for folder in ("a", "b", "fusion"):
        theirs, ours = DIRECTORY / case / configuration / folder, tmp_path / folder
        config = "adapter_fusion_config.json" if folder == "fusion" else "adapter_config.json"
        weights = next(path.name for path in theirs.glob("*.bin"))
        one, other = (torch.load(path / weights, weights_only=True) for path in (theirs, ours))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
        one, other = (json.loads((path / config).read_text(encoding="utf-8")) for path in (theirs, ours))
        differing = {
            key for key in one["config"] if one["config"][key] != other["config"].get(key, one["config"][key])
        }
        assert differing <= {"dropout_prob"}  # written out, where theirs takes the model's
        assert one.get("adapter_names") == other.get("adapter_names")
    check(load_adapterhub(base_model(case), tmp_path), case, configuration)


def test_beside_adapters_that_are_there(tmp_path: Path) -> None:
    directory = DIRECTORY / "bert" / "fusion_seq_bn"
    model = load_adapterhub(base_model("bert"), directory / "a", "a")
    load_adapterhub(model, directory / "b", "b")
    shutil.copytree(directory / "fusion", tmp_path / "alone")
    load_adapterhub(model, tmp_path / "alone", "both")
    assert model.active_adapters == ["a"]
    model.set_adapter("both")
    check(model, "bert", "fusion_seq_bn")


def changed(tmp_path: Path, **fields: Any) -> Path:
    directory = tmp_path / "changed"
    shutil.copytree(DIRECTORY / "bert" / "fusion_seq_bn", directory)
    file = directory / "fusion" / "adapter_fusion_config.json"
    description = json.loads(file.read_text(encoding="utf-8"))
    description["config"] |= fields
    file.write_text(json.dumps(description), encoding="utf-8")
    return directory


def test_refused(tmp_path: Path) -> None:
    model = load_adapterhub(base_model("bert"), DIRECTORY / "bert" / "fusion_seq_bn" / "a", "other")
    directory = changed(tmp_path, residual_before=True, query_before_ln=True, new_field=1)
    with pytest.raises(
        ValueError, match=r"query_before_ln=True .*; residual_before=True .*; unknown field new_field=1"
    ):
        load_adapterhub(model, directory, "both")
    shutil.rmtree(directory)
    directory = changed(tmp_path, key=False)
    with pytest.raises(ValueError, match="it has encoder.layer.0.output.adapter_fusion_layer.key.bias, which the"):
        load_adapterhub(model, directory, "both")
    shutil.rmtree(directory / "b")
    with pytest.raises(ValueError, match=r"the adapters \['b'\] are neither in the model nor beside the fusion"):
        load_adapterhub(model, directory, "both")
    assert list(model.peft_config) == ["other"]
    average(load_adapterhub(model, DIRECTORY / "bert" / "fusion_seq_bn" / "b", "b"), ["other", "b"], "mean")
    with pytest.raises(ValueError, match="the library saves no averages; save .*'other', 'b'"):
        save_adapterhub(model, tmp_path / "mean", "mean")
    assert not (tmp_path / "mean").exists()


@pytest.mark.parametrize(("case", "configuration"), SEQUENTIAL)
def test_converted_there_and_back(
    case: str, configuration: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of a fusion and its adapters, by the command; each is a directory of its own, with one table."""
    base = str(DIRECTORY / case / "base")
    there, back = tmp_path / "peft", tmp_path / "hub"
    shutil.copytree(DIRECTORY / case / configuration, tmp_path / "source")
    assert main(["convert", str(tmp_path / "source"), str(there), "--model", base]) == 0
    assert "3 of 3 adapters converted" in capsys.readouterr().out
    model = PeftModel.from_pretrained(base_model(case), there / "a", adapter_name="a")
    for name in ("b", "fusion"):
        model.load_adapter(there / name, adapter_name=name)
    model.set_adapter("fusion")
    check(model, case, configuration)
    assert main(["convert", str(there), str(back), "--model", base]) == 0
    assert "3 of 3 adapters converted" in capsys.readouterr().out
    check(load_adapterhub(base_model(case), back, "both"), case, configuration)
    for folder in ("a", "b", "fusion"):
        file = next((DIRECTORY / case / configuration / folder).glob("*.bin"))
        one, other = (torch.load(path, weights_only=True) for path in (file, back / folder / file.name))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_fusion_alone_is_not_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(DIRECTORY / "bert" / "fusion_seq_bn" / "fusion", tmp_path / "alone" / "fusion")
    source, base = str(tmp_path / "alone" / "fusion"), str(DIRECTORY / "bert" / "base")
    assert main(["convert", source, str(tmp_path / "new"), "--model", base]) == 2
    assert "the adapters ['a', 'b'] that it is made of are not in folders beside it" in capsys.readouterr().err


def with_a_head(directory: Path, labels: int = 3) -> tuple[Path, dict[str, Tensor]]:
    """The fusion of BERT with a classification head of its own, as `with_head=True` saves it."""
    shutil.copytree(DIRECTORY / "bert" / "fusion_seq_bn", directory)
    generator = torch.Generator().manual_seed(0)
    shapes = {"1.weight": (32, 32), "1.bias": (32,), "4.weight": (labels, 32), "4.bias": (labels,)}
    weights = {f"heads.a,b.{key}": torch.randn(shape, generator=generator) for key, shape in shapes.items()}
    torch.save(weights, directory / "fusion" / "pytorch_model_head.bin")
    file = DIRECTORY / "bert-flex" / "head_classification" / "head_config.json"
    description = json.loads(file.read_text(encoding="utf-8"))
    description["name"] = "a,b"
    description["config"]["num_labels"] = labels
    description["config"]["label2id"] = {f"label {number}": number for number in range(labels)}
    (directory / "fusion" / "head_config.json").write_text(json.dumps(description), encoding="utf-8")
    return directory, weights


def classifier() -> Any:
    return AutoModelForSequenceClassification.from_pretrained(DIRECTORY / "bert" / "base").eval()


def test_a_head_of_its_own(tmp_path: Path) -> None:
    directory, weights = with_a_head(tmp_path / "fusion")
    model = load_adapterhub(classifier(), directory, "both")
    assert model.get_base_model().config.num_labels == 3
    inputs, _, hidden = golden("bert", "fusion_seq_bn")
    first = torch.tanh(F.linear(hidden[:, 0], weights["heads.a,b.1.weight"], weights["heads.a,b.1.bias"]))
    expected = F.linear(first, weights["heads.a,b.4.weight"], weights["heads.a,b.4.bias"])
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(**inputs).logits, expected, rtol=0, atol=1e-4)
    save_adapterhub(model, tmp_path / "again", "both")
    again = torch.load(tmp_path / "again" / "fusion" / "pytorch_model_head.bin", weights_only=True)
    assert again.keys() == weights.keys()
    assert all(torch.equal(again[key], weights[key]) for key in weights)


def test_a_head_of_its_own_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory, weights = with_a_head(tmp_path / "source")
    base = str(DIRECTORY / "bert" / "base")
    assert main(["convert", str(directory), str(tmp_path / "peft"), "--model", base]) == 0
    table = " ".join(capsys.readouterr().out.split())
    assert table.count("AutoModelForSequenceClassification") == 3  # one model has them all
    assert main(["convert", str(tmp_path / "peft"), str(tmp_path / "hub"), "--model", base]) == 0
    again = torch.load(tmp_path / "hub" / "fusion" / "pytorch_model_head.bin", weights_only=True)
    assert all(torch.equal(again[key], weights[key]) for key in weights)


def test_of_the_second_version_with_safetensors(tmp_path: Path) -> None:
    """It names the adapters in the fusion's name, and has no dropout of its own."""
    directory = changed(tmp_path)
    file = directory / "fusion" / "adapter_fusion_config.json"
    description = json.loads(file.read_text(encoding="utf-8"))
    del description["adapter_names"], description["version"], description["config"]["dropout_prob"]
    file.write_text(json.dumps(description), encoding="utf-8")
    names = {"fusion": "pytorch_model_adapter_fusion", "a": "pytorch_adapter", "b": "pytorch_adapter"}
    for folder, name in names.items():
        old = directory / folder / f"{name}.bin"
        new = name.replace("pytorch_model_", "model_").replace("pytorch_", "")
        save_file(torch.load(old, weights_only=True), old.with_name(f"{new}.safetensors"))
        old.unlink()
    check(load_adapterhub(base_model("bert"), directory), "bert", "fusion_seq_bn")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("adapter_names", "a,b", "adapter_names must be a list of names, got 'a,b'"),
        ("name", 3, "name must be a string, got 3"),
        ("config", {"dropout_prob": "high"}, "dropout_prob must be a number or null, got 'high'"),
    ],
)
def test_damaged_descriptions(key: str, value: object, message: str, tmp_path: Path) -> None:
    directory = changed(tmp_path)
    file = directory / "fusion" / "adapter_fusion_config.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | {key: value}), encoding="utf-8")
    with pytest.raises(ValueError, match=f"adapter_fusion_config.json: {message}"):
        load_adapterhub(base_model("bert"), directory)


def test_names_of_the_library_for_configurations(tmp_path: Path) -> None:
    directory = changed(tmp_path)
    file = directory / "fusion" / "adapter_fusion_config.json"
    description = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(description | {"config": "dynamic"}), encoding="utf-8")
    check(load_adapterhub(base_model("bert"), directory), "bert", "fusion_seq_bn")
    file.write_text(json.dumps(description | {"config": "dynamik"}), encoding="utf-8")
    with pytest.raises(ValueError, match="config must be an object or one of static, dynamic, got 'dynamik'"):
        load_adapterhub(base_model("bert"), directory)
