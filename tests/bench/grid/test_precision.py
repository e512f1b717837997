"""The precision of a configuration: a field of training, which the record shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.grid import plan as planning
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.grid.running import run_grid

Configure = Callable[..., Path]


@pytest.mark.parametrize(
    ("precision", "hardware", "fields"),
    [
        ("fp32", True, {}),
        ("bf16", False, {"bf16": True}),
        ("fp16", False, {"fp16": True}),
        ("auto", True, {"bf16": True}),
        ("auto", False, {}),
    ],
)
def test_a_precision_is_a_field_of_training(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, precision: str, hardware: bool, fields: dict[str, bool]
) -> None:
    monkeypatch.setattr(planning, "has_bf16", lambda: hardware)
    (run,) = plan(load_configuration(configure(methods=["head_only"], precision=precision)))
    assert {key: run.training[key] for key in ("bf16", "fp16") if key in run.training} == fields


def test_the_record_says_what_ran(configure: Configure) -> None:
    outcome = run_grid(plan(load_configuration(configure(methods=["houlsby"], precision="bf16"))))
    (record,) = outcome.records.values()
    assert record.status == "finished"
    assert record.configuration["training"]["bf16"] is True


def test_what_contradicts_it_is_refused(configure: Configure) -> None:
    with pytest.raises(UserError) as error:
        load_configuration(configure(precision="bf16", training={"fp16": True}))
    assert "precision: bf16, and training sets bf16 or fp16: leave one of them out" in error.value.messages[0]
    with pytest.raises(UserError, match=r"precision: expected auto or fp32 or bf16 or fp16, found 'half'"):
        load_configuration(configure(precision="half"))
