"""A search: as many trials for every method, the winner by validation alone, and records that say so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from peft_bottleneck_bench import records
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.configuration.search_space import Pruning
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.grid.running import run_grid
from peft_bottleneck_bench.grid.search import Search, plan_grid
from peft_bottleneck_bench.run import Run
from peft_bottleneck_bench.training.callbacks import PREFIX, Prune, RunError

pytest.importorskip("optuna")

Configure = Callable[..., Path]
RATES = [1e-5, 0.01]


def planned(path: Path, *overrides: str) -> tuple[list[Run], list[Search]]:
    return plan_grid(load_configuration(path, overrides))


def searching(configure: Configure, **changes: Any) -> Path:
    training = {"num_train_epochs": 2, "per_device_train_batch_size": 16}
    search = {"trials": 2, "space": {"learning_rate": RATES}}
    return configure(**{"methods": ["head_only"], "seeds": [0, 1], "training": training, "search": search, **changes})


def leave(trial: Run, validation: float, test: float = 0.0, **changes: Any) -> None:
    """A record of `trial` as if it had run."""
    from peft_bottleneck_bench.training.execute import failed

    record = failed(trial, "none")
    scores = records.Scores(validation={record.main_metric: validation}, test={record.main_metric: test})
    known = dict.fromkeys(("trainable_parameters", "total_parameters", "peak_memory_bytes", "adapter_bytes"), 1)
    trained = {"train_seconds": 1.0, "train_examples_per_second": 1.0}
    records.write(
        record.replace(**{"status": "finished", "reason": None, "metrics": scores, **known, **trained, **changes}),
        trial.record_path,
    )


def test_the_best_trial_on_validation_runs_with_all_seeds(configure: Configure, tmp_path: Path) -> None:
    runs, (search,) = planned(searching(configure))
    assert runs == []
    state = search.state()
    rates = [trial.training["learning_rate"] for trial in state.trials]
    assert sorted(rates) == RATES
    assert [str(trial) for trial in state.trials] == [
        f"words · head_only · tiny_bert · trial {number} of 2 (learning_rate {rate})"
        for number, rate in enumerate(rates, 1)
    ]
    assert {trial.seed for trial in state.trials} == {1000}
    assert (state.missing, state.winner) == (2, None)
    outcome = run_grid(runs, [search])
    assert outcome.failed == 0
    trials, _ = records.read_all(tmp_path / "results-search")
    scores = {
        record.configuration["training"]["learning_rate"]: record.metrics.validation["accuracy"]
        for record in trials.values()
    }
    assert scores[0.01] > scores[1e-5]  # the task can be learnt, and at 1e-5 it is not
    finals, _ = records.read_all(tmp_path / "results")
    assert finals == outcome.records
    assert [record.seed for record in finals.values()] == [0, 1]
    for record in finals.values():
        assert record.configuration["training"]["learning_rate"] == 0.01
        assert record.configuration["search"] == {
            "trials": 2,
            "seed": 1000,
            "sampler": "quasi_random",
            "pruner": "none",
            "space": {"learning_rate": RATES},
            "winner": rates.index(0.01) + 1,
        }
    kept = {path.parent.name.partition("-")[0] for path in (tmp_path / "results-adapters").rglob("run.json")}
    assert kept == {"seed0", "seed1"}


def test_a_second_start_has_nothing_to_do(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(searching(configure, seeds=[0]))
    assert main(["run", path]) == 0
    assert re.findall(r"^\[\d/3", capsys.readouterr().out, re.MULTILINE) == ["[1/3", "[2/3", "[3/3"]
    assert main(["run", path]) == 0
    assert "3 of 3 runs are finished already and are skipped\n" in capsys.readouterr().out


def test_every_method_has_as_many_trials_on_its_own_space(configure: Configure) -> None:
    methods = ["houlsby", {"method": "lora", "search": {"r": [2, 4, 8]}}, "untuned"]
    space = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
    runs, searches = planned(searching(configure, methods=methods, search={"trials": 3, "space": space, "seed": 7}))
    assert [(str(search), len(search.state().trials)) for search in searches] == [
        ("words · houlsby · tiny_bert", 3),
        ("words · lora · tiny_bert", 3),
    ]
    houlsby, lora = (search.state().trials for search in searches)
    sizes = [trial.method.options["r"] for trial in lora]
    assert len(set(sizes)) > 1
    assert set(sizes) <= {2, 4, 8}
    assert len({trial.training["learning_rate"] for trial in houlsby}) == 3
    assert {trial.seed for trial in (*houlsby, *lora)} == {7}
    assert len({trial.trainable_parameters for trial in lora}) == len(set(sizes))
    assert [(run.method.name, run.seed, run.search) for run in runs] == [("untuned", 0, None), ("untuned", 1, None)]


def test_validation_decides_and_not_test_and_of_equals_the_first_wins(configure: Configure) -> None:
    search_section = {"trials": 3, "space": {"learning_rate": [1e-4, 1e-3, 1e-2]}}
    _, (search,) = planned(searching(configure, search=search_section))
    first, second, third = search.state().trials
    leave(first, validation=0.5, test=0.9)
    leave(second, validation=0.7, test=0.1)
    assert (search.state().missing, search.state().winner) == (1, None)
    leave(third, validation=0.7, test=0.8)
    state = search.state()
    assert (state.missing, state.winner) == (0, 2)
    final, _ = search.finals(state)
    assert final.training["learning_rate"] == second.training["learning_rate"]
    lower = records.read(second.record_path).metric.model_copy(update={"greater_is_better": False})
    for trial, validation in ((first, 0.5), (second, 0.7), (third, 0.7)):
        leave(trial, validation, metric=lower)
    assert search.state().winner == 1


def test_a_failed_trial_is_out_of_the_choice_and_not_tried_again(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {"learning_rate": [0.01, 1e30]}
    path = searching(configure, methods=["houlsby"], seeds=[0], search={"trials": 2, "space": space})
    assert main(["run", str(path)]) == 0
    out = capsys.readouterr().out
    assert "of 2 (learning_rate 1e+30): failed: RunError: the training loss is nan" in out
    assert "[3/3] words · houlsby · tiny_bert · seed 0: accuracy" in out
    assert main(["run", str(path)]) == 0
    assert "3 of 3 runs are finished already" in capsys.readouterr().out


def test_where_every_trial_fails_there_is_no_final_run_and_exit_code_1(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {"learning_rate": [1e29, 1e30]}
    path = searching(configure, methods=["houlsby"], search={"trials": 2, "space": space})
    assert main(["run", str(path)]) == 1
    message = "[4/4] words · houlsby · tiny_bert: no trial finished: there is nothing to choose from"
    assert message in capsys.readouterr().out.splitlines()
    assert not (tmp_path / "results").exists()


def test_final_runs_of_other_searches_are_other_runs(configure: Configure) -> None:
    path = searching(configure, seeds=[0])
    _, (search,) = planned(path)
    state = search.state()
    (alone,), _ = planned(path, "search=null", f"training.learning_rate={state.trials[1].training['learning_rate']}")
    (final,) = search.runs_of(state.trials, 2)
    assert final.training == alone.training
    assert final.hash != alone.hash
    assert state.trials[1].hash != final.hash
    (again,) = planned(path, "search.trials=1")[1]
    assert again.state().trials[0].record_path == state.trials[0].record_path  # it is not made again
    assert json.dumps(alone.configuration).count('"search"') == 0


def test_settings_that_do_not_go_together_are_refused_before_anything_runs(configure: Configure) -> None:
    space = {"target_modules": [".*query", ".*value"], "layers_to_transform": [[0]]}
    path = searching(configure, methods=[{"method": "lora", "search": space}], search={"trials": 2})
    with pytest.raises(UserError) as error:
        planned(path)
    (message,) = error.value.messages
    assert message.startswith("search: target_modules .*")
    assert message.endswith(
        ", layers_to_transform [0]: method 'lora': "
        "`layers_to_transform` cannot be used when `target_modules` is a str."
    )


def test_tpe_follows_the_records_one_trial_after_the_other(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {"learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}}
    path = searching(configure, seeds=[0], search={"trials": 4, "space": space, "sampler": "tpe"})
    _, (search,) = planned(path)
    assert len(search.state().trials) == 1
    assert main(["run", str(path)]) == 0
    assert re.findall(r"^\[\d/5", capsys.readouterr().out, re.MULTILINE) == ["[1/5", "[2/5", "[3/5", "[4/5", "[5/5"]
    state = planned(path)[1][0].state()  # what the records of another process would give
    assert {trial.record_path for trial in state.trials} == set(records.read_all(tmp_path / "results-search")[0])
    assert state.missing == 0


def test_the_median_prunes_a_trial_that_promises_less(configure: Configure, tmp_path: Path) -> None:
    """Of four trials two learn nothing; those that start after two have finished may be pruned."""
    space = {"learning_rate": [1e-7, 2e-7, 0.01, 0.02]}
    training = {"num_train_epochs": 4, "per_device_train_batch_size": 16}
    search = {"trials": 4, "space": space, "pruner": "median"}
    path = searching(configure, methods=["houlsby"], seeds=[0], training=training, search=search)
    assert main(["run", str(path)]) == 0
    found = records.read_all(tmp_path / "results-search")[0].values()
    pruned = [record for record in found if record.status == "failed"]
    for record in pruned:
        assert re.fullmatch(r"RunError: pruned by median at step \d+: accuracy 0\.\d{4}", str(record.reason))
        assert record.configuration["training"]["learning_rate"] < 0.001
    (final,) = records.read_all(tmp_path / "results")[0].values()
    assert final.configuration["search"]["pruner"] == "median"
    assert final.configuration["training"]["learning_rate"] >= 0.01


@pytest.mark.parametrize(("score", "ends"), [(0.2, True), (0.9, False)])
def test_a_pruner_compares_scores_of_the_same_step(score: float, ends: bool) -> None:
    curves = (((4, 0.5), (8, 0.9)), ((4, 0.6), (8, 0.7)), ((4, 0.4), (8, 0.8)))
    prune = Prune("accuracy", Pruning(pruner="median", greater_is_better=True, curves=curves))
    state = SimpleNamespace(global_step=4)
    with pytest.raises(RunError, match=r"pruned by median at step 4: accuracy 0\.2000") if ends else nullcontext():
        prune.on_evaluate(None, state, None, {f"{PREFIX}accuracy": score})
