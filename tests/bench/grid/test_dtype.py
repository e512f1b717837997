"""`dtype` in a configuration: the type of the frozen base, which the record and the saved run keep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from peft_bottleneck_bench.api import predict
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.grid.running import run_grid
from peft_bottleneck_bench.records import read_predictions
from peft_bottleneck_bench.run import Run
from peft_bottleneck_bench.saved.saved import Saved
from peft_bottleneck_bench.training.execute import make_trainer
from peft_bottleneck_bench.training.features import make_features

Configure = Callable[..., Path]
METHODS = ["houlsby", "pfeiffer", "parallel_adapter", "lora", "ia3", "head_only"]


def planned(file: Path) -> list[Run]:
    return plan(load_configuration(file))


def test_runs_on_a_base_in_bfloat16(configure: Configure) -> None:
    file = configure(methods=METHODS, dtype="bfloat16", precision="bf16")
    outcome = run_grid(planned(file))
    assert len(outcome.records) == len(METHODS)
    for path, record in outcome.records.items():
        assert record.status == "finished", record.reason
        assert record.configuration["model"]["dtype"] == "bfloat16"
        assert record.model == "tiny_bert-bfloat16"
        folder = Path(str(path).replace("/results/", "/results-adapters/")).with_suffix("")
        assert Saved.read(folder).base().dtype == "bfloat16"
        expected = [row.prediction for row in read_predictions(path.with_name(str(record.predictions)))]
        test_file = Path(file.parent, "test.jsonl")
        assert [row["label"] for row in predict(folder, test_file)] == expected


def test_a_frozen_base_has_the_type_and_what_is_trained_float32(configure: Configure, tmp_path: Path) -> None:
    (run,) = planned(configure(methods=["houlsby"], dtype="bfloat16", precision="bf16"))
    trainer = make_trainer(run, make_features(run), tmp_path, lambda step, steps: None)
    types = {(parameter.requires_grad, parameter.dtype) for parameter in trainer.model.parameters()}
    assert types == {(True, torch.float32), (False, torch.bfloat16), (False, torch.float32)}
    in_float32 = {name for name, p in trainer.model.named_parameters() if p.dtype == torch.float32}
    assert all("houlsby" in name or "classifier" in name or "pooler" in name for name in in_float32)


def test_another_type_is_another_run(configure: Configure) -> None:
    hashes = {planned(configure(methods=["lora"], precision="bf16", dtype=dtype))[0].hash for dtype in (None, "auto")}
    assert len(hashes) == 1  # what is the default leaves the identity of older runs as it is
    others = {
        planned(configure(methods=["lora"], precision="bf16", dtype=dtype))[0].hash
        for dtype in ("float32", "bfloat16")
    }
    assert len(hashes | others) == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dtype": "half"}, "dtype: expected auto or float32 or bfloat16 or float16, found 'half'"),
        ({"dtype": ["bfloat16"]}, r"dtype: expected auto or .*, found \['bfloat16'\]"),
        ({"dtype": "bfloat16"}, "dtype: bfloat16 needs computations of that type: set `precision: bf16`"),
        ({"dtype": "float16", "precision": "bf16"}, "dtype: float16 needs .*: set `precision: fp16`"),
        (
            {"dtype": "bfloat16", "precision": "bf16", "methods": ["full"]},
            "method 'full' trains the base itself, and dtype: bfloat16 is for a frozen base",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_a_run(configure: Configure, fields: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        planned(configure(**{"methods": ["lora"], **fields}))
