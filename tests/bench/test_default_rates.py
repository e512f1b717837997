"""The defaults of the methods are what the committed search found."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from peft_bottleneck_bench.models.methods import METHODS

ROOT = Path(__file__).parents[2]
SEARCHED = ("houlsby", "pfeiffer", "parallel_adapter", "lora", "ia3", "bias_tuning", "full", "head_only")

spec = importlib.util.spec_from_file_location("choose_defaults", ROOT / "benchmarks" / "choose_defaults.py")
assert spec is not None
assert spec.loader is not None
choose_defaults = importlib.util.module_from_spec(spec)
spec.loader.exec_module(choose_defaults)
FOUND = choose_defaults.shortfalls(choose_defaults.RECORDS)


def test_every_method_had_the_same_trials() -> None:
    assert sorted(FOUND) == sorted(SEARCHED)
    (settings,) = {tuple(sorted(found)) for found in FOUND.values()}
    assert len(settings) == 10


@pytest.mark.parametrize("name", SEARCHED)
def test_the_default_is_the_best_of_them(name: str) -> None:
    method = METHODS[name]
    assert (method.learning_rate, method.warmup_steps) == choose_defaults.chosen(FOUND[name])


def test_the_shortfall_is_the_mean_over_both_sets_of_what_is_missing_to_the_best() -> None:
    settings = FOUND["parallel_adapter"]
    assert min(settings.values()) >= 0
    assert choose_defaults.chosen({(3e-3, 0.06): 0.1, (1e-3, 0.2): 0.1, (1e-4, 0.06): 0.2}) == (1e-3, 0.2)
