"""YAML as people write it, and overrides on top."""

from __future__ import annotations

from pathlib import Path

import pytest

from peft_bottleneck_bench.configuration.yaml_files import override, read_yaml
from peft_bottleneck_bench.errors import UserError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("3.0e-4", 0.0003),
        ("5E2", 500.0),
        (".5", 0.5),
        ("-1.", -1.0),
        ("12", 12),
        ("true", True),
        ("no", "no"),
        ("on", "on"),
        ("1.2.3", "1.2.3"),
        ("e5", "e5"),
        ("null", None),
        ("[a, 1]", ["a", 1]),
    ],
)
def test_values_are_read_as_yaml_1_2_reads_them(text: str, value: object) -> None:
    result = override({}, [f"key={text}"])["key"]
    assert result == value
    assert type(result) is type(value)


def test_overrides_reach_inside_and_make_what_is_missing() -> None:
    content = {"training": {"learning_rate": 1.0, "weight_decay": 0.1}, "seeds": [0]}
    changed = override(content, ["training.learning_rate=3e-4", "limits.train=10", "seeds=[1, 2]", "results=a=b"])
    assert changed == {
        "training": {"learning_rate": 3e-4, "weight_decay": 0.1},
        "seeds": [1, 2],
        "limits": {"train": 10},
        "results": "a=b",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training", "override 'training': expected key=value, such as training.learning_rate=3e-4"),
        ("=3", "override '=3': expected key=value, such as training.learning_rate=3e-4"),
        ("model.path=x", "override 'model.path=x': 'model' holds no keys"),
        ("seeds=[1", "override 'seeds=[1', line 1: not valid YAML: expected ',' or ']', but got '<stream end>'"),
    ],
)
def test_a_wrong_override_says_so(text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        override({"model": "somewhere"}, [text])
    assert error.value.messages == (message,)


def test_a_broken_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("model: x\ntasks: [a\nmethods: [b]\n")
    with pytest.raises(UserError, match=rf"^{path}, line 3: not valid YAML: "):
        read_yaml(path)


@pytest.mark.parametrize("text", ["", "- a list", "word"])
def test_a_file_without_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_yaml(path)
    assert error.value.messages == (f"{path}: expected keys and values, such as `model: …`",)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_yaml(tmp_path / "nothing.yaml")
    assert error.value.messages == (f"{tmp_path}/nothing.yaml: no such file",)
