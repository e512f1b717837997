"""The `training:` section."""

from __future__ import annotations

import pytest

from peft_bottleneck_bench.configuration.training_options import OWN, TRAINING_DEFAULTS, check_training, score_relevant


def test_the_defaults_are_allowed() -> None:
    assert check_training(TRAINING_DEFAULTS) == []
    assert set(OWN) < set(TRAINING_DEFAULTS)


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
            "eval_strategy: epochs is not a valid IntervalStrategy, please select one of ['no', 'steps', 'epoch']",
        ),
    ],
)
def test_what_is_wrong_is_told(training: dict[str, object], message: str) -> None:
    assert check_training(training) == [message]


def test_only_what_decides_the_score_is_part_of_the_identity() -> None:
    assert score_relevant({"logging_steps": 1, "weight_decay": 0.1, "learning_rate": 1}) == {
        "learning_rate": 1,
        "weight_decay": 0.1,
    }
