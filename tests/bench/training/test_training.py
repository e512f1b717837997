"""Training: one order of examples per seed, the best weights restored, and an end where there is no hope."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.run import Run
from peft_bottleneck_bench.saved.parameters import trained_parameters
from peft_bottleneck_bench.training.callbacks import RunError
from peft_bottleneck_bench.training.execute import make_trainer
from peft_bottleneck_bench.training.features import make_features
from peft_bottleneck_bench.training.trainer import RunTrainer
from peft_bottleneck_bench.training.training import Trained, train

Configure = Callable[..., Path]


def one_run(path: Path, *overrides: str) -> Run:
    (run,) = plan(load_configuration(path, overrides))
    return run


def trainer_of(run: Run, folder: Path) -> RunTrainer:
    return make_trainer(run, make_features(run), folder, lambda step, steps: None)


def batches(run: Run, folder: Path) -> list[Any]:
    """The inputs of every training step, as the model sees them."""
    trainer = trainer_of(run, folder)
    seen: list[Any] = []
    trainer.model.register_forward_pre_hook(
        lambda model, _, inputs: seen.append(inputs["input_ids"].tolist()) if model.training else None,
        with_kwargs=True,
    )
    trainer.train()
    return seen


def test_the_seed_alone_decides_the_order_of_examples(configure: Configure, tmp_path: Path) -> None:
    orders = {
        (method, seed): batches(one_run(configure(), f"methods=[{method}]", f"seeds=[{seed}]"), tmp_path)
        for method, seed in (("houlsby", 0), ("lora", 0), ("head_only", 0), ("head_only", 1))
    }
    assert len(orders["lora", 0]) == 8  # 64 examples, 16 a batch, two epochs
    assert orders["houlsby", 0] == orders["lora", 0] == orders["head_only", 0] != orders["head_only", 1]


def test_batches_hold_examples_of_like_length(configure: Configure, tmp_path: Path) -> None:
    run = one_run(configure(methods=["head_only"]), "training.per_device_train_batch_size=8")

    def padding(overrides: tuple[str, ...]) -> int:
        changed = one_run(configure(methods=["head_only"]), "training.per_device_train_batch_size=8", *overrides)
        return sum(row.count(0) for batch in batches(changed, tmp_path) for row in batch)

    assert run.training["train_sampling_strategy"] == "group_by_length"
    assert padding(()) < padding(("training.train_sampling_strategy=random",)) / 2


def test_evaluation_keeps_the_order_of_the_examples(configure: Configure) -> None:
    run = one_run(configure(methods=["head_only"]))
    split = make_features(run)["test"]
    assert list(split.lengths) == sorted(split.lengths, reverse=True)
    texts = [example["text"] for example in run.data.splits["test"]]
    ids = [run.model.tokenizer(text)["input_ids"] for text in texts]
    assert split.restore(split.rows["input_ids"]) == ids


def test_the_best_weights_come_back(configure: Configure, tmp_path: Path) -> None:
    """A learning rate that ruins the model in the second half: the last evaluation is not the best."""
    run = one_run(
        configure(methods=["houlsby"]), "training.num_train_epochs=6", "training.early_stopping_patience=null"
    )
    trainer = trainer_of(run, tmp_path)
    best = {}

    class Ruin(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **event: Any) -> None:
            if state.epoch < 4:
                return
            if not best:
                best.update(load_file(trainer.keep_best.file))
            with torch.no_grad():
                for parameter in trainer.model.parameters():
                    if parameter.requires_grad:
                        parameter.normal_()

    trainer.add_callback(Ruin())
    trained = train(trainer)
    assert trained.best_step <= 16
    assert trained.validation["accuracy"] == max(score for _, score in trained.validation_curve)
    assert trained.validation_curve[-1][1] < trained.validation["accuracy"]
    weights = trained_parameters(trainer.model)
    assert weights.keys() == best.keys()
    assert all(torch.equal(weights[name], best[name]) for name in best)
    assert trainer.evaluate()["eval_metric_accuracy"] == trained.validation["accuracy"]


def run_training(run: Run, folder: Path, steps: list[int]) -> Trained:
    return train(make_trainer(run, make_features(run), folder, lambda step, _: steps.append(step)))


def test_training_stops_when_validation_does_not_improve(configure: Configure, tmp_path: Path) -> None:
    run = one_run(
        configure(methods=["head_only"]),
        "training.num_train_epochs=50",
        "training.learning_rate=1e-12",  # never improves on the first evaluation
        "training.early_stopping_patience=2",
    )
    steps: list[int] = []
    trained = run_training(run, tmp_path, steps)
    assert [step for step, _ in trained.validation_curve] == [4, 8, 12]
    assert trained.best_step == 4
    assert steps == list(range(1, 13))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["checkpoint-8"]  # none to go on from 12


def test_without_evaluation_the_last_weights_count(configure: Configure, tmp_path: Path) -> None:
    run = one_run(configure(methods=["head_only"]), "training.eval_strategy=no")
    trained = run_training(run, tmp_path, [])
    assert trained.best_step == 8
    assert trained.validation["accuracy"] > 0
    assert len(trained.validation_curve) == 1


def test_the_loss_curve_falls_and_times_leave_evaluation_out(configure: Configure, tmp_path: Path) -> None:
    run = one_run(configure(methods=["houlsby"]), "training.num_train_epochs=4")
    trainer = trainer_of(run, tmp_path)
    score = trainer.compute_metrics

    def slow_score(evaluated: Any) -> dict[str, float]:
        time.sleep(0.5)
        return score(evaluated)

    trainer.compute_metrics = slow_score
    start = time.perf_counter()
    trained = train(trainer)
    assert trained.seconds < time.perf_counter() - start - 4 * 0.5
    losses = [loss for _, loss in trained.loss_curve]
    assert [step for step, _ in trained.loss_curve] == list(range(1, 17))
    assert all(math.isfinite(loss) for loss in losses)
    assert sum(losses[-4:]) < sum(losses[:4])
    assert trained.examples_per_second == pytest.approx(4 * 64 / trained.seconds)


def test_a_loss_that_is_no_number_ends_the_run(configure: Configure, tmp_path: Path) -> None:
    run = one_run(configure(methods=["head_only"]))
    trainer = trainer_of(run, tmp_path)
    with torch.no_grad():
        trainer.model.classifier.bias.fill_(float("nan"))
    with pytest.raises(RunError, match=r"^the training loss is nan at step 1: try a lower learning_rate$"):
        train(trainer)
