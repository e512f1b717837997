"""Trackers see each run by itself, and what they write stays."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from peft_bottleneck_bench import load_configuration, plan, run_grid
from peft_bottleneck_bench.training.trackers import TENSORBOARD, tracked

Configure = Callable[..., Path]


@pytest.mark.parametrize("named", [False, True])
def test_tensorboard_keeps_the_curves_of_every_run(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    if named:
        monkeypatch.setenv(TENSORBOARD, str(tmp_path / "logs"))
    else:
        monkeypatch.delenv(TENSORBOARD, raising=False)
    path = configure(methods=["head_only"], seeds=[0, 1], training={"report_to": ["tensorboard"]})
    whole = plan(load_configuration(path))
    assert run_grid(whole).failed == 0
    for run in whole.runs:
        folder = (tmp_path / "logs" if named else Path(f"{run.results}-logs")) / run.place
        (file,) = folder.glob("events.out.tfevents.*")
        events = accumulators.EventAccumulator(str(file))
        events.Reload()
        steps = [event.step for event in events.Scalars("train/loss")]
        assert steps == sorted(steps)
        assert len(steps) > 1
    assert os.environ.get(TENSORBOARD) == (str(tmp_path / "logs") if named else None)


def test_weights_and_biases_closes_with_the_run(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = plan(load_configuration(configure(methods=["head_only"], seeds=[0]))).runs
    finished = []
    wandb = SimpleNamespace(run=object(), finish=lambda: finished.append(True))
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    with pytest.raises(RuntimeError), tracked(run):
        raise RuntimeError
    assert finished == [True]
    wandb.run = None
    with tracked(run):
        pass
    assert finished == [True]
