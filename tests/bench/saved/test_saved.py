"""The folder that a run saved: what is damaged, missing or changed is one line that names the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_task import make_tokenizer, save_model, sentences, write_rows

from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.saved.saved import Saved

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one run of houlsby saved."""
    folder = tmp_path_factory.mktemp("trained")
    base = save_model("bert", folder / "tiny_bert", make_tokenizer(), max_position_embeddings=64)
    files = {
        split: str(write_rows(folder / f"{split}.jsonl", sentences(8))) for split in ("train", "validation", "test")
    }
    configuration = folder / "run.yaml"
    content = {
        "model": str(base),
        "tasks": [{"name": "words", "kind": "classification", "data": files}],
        "methods": ["houlsby"],
        "training": {"num_train_epochs": 1},
        "results": str(folder / "results"),
    }
    configuration.write_text(json.dumps(content))
    assert main(["run", str(configuration)]) == 0
    (file,) = (folder / "results-adapters").rglob("run.json")
    return file.parent


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        Saved.read(folder)
    (message,) = error.value.messages
    return message


def described(folder: Path, **changes: Any) -> None:
    """Writes `run.json` with some values changed, and without the hash of the weights."""
    content = json.loads((folder / "run.json").read_text())
    content["sha256"].pop(WEIGHTS, None)
    (folder / "run.json").write_text(json.dumps({**content, **changes}))


def test_the_files_of_a_run_are_known_by_their_hashes(copy: Path) -> None:
    hashes = Saved.read(copy).content.sha256
    assert set(hashes) == {WEIGHTS, "adapter_config.json"}
    assert hashes[WEIGHTS] == Saved.read(copy).sha256
    (copy / "README.md").write_text("notes of one's own")
    assert Saved.read(copy).content.sha256 == hashes


@pytest.mark.parametrize("name", [WEIGHTS, "adapter_config.json"])
def test_a_changed_file_is_refused(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[-2] ^= 1
    (copy / name).write_bytes(content)
    assert refused(copy) == f"{copy / name}: not as the run saved it: its SHA-256 is not the one in run.json"
    (copy / name).unlink()
    assert refused(copy).endswith(": no such file")


def test_weights_of_another_training_are_refused(copy: Path) -> None:
    weights = load_file(copy / WEIGHTS)
    save_file({name: torch.zeros_like(tensor) for name, tensor in weights.items()}, copy / WEIGHTS)
    assert "not as the run saved it" in refused(copy)


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"not weights at all", b"\xff" * 8, None])
def test_damaged_weights_without_a_hash_are_refused(copy: Path, content: bytes | None) -> None:
    described(copy)
    whole = (copy / WEIGHTS).read_bytes()
    (copy / WEIGHTS).write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert refused(copy).startswith(f"{copy / WEIGHTS}: damaged: ")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.nan, "holds NaN or an infinite value"),
        (-torch.inf, "holds NaN or an infinite value"),
        (torch.int32, "is of type I32"),
        (torch.bool, "is of type BOOL"),
    ],
)
def test_weights_that_no_training_leaves_are_refused(
    copy: Path, value: float | torch.dtype, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    described(copy)
    weights = load_file(copy / WEIGHTS)
    name = max(weights)
    weights[name] = (
        weights[name].to(value) if isinstance(value, torch.dtype) else torch.full_like(weights[name], value)
    )
    save_file(weights, copy / WEIGHTS)
    assert main(["predict", str(copy), "some text"]) == 2
    assert capsys.readouterr().err.splitlines() == [f"error: {copy / WEIGHTS}: damaged: '{name}' {message}"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON: "),
        ("{", "not JSON: "),
        ("[]", "Input should be an object"),
        ('"text"', "Input should be an object"),
        ("{}", "it lacks 'kind': another version of peft-bottleneck saved it"),
        ("[" * 100_000, "not JSON: "),
        ("\x00", "not JSON: "),
    ],
)
def test_a_damaged_description_is_refused(copy: Path, text: str, message: str) -> None:
    (copy / "run.json").write_text(text)
    assert refused(copy).startswith(f"{copy / 'run.json'}: {message}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "poetry"}, "unknown kind 'poetry': choose from classification, "),
        ({"kind": None}, "kind: Input should be a valid string"),
        ({"method": "lorra"}, "unknown method 'lorra': did you mean 'lora'?"),
        ({"options": {"r": 3}}, "method 'houlsby': unknown option 'r'"),
        ({"options": []}, "options: Input should be an object"),
        ({"labels": "positive"}, "labels: Input should be a valid array"),
        ({"labels": [1, 2]}, "labels.0: Input should be a valid string"),
        ({"max_length": 0}, "max_length: Input should be greater than 0"),
        ({"seed": "0"}, "seed: Input should be a valid integer"),
        ({"seed": -1}, "seed: Input should be greater than or equal to 0"),
        ({"seed": 2**32}, "seed: Input should be less than"),
        ({"inputs": []}, "inputs: Tuple should have at least 1 item"),
        ({"spread": 0}, "spread: Input should be greater than 0"),
        ({"center": 10**400}, "center: Input should be a"),
        ({"model": {"sha256": 3}}, "model.sha256: Input should be a valid string"),
        ({"sha256": {"../../run.json": "0"}}, "not as the run saved it"),
    ],
)
def test_a_wrong_description_is_refused(copy: Path, changes: dict[str, Any], message: str) -> None:
    described(copy, **changes)
    assert message in refused(copy)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON: "),
        ("[" * 100_000, "not JSON: maximum recursion depth exceeded"),
        ('{"r": ' + "9" * 6000 + "}", "not JSON: Exceeds the limit"),
        ("[]", "must hold an object, got list"),
        ("5", "must hold an object, got int"),
        ('{"bottleneck_size": 4}', "it lacks 'peft_type', the name of a method"),
        ('{"peft_type": "HOULSBI"}', "unknown peft_type 'HOULSBI': did you mean 'HOULSBY'?"),
        ('{"peft_type": ["HOULSBY"]}', "unknown peft_type ['HOULSBY']: "),
    ],
)
def test_a_damaged_configuration_of_an_adapter_is_refused(copy: Path, text: str, message: str) -> None:
    content = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**content, "sha256": {}}))
    (copy / "adapter_config.json").write_text(text)
    assert refused(copy).startswith(f"{copy / 'adapter_config.json'}: {message}")


@pytest.mark.parametrize("spoil", ["description", "weights", "configuration", "shape"])
@pytest.mark.parametrize("command", ["predict", "run"])
def test_a_damaged_folder_is_one_line_and_exit_code_2(
    configure: Callable[..., Path], copy: Path, spoil: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    if spoil == "description":
        (copy / "run.json").write_text("{")
    elif spoil == "weights":
        (copy / WEIGHTS).write_bytes(b"PK")
    elif spoil == "configuration":
        (copy / "adapter_config.json").write_text("{}")
    else:  # by someone who keeps no hashes
        content = json.loads((copy / "run.json").read_text())
        del content["sha256"]
        (copy / "run.json").write_text(json.dumps(content))
        weights = load_file(copy / WEIGHTS)
        save_file({name: tensor.flatten()[:1].clone() for name, tensor in weights.items()}, copy / WEIGHTS)
    arguments = ["predict", str(copy), "a good film"]
    if command == "run":
        model = json.loads((copy / "run.json").read_text())["model_name"] if spoil != "description" else "nowhere"
        arguments = ["run", str(configure(model=model)), "--init-adapter", str(copy), "--dry-run"]
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")
    assert str(copy) in err


@pytest.mark.parametrize(
    "order", [["{}", "--json", "a good film"], ["--json", "{}", "a good film"], ["{}", "a good film", "--json"]]
)
def test_options_and_texts_of_predict_come_in_any_order(
    trained: Path, order: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["predict", *(word.format(trained) for word in order)]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "a good film"
    assert main(["predict", str(trained), "--json", "one", "--batch-size", "1", "two", "--", "-three"]) == 0
    assert [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()] == ["one", "two", "-three"]
