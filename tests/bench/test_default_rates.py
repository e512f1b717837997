"""The defaults of the methods are what the committed search found."""

from __future__ import annotations

import importlib.util
from collections import Counter
from operator import eq
from pathlib import Path

import pytest

from peft_bottleneck_bench import records
from peft_bottleneck_bench.boards.collapses import collapses
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


def test_no_seed_collapses_at_a_default() -> None:
    """The runs of the boards whose rate is the method's default, on the two sets of the search."""
    seen = set()
    for task in ("sst2", "semeval2010_task8"):
        for file in sorted((ROOT / "results" / "encoder" / task).rglob("seed*.json")):
            record = records.read(file)
            training = record.configuration["training"]
            assert isinstance(training, dict)
            method = METHODS[record.method]
            default = method.learning_rate, method.warmup_steps
            if record.method not in SEARCHED or (training["learning_rate"], training["warmup_steps"]) != default:
                continue
            rows = list(records.read_predictions(records.predictions_path(file)))
            predictions, references = [row.prediction for row in rows], [row.reference for row in rows]
            most = Counter(map(str, references)).most_common(1)[0][1] / len(references)
            right = sum(map(eq, predictions, references)) / len(references)
            assert collapses(record, predictions, None, references) == []
            assert right > most + 0.1, file
            seen.add((task, record.method, record.seed))
    assert len([key for key in seen if key[1] == "parallel_adapter"]) == 10
