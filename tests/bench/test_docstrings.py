"""The examples in docstrings hold."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("module", ["kinds.prompts", "data.schemes", "metrics.words"])
def test_the_examples_hold(module: str) -> None:
    failed, tried = doctest.testmod(import_module(f"peft_bottleneck_bench.{module}"))
    assert tried
    assert not failed
