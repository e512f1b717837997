"""The `training:` section."""

from __future__ import annotations

from pathlib import Path

import pytest

from peft_bottleneck_bench.configuration.training_checks import check_training
from peft_bottleneck_bench.configuration.training_options import OWN, REUSE, TRAINING_DEFAULTS, score_relevant
from peft_bottleneck_bench.training.training import training_arguments


def test_the_defaults_are_allowed() -> None:
    assert check_training(TRAINING_DEFAULTS) == []
    assert set(OWN) - {REUSE} < set(TRAINING_DEFAULTS)  # the default of REUSE is that of the configuration


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"learning_rate": "fast"}, "learning_rate: expected a number, found 'fast'"),
        ({"learning_rate": True}, "learning_rate: expected a number, found True"),
        ({"learning_rate": 0}, "learning_rate: expected a number above 0, found 0"),
        ({"per_device_train_batch_size": 1.5}, "per_device_train_batch_size: expected a whole number, found 1.5"),
        ({"early_stopping_patience": "no"}, "early_stopping_patience: expected a whole number or null, found 'no'"),
        ({"num_train_epoch": 1}, "num_train_epoch: unknown field: did you mean 'num_train_epochs'?"),
        ({"output_dir": "x"}, "output_dir: is set by the harness: use `results` and `adapters`"),
        (
            {"eval_strategy": "epochs"},
            "eval_strategy: unknown choice 'epochs': did you mean 'epoch'?",
        ),
    ],
)
def test_what_is_wrong_is_told(training: dict[str, object], message: str) -> None:
    assert check_training(training) == [message]


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"optim": "adam"}, "optim: unknown choice 'adam': did you mean 'adamw_torch'?"),
        ({"optim": "adamw_torh"}, "optim: unknown choice 'adamw_torh': did you mean 'adamw_torch'?"),
        ({"train_sampling_strategy": "lengths"}, "train_sampling_strategy: unknown choice 'lengths': "),
        ({"torch_compile_backend": "inducter"}, "torch_compile_backend: unknown choice 'inducter': did you mean 'ind"),
        ({"torch_compile_mode": "max"}, "torch_compile_mode: unknown choice 'max': did you mean 'max-autotune'?"),
        ({"ddp_backend": "ncll"}, "ddp_backend: unknown choice 'ncll': did you mean 'nccl'?"),
        ({"log_level": "loud"}, "log_level: unknown choice 'loud': "),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps: expected a number above 0, found 0"),
        ({"generation_num_beams": -1}, "generation_num_beams: expected a number above 0, found -1"),
        ({"weight_decay": -0.1}, "weight_decay: expected a number from 0 on, found -0.1"),
        ({"adam_beta2": 1.5}, "adam_beta2: expected a number below 1, found 1.5"),
        ({"max_steps": 0}, "max_steps: expected a number above 0, or -1 for as many as the epochs have, found 0"),
        ({"fsdp": "full_shard"}, "fsdp: is set by the harness: each process trains a whole model"),
        ({"prediction_loss_only": True}, "prediction_loss_only: is set by the harness: every evaluation scores"),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, "lr_scheduler_type: One of min_lr or min_lr_rate should be set"),
        ({"dataloader_prefetch_factor": 2}, "dataloader_prefetch_factor: --dataloader_prefetch_factor can only be"),
        ({"save_strategy": "steps", "save_steps": 2.5}, "save_strategy and save_steps: --save_steps must be an int"),
        ({"fp16": True, "bf16": True}, "bf16: fp16 is on too: choose one of them"),
        ({"optim_args": "x"}, "optim_args: "),
        ({"report_to": ["tensorbord"]}, "report_to: unknown choice 'tensorbord': did you mean 'tensorboard'?"),
        ({"report_to": 3}, "report_to: expected null or text or a list, found 3"),
        ({"eval_steps": "often"}, "eval_steps: expected a number or null, found 'often'"),
        ({"lr_scheduler_kwargs": 3}, "lr_scheduler_kwargs: expected keys and values or text or null, found 3"),
    ],
)
def test_what_transformers_would_refuse_later_is_told(training: dict[str, object], message: str) -> None:
    (found,) = check_training(training)
    assert found.startswith(message)


@pytest.mark.parametrize(
    "training",
    [
        {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1e-5}},
        {"dataloader_prefetch_factor": 2, "dataloader_num_workers": 1},
        {"eval_strategy": "steps", "eval_steps": 10, "save_strategy": "steps", "save_steps": 10},
        {"bf16": True},
        {"bf16": True, "use_cpu": True},
        {"fp16": True},
        {"tf32": True},
        {"torch_compile": True, "torch_compile_backend": "inductor", "ddp_backend": "nccl"},
        {"torch_compile_backend": None},
        {"optim": "adafactor"},
        {"max_steps": -1},
        {"early_stopping_patience": None},
        {"weight_decay": 0},
    ],
)
def test_what_fits_together_passes_wherever_it_is_checked(training: dict[str, object]) -> None:
    """A login node has no GPU, and a run on another machine may have one."""
    assert check_training(training) == []


def test_each_smallest_set_of_fields_is_blamed() -> None:
    found = check_training(
        {
            "optim": "adam",
            "lr_scheduler_type": "cosine_with_min_lr",
            "lr_scheduler_kwargs": {"min_lr": 1e-5},
            "logging_steps": 1.5,
            "weight_decay": 0.1,
        }
    )
    assert sorted(message.partition(":")[0] for message in found) == ["logging_steps", "optim"]


def test_only_what_decides_the_score_is_part_of_the_identity() -> None:
    assert score_relevant({"logging_steps": 1, "weight_decay": 0.1, "learning_rate": 1}) == {
        "learning_rate": 1,
        "weight_decay": 0.1,
    }


def test_trackers_pass_through_and_change_no_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        "peft_bottleneck_bench.configuration.training_checks.get_available_reporting_integrations", lambda: ["wandb"]
    )
    assert check_training({"report_to": ["wandb"], "project": "adapters"}) == []
    assert check_training({"report_to": "mlflow"}) == ["report_to: 'mlflow' is not installed"]
    assert score_relevant({"report_to": ["wandb"], "project": "adapters", "run_name": "one"}) == {}
    arguments = training_arguments({"report_to": ["wandb"]}, seed=0, folder=tmp_path, name="words · houlsby · seed 0")
    assert arguments.report_to == ["wandb"]
    assert arguments.run_name == "words · houlsby · seed 0"
    assert training_arguments({"run_name": "mine"}, seed=0, folder=tmp_path, name="other").run_name == "mine"
    assert training_arguments({}, seed=0, folder=tmp_path).report_to == []
