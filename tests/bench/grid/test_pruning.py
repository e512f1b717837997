"""When a trial ends early: by the median of finished trials, and by Hyperband."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from peft_bottleneck_bench.configuration.search_space import Pruning, TrialCurve
from peft_bottleneck_bench.training.callbacks import KeepBest, Prune, PrunedError, is_pruned


def pruning(pruner: str, *finished: tuple[float, ...], number: int = 0, greater: bool = True) -> Pruning:
    curves = {place: TrialCurve(scores, True) for place, scores in enumerate(finished, 1)}
    own = number or len(finished) + 1
    return Pruning(pruner=pruner, greater_is_better=greater, number=own, curves=curves)


@pytest.mark.parametrize("greater", [True, False])
@pytest.mark.parametrize(
    ("scores", "ends"), [((0.2,), True), ((0.9,), False), ((0.9, 0.2), False), ((0.1, 0.75), True)]
)
def test_the_median_is_that_of_the_same_evaluation(scores: tuple[float, ...], ends: bool, greater: bool) -> None:
    """It is 0.5 at the first evaluation and 0.8 at the second; a trial's best score until then counts."""
    sign = 1 if greater else -1
    finished = [tuple(sign * score for score in curve) for curve in ((0.5, 0.9), (0.6, 0.7), (0.4, 0.8))]
    found = pruning("median", *finished, greater=greater)
    assert is_pruned(found, [sign * score for score in scores]) == ends
    assert not is_pruned(pruning("median", finished[0], greater=greater), [sign * -1.0])  # two have to be finished


@pytest.mark.parametrize("greater", [True, False])
def test_hyperband_lets_the_best_third_of_a_rung_go_on(greater: bool) -> None:
    sign = 1 if greater else -1
    finished = [(sign * 0.1 * number,) * 9 for number in range(1, 7)]
    ends = {
        score: [
            number
            for number in range(7, 27)  # the bracket follows from the number
            if is_pruned(pruning("hyperband", *finished, number=number, greater=greater), [sign * score])
        ]
        for score in (0.05, 0.95)
    }
    assert ends[0.95] == []
    assert 0 < len(ends[0.05]) < 20  # brackets differ in how soon they compare


def test_a_trial_is_not_pruned_at_its_last_evaluation() -> None:
    keep_best = KeepBest(Path("none"), "accuracy", greater_is_better=True, patience=None)
    keep_best.best.curve = [(4, 0.2)]
    prune = Prune(keep_best, pruning("median", (0.5, 0.9), (0.6, 0.7)))
    with pytest.raises(PrunedError, match=r"pruned by median at step 4: accuracy 0\.2000") as error:
        prune.on_evaluate(None, SimpleNamespace(global_step=4, max_steps=8), None)
    assert error.value.curve == ((4, 0.2),)
    prune.on_evaluate(None, SimpleNamespace(global_step=8, max_steps=8), None)
