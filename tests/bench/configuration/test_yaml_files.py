"""YAML as people write it, and overrides on top."""

from __future__ import annotations

import time
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: a\ntasks: b\nmodel: c\n", ", line 3: not valid YAML: key 'model' twice"),
        ("training: {learning_rate: 1, learning_rate: 2}", ", line 1: not valid YAML: key 'learning_rate' twice"),
        ("tasks:\n- name: x\n  labels: [a]\n  labels: [b]\n", ", line 4: not valid YAML: key 'labels' twice"),
        ("training: {learning_rate: 1e400}", ": training.learning_rate: a number beyond 1.8e308"),
        ("seeds: [0, -1e999]", ": seeds[1]: a number beyond 1.8e308"),
        ("max_length: 99999999999999999999", ": max_length: a whole number beyond 9223372036854775807"),
        ("max_length: " + "9" * 5000, ": not valid YAML: Exceeds the limit"),
        ("name: !!binary aGVsbG8=", ": name: expected text, a number, a list or keys and values, found bytes"),
        ("labels: !!set {a, b}", ": labels: expected text, a number, a list or keys and values, found set"),
        ('name: "\\ud800"', ": name: '\\ud800' is half of a surrogate pair, and no text"),
        ("tasks: &a [*a]", ": not valid YAML: an alias refers to itself"),
        ("a: " + "[" * 5000 + "]" * 5000, ": not valid YAML: nested too deeply"),
        ("? [a]\n: 1", ", line 1: not valid YAML: found unhashable key"),
        ("a: !!python/object/apply:os.getcwd []", ", line 1: not valid YAML: could not determine a constructor"),
    ],
)
def test_what_no_configuration_can_hold_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_yaml(path)
    assert error.value.messages[0].startswith(f"{path}{message}")


def test_aliases_are_allowed_and_bombs_are_not(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("one: &one {a: 1, b: 2}\ntwo: *one\nthree: {<<: *one, b: 3}\n")
    assert read_yaml(path) == {"one": {"a": 1, "b": 2}, "two": {"a": 1, "b": 2}, "three": {"a": 1, "b": 3}}
    levels = [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 12)]
    path.write_text("\n".join(["a0: &a0 [x]", *levels]))
    began = time.process_time()
    with pytest.raises(UserError, match="its aliases expand to more than 100,000 values"):
        read_yaml(path)
    assert time.process_time() - began < 1


def test_a_file_that_is_no_configuration_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("a: 1\n" * 2**18)
    with pytest.raises(UserError, match="is larger than 1 MiB, and no run configuration"):
        read_yaml(path)


def test_dates_and_words_of_yaml_1_1_are_text() -> None:
    assert override({}, ["key=[2020-01-01, no, .inf]"])["key"] == ["2020-01-01", "no", ".inf"]
