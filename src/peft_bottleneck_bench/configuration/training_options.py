"""The `training:` section: fields of transformers' `TrainingArguments`, and those that this harness adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Defaults of a configuration. `learning_rate` and `warmup_steps` are missing here: they are the method's own
# (`methods.METHODS`).
TRAINING_DEFAULTS: dict[str, object] = {
    "num_train_epochs": 3,
    "per_device_train_batch_size": 32,
    "per_device_eval_batch_size": 64,
    "weight_decay": 0.01,
    "lr_scheduler_type": "linear",
    "eval_strategy": "epoch",
    "save_strategy": "epoch",  # how often a checkpoint is written, from which an interrupted run continues
    "early_stopping_patience": 3,  # evaluations without a better validation score, then training stops; None: never
    "train_sampling_strategy": "group_by_length",
    "generation_max_length": 128,  # of what a model writes, and of the targets it learns from, in tokens
    "generation_num_beams": 1,
    "logging_steps": 0.02,  # a share of all steps: some 50 points of the loss curve, however long the run
}

REUSE = "reuse_frozen_prefix"  # whether the frozen blocks are computed once for each example
# No fields of TrainingArguments, and the types that they have.
OWN: dict[str, object] = {"early_stopping_patience": int | None, REUSE: bool}

ABOVE_ZERO = frozenset(
    {
        "learning_rate",
        "num_train_epochs",
        "per_device_train_batch_size",
        "per_device_eval_batch_size",
        "gradient_accumulation_steps",
        "logging_steps",
        "eval_steps",
        "save_steps",
        "early_stopping_patience",
        "generation_max_length",
        "generation_num_beams",
        "eval_accumulation_steps",
        "torch_empty_cache_steps",
        "dataloader_prefetch_factor",
        "ddp_timeout",
    }
)
NOT_NEGATIVE = frozenset(
    {
        "weight_decay",
        "warmup_steps",
        "max_grad_norm",
        "adam_epsilon",
        "adam_beta1",
        "adam_beta2",
        "label_smoothing_factor",
        "eval_delay",
        "dataloader_num_workers",
        "neftune_noise_alpha",
        "ddp_bucket_cap_mb",
    }
)
BELOW_ONE = frozenset({"adam_beta1", "adam_beta2", "label_smoothing_factor"})

# Fields of plain text whose choices transformers looks at in training alone.
CHOICES = {
    "train_sampling_strategy": ("random", "group_by_length", "sequential"),
    "log_level": ("passive", "debug", "detail", "info", "warning", "error", "critical"),
    "log_level_replica": ("passive", "debug", "detail", "info", "warning", "error", "critical"),
}

# Fields whose value depends on the device of the run, which a dry run on another machine does not have.
OF_THE_DEVICE = frozenset(
    {
        "bf16",
        "fp16",
        "bf16_full_eval",
        "fp16_full_eval",
        "tf32",
        "use_cpu",
        "ddp_backend",
        "torch_compile",
        "torch_compile_backend",
        "torch_compile_mode",
    }
)

# Fields that the harness sets, and what to write instead.
TAKEN = {
    "output_dir": "use `results` and `adapters`",
    "seed": "use `seeds`",
    "data_seed": "use `seeds`",
    "metric_for_best_model": "use the task's `main_metric`",
    "greater_is_better": "the metric knows",
    "load_best_model_at_end": "the best adapter is always restored",
    "save_total_limit": "the latest checkpoint is kept until the run ends",
    "save_only_model": "a run goes on from a whole checkpoint",
    "save_on_each_node": "the main process writes",
    "resume_from_checkpoint": "a run that was cut off goes on by itself",
    "restore_callback_states_from_checkpoint": "a run that was cut off goes on by itself",
    "do_train": "every run trains",
    "do_eval": "every run evaluates",
    "do_predict": "every run predicts",
    "push_to_hub": "push what is below `adapters`",
    "remove_unused_columns": "the kind chooses the columns",
    "disable_tqdm": "progress is shown by the harness",
    "label_names": "the kind chooses the columns",
    "predict_with_generate": "kinds that generate do",
    "generation_config": "use `generation_max_length` and `generation_num_beams`",
    "prediction_loss_only": "every evaluation scores predictions",
    "batch_eval_metrics": "every evaluation scores a whole split",
    "eval_do_concat_batches": "every evaluation scores a whole split",
    "include_for_metrics": "the kind chooses what its metric sees",
    "local_rank": "the launcher knows",
    "fsdp": "each process trains a whole model: docs/guides/many-devices.md",
    "fsdp_config": "each process trains a whole model: docs/guides/many-devices.md",
    "deepspeed": "each process trains a whole model: docs/guides/many-devices.md",
    "parallelism_config": "each process trains a whole model: docs/guides/many-devices.md",
}

# Fields that change how fast a run is or what it prints, not its score.
SCORE_NEUTRAL = frozenset(
    {
        "per_device_eval_batch_size",
        "eval_accumulation_steps",
        "logging_steps",
        "logging_strategy",
        "logging_first_step",
        "logging_nan_inf_filter",
        "log_level",
        "log_level_replica",
        "log_on_each_node",
        "dataloader_num_workers",
        "dataloader_pin_memory",
        "dataloader_persistent_workers",
        "dataloader_prefetch_factor",
        "gradient_checkpointing",
        "gradient_checkpointing_kwargs",
        "torch_empty_cache_steps",
        "save_strategy",
        "save_steps",
        "ddp_timeout",
        "ddp_backend",
        "ddp_bucket_cap_mb",
        "ddp_broadcast_buffers",
        "ddp_find_unused_parameters",
        "ddp_static_graph",
        "use_cpu",
        "report_to",
        "run_name",
        "project",
        "trackio_space_id",
        "trackio_bucket_id",
        "trackio_static_space_id",
    }
)


def score_relevant(training: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that affect the score, sorted: they are part of a run's identity."""
    return {key: training[key] for key in sorted(training) if key not in SCORE_NEUTRAL}
