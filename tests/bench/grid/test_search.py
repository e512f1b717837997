"""A search: as many trials for every method, the winner by validation alone, and records that say so."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_bottleneck_bench import records
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.grid.running import run_grid
from peft_bottleneck_bench.grid.search import Search, plan_grid
from peft_bottleneck_bench.run import Run

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
        step, score = record.validation_curve[-1]
        assert record.reason == f"pruned by median at step {step}: accuracy {score:.4f}"
        assert record.pruned
        assert record.train_steps == step < 16
        assert record.configuration["training"]["learning_rate"] < 0.001
    (final,) = records.read_all(tmp_path / "results")[0].values()
    assert final.configuration["search"]["pruner"] == "median"
    assert final.configuration["training"]["learning_rate"] >= 0.01


def by_steps(configure: Configure, steps: int, **changes: Any) -> Search:
    """A search of which each trial takes 8 steps: 64 examples, batches of 16, two epochs."""
    space = {"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}}
    _, (search,) = planned(searching(configure, search={"steps": steps, "space": space, **changes}))
    return search


@pytest.mark.parametrize("sampler", ["quasi_random", "tpe"])
def test_pruned_trials_leave_their_steps_to_further_ones(configure: Configure, sampler: str) -> None:
    """A budget of 30 steps holds three trials of 8; a trial that is pruned after 2 steps leaves room for a fourth."""
    search = by_steps(configure, 30, sampler=sampler, pruner="median")
    state = search.state()
    assert (len(state.trials), state.expected) == (3 if sampler == "quasi_random" else 1, 3)
    for number in range(3):
        trial = search.state().trials[number]
        assert str(trial).partition("trial ")[2].startswith(f"{number + 1} (learning_rate ")
        if number == 1:
            leave(trial, 0.3, status="failed", reason="pruned", validation_curve=[(2, 0.3)], train_steps=2)
        else:
            leave(trial, 0.5 + number / 10, validation_curve=[(8, 0.5)], train_steps=8)
    state = search.state()
    assert (len(state.trials), state.missing, state.winner) == (4, 1, None)
    leave(state.trials[3], 0.4, validation_curve=[(8, 0.4)], train_steps=8)
    state = search.state()  # 26 steps are taken
    assert (len(state.trials), state.missing, state.expected, state.winner) == (4, 0, 4, 3)
    (final, _) = search.finals(state)
    assert final.search is not None
    assert (final.search["steps"], final.search["trials"], final.search["winner"]) == (30, 4, 3)


def test_a_failed_trial_counts_whole(configure: Configure) -> None:
    search = by_steps(configure, 16)
    for trial in search.state().trials:
        leave(trial, 0.0, status="failed", reason="none", train_seconds=None)
    assert (len(search.state().trials), search.state().missing, search.state().winner) == (2, 0, None)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"steps": 7}, "search.steps: 7 are too few for words · head_only · tiny_bert: a trial takes 8"),
        ({"steps": 10**6}, "search.steps: 1,000,000 are 125,000 trials: a grid has 10,000 at most"),
        (
            {"steps": 24, "space": {"learning_rate": RATES}},
            "search.steps: 24 are 3 trials of words · head_only · tiny_bert, which find only 2 different settings: "
            "give more choices, or fewer steps",
        ),
    ],
)
def test_steps_that_do_not_fit_are_refused_before_anything_runs(
    configure: Configure, search: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as error:
        by_steps(configure, **search)
    assert error.value.messages == (message,)


def test_a_search_by_steps_ends_with_final_runs(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every method takes no more steps than the other, and the table and the count say how many trials there are."""
    space = {"learning_rate": RATES}
    path = str(searching(configure, methods=["houlsby", "head_only"], seeds=[0], search={"steps": 17, "space": space}))
    assert main(["run", path, "--dry-run"]) == 0
    assert "4 of these are trials" in capsys.readouterr().out
    assert main(["run", path]) == 0
    assert "[6/6]" in capsys.readouterr().out
    steps = Counter[str]()
    for record in records.read_all(tmp_path / "results-search")[0].values():
        assert record.train_steps == 8
        steps[record.method] += int(record.train_steps or 0)
    assert steps == {"houlsby": 16, "head_only": 16}
    finals = records.read_all(tmp_path / "results")[0].values()
    assert {(r.configuration["search"]["steps"], r.configuration["search"]["trials"]) for r in finals} == {(17, 2)}
