"""Callbacks of a training: they keep the best weights on validation, show steps, and end a diverged training."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save_file
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .. import interruption, processes
from ..configuration.search_space import Pruning
from ..saved.parameters import trained_parameters
from .checkpoints import Best

if TYPE_CHECKING:
    from optuna.trial import Trial

# Set before the metric's own scores, to tell them from those that transformers adds (loss, runtime).
PREFIX = "eval_metric_"
STARTUP_TRIALS = 2  # finished trials before the median prunes any


class RunError(Exception):
    """A training that cannot go on; the message is the reason in its record."""


class PrunedError(RunError):
    """A trial that a pruner has ended.

    Args:
        curve: `[step, score]` of its evaluations.
    """

    def __init__(self, reason: str, curve: Sequence[tuple[int, float]]) -> None:
        super().__init__(reason)
        self.curve = tuple(curve)


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
    """Ends a trial whose validation scores are worse than those of other trials, as `is_pruned` decides."""

    def __init__(self, keep_best: KeepBest, pruning: Pruning) -> None:
        self.keep_best = keep_best
        self.pruning = pruning

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        curve = self.keep_best.best.curve  # that of earlier starts included
        if state.global_step < state.max_steps and is_pruned(self.pruning, [score for _, score in curve]):
            step, score = curve[-1]
            reason = f"pruned by {self.pruning.pruner} at step {step}: {self.keep_best.metric} {score:.4f}"
            raise PrunedError(reason, curve)


def is_pruned(pruning: Pruning, scores: Sequence[float]) -> bool:
    """Whether Optuna's pruner ends a trial with these validation scores, one for each evaluation until now.

    Trials are compared at the evaluation of the same number. `median`: after two finished trials, one whose best score
    is below the median of theirs ends. `hyperband` (Li et al. 2018, https://arxiv.org/abs/1603.06560): a trial belongs
    to a bracket by its number, and at each rung of it the best third goes on.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    longest = max((len(curve.scores) for curve in pruning.curves.values() if curve.finished), default=0)
    if not longest:
        return False  # there is nothing to compare with
    pruners: dict[str, optuna.pruners.BasePruner] = {
        "median": optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS),
        "hyperband": optuna.pruners.HyperbandPruner(max_resource=longest),
    }
    direction = "maximize" if pruning.greater_is_better else "minimize"
    # The pruner of Hyperband chooses the bracket by the study's name and the trial's number.
    study = optuna.create_study(study_name="search", direction=direction, pruner=pruners[pruning.pruner])
    for number in range(1, max(pruning.number, *pruning.curves) + 1):
        trial = study.ask()
        if number == pruning.number:
            own = trial
        elif number not in pruning.curves:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            curve = pruning.curves[number]
            _reported(trial, curve.scores)
            state = optuna.trial.TrialState.COMPLETE if curve.finished else optuna.trial.TrialState.PRUNED
            study.tell(trial, curve.scores[-1] if curve.finished else None, state=state)
    return _reported(own, scores)


def _reported(trial: Trial, scores: Sequence[float]) -> bool:
    """Whether the pruner ends `trial` at the last of `scores`; it keeps what it has seen of the trial."""
    ends = False
    for evaluation, score in enumerate(scores, 1):
        trial.report(score, evaluation)
        ends = trial.should_prune()
    return ends


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
