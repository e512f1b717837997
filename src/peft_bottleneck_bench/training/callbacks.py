"""Callbacks of a training: they keep the best weights on validation, show steps, and end a diverged training."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .. import interruption, processes
from ..configuration.search_space import Pruning
from ..saved.parameters import trained_parameters
from .checkpoints import Best

# Set before the metric's own scores, to tell them from those that transformers adds (loss, runtime).
PREFIX = "eval_metric_"
STARTUP_TRIALS = 2  # finished trials before the median prunes any


class RunError(Exception):
    """A training that cannot go on; the message is the reason in its record."""


class KeepBest(TrainerCallback):  # type: ignore[misc]
    """Saves the trained parameters whenever validation improves, and stops when it has not for `patience` times.

    Only what is trained is written, so this is as cheap for a large base as for a small one.
    """

    def __init__(self, file: Path, metric: str, *, greater_is_better: bool, patience: int | None) -> None:
        self.file = file
        self.metric = metric
        self.sign = 1 if greater_is_better else -1
        self.patience = patience
        self.best = Best()

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        metrics: Mapping[str, float],
        model: nn.Module,
        **event: object,
    ) -> None:
        scores = {name.removeprefix(PREFIX): value for name, value in metrics.items() if name.startswith(PREFIX)}
        score = scores[self.metric]
        best = self.best
        best.curve.append((state.global_step, score))
        if not best.validation or self.sign * score > self.sign * best.validation[self.metric]:
            best.validation, best.step, best.waited = scores, state.global_step, 0
            if processes.is_main():
                save_file(trained_parameters(model), self.file)
            return
        best.waited += 1
        if self.patience is not None and best.waited >= self.patience:
            control.should_training_stop = True
            control.should_save = (
                False  # the training ends here, and a checkpoint would make a later start go on with it
            )

    def resume(self, best: Best, weights: Path) -> None:
        """Continues from an earlier start: the facts on the `best` weights, and the file that holds them."""
        self.best = best.model_copy(deep=True)
        if best.validation and processes.is_main():
            shutil.copyfile(weights, self.file)


class Prune(TrainerCallback):  # type: ignore[misc]
    """Ends a trial whose validation scores are worse than those of finished trials, as Optuna's pruners decide."""

    def __init__(self, metric: str, pruning: Pruning) -> None:
        import optuna
        from optuna.trial import create_trial

        pruners: dict[str, optuna.pruners.BasePruner] = {
            "median": optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS),
            "hyperband": optuna.pruners.HyperbandPruner(),
        }
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.metric = metric
        self.pruner = pruning.pruner
        direction = "maximize" if pruning.greater_is_better else "minimize"
        study = optuna.create_study(direction=direction, pruner=pruners[pruning.pruner])
        for curve in pruning.curves:
            study.add_trial(create_trial(value=curve[-1][1], intermediate_values=dict(curve)))
        self.trial = study.ask()

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **_: object,
    ) -> None:
        score = metrics[PREFIX + self.metric]
        self.trial.report(score, state.global_step)
        if self.trial.should_prune():
            raise RunError(f"pruned by {self.pruner} at step {state.global_step}: {self.metric} {score:.4f}")


class Watch(TrainerCallback):  # type: ignore[misc]
    """Reports progress, and ends a training whose loss is no longer a number, or that a signal has asked to end."""

    def __init__(self, on_step: Callable[[int, int], None]) -> None:
        self.on_step = on_step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        interruption.check()
        self.on_step(state.global_step, state.max_steps)

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        interruption.check()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float],
        **_: object,
    ) -> None:
        loss = logs.get("loss", 0.0)
        if not math.isfinite(loss):
            raise RunError(f"the training loss is {loss} at step {state.global_step}: try a lower learning_rate")
