"""The configurations: defaults, what is refused and how, and the way through JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from equations import METHODS
from peft import PeftConfig

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig


def test_defaults() -> None:
    assert (HoulsbyConfig().reduction_factor, HoulsbyConfig().non_linearity, HoulsbyConfig().scaling) == (
        16,
        "swish",
        1,
    )
    assert (PfeifferConfig().reduction_factor, PfeifferConfig().non_linearity) == (16, "relu")
    assert (ParallelAdapterConfig().reduction_factor, ParallelAdapterConfig().scaling) == (2, 4.0)
    assert all(method().init_weights is True for method in METHODS.values())


def test_one_size_is_in_force() -> None:
    assert HoulsbyConfig(bottleneck_size=8).reduction_factor is None
    assert HoulsbyConfig(bottleneck_size=8).size_for("any", 768) == 8
    assert HoulsbyConfig(reduction_factor=16).size_for("any", 768) == 48
    assert HoulsbyConfig(reduction_factor=0.5).size_for("any", 8) == 16
    assert HoulsbyConfig(reduction_factor=16).size_for("any", 8) == 1
    config = HoulsbyConfig(bottleneck_size_pattern={"output.dense": 3})
    assert config.size_for("encoder.layer.0.output.dense", 32) == 3
    assert config.size_for("encoder.layer.0.intermediate.dense", 32) == 2


REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"reduction_factor": 4, "bottleneck_size": 8},
        "reduction_factor and bottleneck_size exclude .*, got 4 and 8",
    ),
    ({"reduction_factor": 0}, "reduction_factor must be a number above 0, got 0"),
    ({"bottleneck_size": 0}, "bottleneck_size must be an integer above 0, got 0"),
    ({"bottleneck_size": 2.5}, "bottleneck_size must be an integer above 0, got 2.5"),
    ({"bottleneck_size_pattern": {"x": 0}}, r"bottleneck_size_pattern\['x'\] must be an integer above 0, got 0"),
    ({"bottleneck_size_pattern": {"(": 1}}, r"bottleneck_size_pattern key is not a regular expression .*, got '\('"),
    ({"non_linearity": "reluu"}, "non_linearity must be one of .*'relu'.*, got 'reluu'; did you mean 'relu'\\?"),
    ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\), got 1.0"),
    ({"scaling": "trained"}, "scaling must be a number, 'learned' or 'channel', got 'trained'"),
    ({"scaling": True}, "scaling must be a number, 'learned' or 'channel', got True"),
    ({"init_weights": "bert"}, "init_weights must be True or False, got 'bert'"),
    ({"init_method": "xavier"}, "init_method must be one of 'kaiming', 'bert', 'houlsby', got 'xavier'"),
    ({"bottleneck": "cubic"}, "bottleneck must be one of 'plain', 'gated'.*, got 'cubic'"),
    ({"target_modules": "("}, r"target_modules is not a regular expression .*, got '\('"),
    ({"layers_to_transform": -1}, "layers_to_transform must be a block index from 0 on, or a list of them, got -1"),
    ({"layers_to_transform": ["0"]}, "layers_to_transform must be a block index"),
    ({"layers_pattern": "layers"}, "`layers_to_transform` must also be specified"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("method", METHODS)
def test_refused_at_construction(method: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        METHODS[method](**values)


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"^HoulsbyConfig: reduction_factor .*; dropout .*"):
        HoulsbyConfig(reduction_factor=-1, dropout=2)


def test_fields_of_one_method() -> None:
    with pytest.raises(ValueError, match=r"parallel_input must be one of .*, got 'both'"):
        ParallelAdapterConfig(parallel_input="both")
    with pytest.raises(TypeError):
        HoulsbyConfig(parallel_input="ffn")  # type: ignore[call-arg]


@pytest.mark.parametrize("method", METHODS)
def test_through_json(method: str, tmp_path: Path) -> None:
    config = METHODS[method](
        bottleneck_size=8, target_modules=["b", "a"], scaling="learned", bottleneck_size_pattern={"x": 2}
    )
    config.save_pretrained(str(tmp_path))
    written = json.loads((tmp_path / "adapter_config.json").read_text(encoding="utf-8"))
    assert written["peft_type"] == method.upper()
    assert sorted(written["target_modules"]) == ["a", "b"]
    read = PeftConfig.from_pretrained(str(tmp_path))
    assert type(read) is type(config)
    assert read.to_dict() == config.to_dict()
