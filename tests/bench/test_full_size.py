"""The configurations that need a GPU and the hub run on tiny models and embedded data."""

from __future__ import annotations

import copy
from pathlib import Path

from tiny_task import save_model
from transformers import PreTrainedTokenizerFast

from peft_bottleneck_bench import load_configuration, plan, run_grid
from peft_bottleneck_bench.api import Plan

CONFIGS = Path(__file__).parents[2] / "configs" / "full_size"


def planned(name: str, tasks: str, model: Path, results: Path) -> Plan:
    overrides = (
        f"tasks=[{tasks}]",
        f"model={model}",
        f"results={results}",
        "seeds=[0]",
        "search.trials=2",
        "limits={train: 8, validation: 4, test: 4}",
        "max_length=64",
        "training.num_train_epochs=1",
        "training.generation_max_length=4",
    )
    return plan(load_configuration(CONFIGS / f"{name}.yaml", overrides))


def test_glue(bert: Path, tmp_path: Path) -> None:
    whole = planned("glue", "tiny_sentiment", bert, tmp_path / "results")
    assert len(whole.searches) == 7
    assert run_grid(whole).failed == 0


def test_gsm8k(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    ending = copy.deepcopy(tokenizer)
    ending.eos_token = "[SEP]"
    llama = save_model("llama", tmp_path / "tiny_llama", ending, num_key_value_heads=2)
    whole = planned("gsm8k", "tiny_summaries", llama, tmp_path / "results")
    assert (len(whole.searches), len(whole.runs)) == (4, 1)
    assert run_grid(whole).failed == 0


def test_every_full_size_configuration_is_run_here() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == {"glue", "gsm8k"}
