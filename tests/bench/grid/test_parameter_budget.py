"""Equal budgets: the sizes that are chosen, by the equations of the methods, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_bottleneck_bench import UserError, load_configuration, plan
from peft_bottleneck_bench.grid.parameter_budget import nearest_size
from peft_bottleneck_bench.run import Run, run_hash

Configure = Callable[..., Path]
HEAD = 32 * 32 + 32 + 32 * 2 + 2  # pooler and classifier of the tiny BERT
BLOCKS, WIDTH = 2, 32


def planned(configure: Configure, budget: object, *methods: object) -> dict[str, Run]:
    configuration = load_configuration(configure(methods=list(methods), budget={"trainable_parameters": budget}))
    return {run.method.label: run for run in plan(configuration).runs}


def bottleneck(size: int) -> int:
    return 2 * WIDTH * size + size + WIDTH


def test_trials_of_a_search_keep_the_budget(configure: Configure) -> None:
    method = {"method": "houlsby", "search": {"learning_rate": [1e-3, 3e-3], "use_gating": [False, True]}}
    path = configure(methods=[method], budget={"trainable_parameters": 4000}, search={"trials": 4})
    (search,) = plan(load_configuration(path)).searches
    trials = search.state().trials
    assert len(trials) == 4
    sizes = {run.method.options["use_gating"]: run.method.options["bottleneck_size"] for run in trials}
    assert sizes[True] < sizes[False]  # gates have parameters too
    for run in trials:
        assert run.method.budget is not None
        assert run.method.budget.asked == 4000
        assert run.trainable_parameters - run.method.budget.found == HEAD


@pytest.mark.parametrize("size", [1, 2, 7, 31, 100])
def test_a_budget_that_a_size_meets_exactly_chooses_it(configure: Configure, size: int) -> None:
    runs = planned(configure, BLOCKS * bottleneck(size), "pfeiffer", "parallel_adapter", "houlsby", "lora")
    for name in ("pfeiffer", "parallel_adapter"):
        assert runs[name].method.options["bottleneck_size"] == size
        assert runs[name].trainable_parameters == HEAD + BLOCKS * bottleneck(size)
    per_rank = BLOCKS * 2 * 2 * WIDTH  # A and B of query and value
    assert runs["lora"].method.options["r"] == max(1, round(BLOCKS * bottleneck(size) / per_rank))
    houlsby = runs["houlsby"].method.options["bottleneck_size"]
    counts = {near: BLOCKS * 2 * bottleneck(near) for near in range(1, 200)}
    assert counts[houlsby] == min(counts.values(), key=lambda count: abs(count - BLOCKS * bottleneck(size)))


def test_a_share_is_one_of_the_base_without_its_head(configure: Configure) -> None:
    runs = planned(configure, "10 %", "pfeiffer", "full")
    at = runs["full"].method.budget
    assert at is not None
    assert at.found == runs["full"].trainable_parameters - HEAD
    assert at.asked == round(at.found / 10)
    assert not at.met


def test_other_options_are_counted(configure: Configure) -> None:
    runs = planned(configure, 3000, {"method": "houlsby", "bottleneck": "gated"}, "houlsby")
    sizes = [run.method.options["bottleneck_size"] for run in runs.values()]
    assert sizes[0] < sizes[1]
    assert list(runs) == ["houlsby gated", "houlsby"]


def test_what_was_chosen_and_what_cannot_meet_it_is_said(configure: Configure) -> None:
    path = configure(methods=["pfeiffer", "ia3", "head_only"], budget={"trainable_parameters": 1000})
    assert [note for note in plan(load_configuration(path)).notes if note.startswith("budget")] == [
        f"budget: words · pfeiffer · tiny_bert: bottleneck_size 7: {BLOCKS * bottleneck(7):,} parameters beside the "
        "head, 1,000 were asked for",
        "budget: words · ia3 · tiny_bert: 320 parameters beside the head, 1,000 were asked for; not at the budget: no "
        "option changes its size",
        "budget: words · head_only · tiny_bert: 0 parameters beside the head, 1,000 were asked for; not at the "
        "budget: no option changes its size",
    ]


def test_the_record_says_the_budget_and_the_run_is_known_by_its_size(configure: Configure) -> None:
    (run,) = planned(configure, BLOCKS * bottleneck(7), "pfeiffer").values()
    at = {"asked": BLOCKS * bottleneck(7), "found": BLOCKS * bottleneck(7), "size": 7, "met": True}
    assert run.configuration["budget"] == at
    same = configure(methods=[{"method": "pfeiffer", "bottleneck_size": 7}])
    (by_size,) = plan(load_configuration(same)).runs
    assert run.hash == by_size.hash == run_hash(run.configuration)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"trainable_parameters": 0}, "budget: expected {trainable_parameters: 300_000} or"),
        ({"trainable_parameters": "much"}, "budget: expected {trainable_parameters: 300_000} or"),
        ({"trainable_parameters": "0 %"}, "budget.trainable_parameters: 0 % is not above 0 % and at most 100 %"),
        ({"trainable_parameters": True}, "budget: expected {trainable_parameters: 300_000} or"),
        ({"parameters": 5}, "unknown key 'budget.parameters': did you mean 'budget.trainable_parameters'?"),
        (7, "budget: expected {trainable_parameters: 300_000} or"),
    ],
)
def test_a_wrong_budget_is_refused(configure: Configure, budget: Any, message: str) -> None:
    path = configure(budget=budget)
    with pytest.raises(UserError) as error:
        load_configuration(path)
    assert error.value.messages[0].startswith(f"{path}: {message}")


def test_a_size_and_a_budget_are_one_too_many(configure: Configure) -> None:
    with pytest.raises(UserError, match="'r' has a value in its entry, and the budget chooses it: leave one of them"):
        planned(configure, 1000, {"method": "lora", "r": 4})


@pytest.mark.parametrize("asked", [1, 5, 640, 999, 10**6, 10**9])
@pytest.mark.parametrize(
    "count",
    [lambda size: 64 * size, lambda size: 65 * size + 32, lambda size: size * size, lambda size: 3 + size // 4],
    ids=["linear", "affine", "square", "steps"],
)
def test_the_nearest_size_is_found_with_few_counts(asked: int, count: Callable[[int], int]) -> None:
    room = 500
    seen = set()

    def counted(size: int) -> int:
        seen.add(size)
        if size > room:
            raise UserError("no room")
        return count(size)

    best = min(range(1, room + 1), key=lambda size: abs(count(size) - asked))
    assert abs(count(nearest_size(asked, counted)) - asked) == abs(count(best) - asked)
    assert len(seen) <= 40
