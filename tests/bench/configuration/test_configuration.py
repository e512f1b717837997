"""What a configuration may say, and all that is wrong with it told at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.configuration.search_space import Range
from peft_bottleneck_bench.configuration.training_options import TRAINING_DEFAULTS
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.tasks import Files, Hub

EXAMPLES = Path(__file__).parents[3] / "configs"
Configure = Callable[..., Path]


def messages(path: Path, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(UserError) as error:
        load_configuration(path, overrides)
    return error.value.messages


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_are_read(path: Path) -> None:
    assert load_configuration(path).methods


def test_what_is_not_said_has_its_default(tmp_path: Path, configure: Configure) -> None:
    configuration = load_configuration(configure(training=None, results=None))
    assert configuration.seeds == (0,)
    assert configuration.limits == {}
    assert configuration.max_length is None
    assert configuration.training == TRAINING_DEFAULTS
    assert configuration.results == Path("results")
    assert configuration.adapters == Path("results-adapters")


def test_every_part_arrives(configure: Configure, files: dict[str, str], bert: Path) -> None:
    path = configure(
        methods=[
            "pfeiffer",
            {"method": "lora", "r": 4, "training": {"weight_decay": 0}},
            {"method": "lora", "label": "L"},
        ],
        seeds=[3, 1],
        limits={"train": 10},
        max_length=16,
        adapters="kept",
    )
    configuration = load_configuration(path, ["training.learning_rate=1e-4"])
    assert configuration.models == (str(bert),)
    assert [(m.name, m.label, m.options, m.training) for m in configuration.methods] == [
        ("pfeiffer", "pfeiffer", {}, {}),
        ("lora", "lora-r4", {"r": 4}, {"weight_decay": 0}),
        ("lora", "L", {}, {}),
    ]
    assert configuration.tasks[0].data == Files(**files)
    assert configuration.seeds == (3, 1)
    assert configuration.limits == {"train": 10}
    assert configuration.max_length == 16
    assert configuration.training["learning_rate"] == 1e-4
    assert configuration.adapters == Path("kept")


def test_one_entry_needs_no_list(configure: Configure) -> None:
    configuration = load_configuration(configure(), ["tasks=tiny_sentiment", "methods=lora", "seeds=7"])
    assert [task.name for task in configuration.tasks] == ["tiny_sentiment"]
    assert [method.name for method in configuration.methods] == ["lora"]
    assert configuration.seeds == (7,)


def test_a_hub_data_set_needs_its_revision(configure: Configure) -> None:
    data: dict[str, Any] = {"hub": "someone/reviews", "revision": "abc", "test": "validation"}
    task = {"name": "reviews", "kind": "classification", "data": data, "columns": {"text": "review"}, "labels": [0, 1]}
    (read,) = load_configuration(configure(tasks=[task])).tasks
    assert read.data == Hub(id="someone/reviews", revision="abc", test="validation")
    assert (read.columns, read.labels) == ({"text": "review"}, ("0", "1"))
    del data["revision"]
    path = configure(tasks=[task])
    assert messages(path) == (f"{path}: task 'reviews': data.revision: expected text, found None",)


def test_data_files_beside_the_configuration_are_found(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {split: f"{split}.jsonl" for split in ("train", "validation", "test")}
    path = configure(tasks=[{"name": "words", "kind": "classification", "data": names}])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "test.jsonl").touch()
    monkeypatch.chdir(elsewhere)
    (task,) = load_configuration(path).tasks
    assert task.data == Files(
        train=str(tmp_path / "train.jsonl"), validation=str(tmp_path / "validation.jsonl"), test="test.jsonl"
    )


def test_everything_wrong_is_told_at_once(configure: Configure) -> None:
    path = configure(
        tasks=[
            "sst",
            {"name": "x", "kind": "clasification", "data": {"train": "a.jsonl", "dev": "b.jsonl", "test": "c.jsonl"}},
        ],
        methods=[
            "houlsbi",
            {"method": "lora", "rank_patern": {}},
            {"method": "pfeiffer", "dropout": 2},
            {"method": "head_only", "r": 3},
            "head_only",
            "head_only",
            {"name": "lora"},
        ],
        trainin={},
        seeds=["a"],
        limits={"train": 0, "tset": 3},
        max_length=0,
        training={"learning_rat": 1, "seed": 3, "lr_scheduler_type": "fooo", "num_train_epochs": "two"},
    )
    assert list(messages(path)) == [
        f"{path}: {message}"
        for message in (
            "unknown key 'trainin': did you mean 'training'?",
            "unknown task 'sst': did you mean 'sst2'?",
            "task 'x': unknown kind 'clasification': did you mean 'classification'?",
            "unknown key 'tasks.x.data.dev': choose from train, validation, test, format, delimiter, quote, header",
            "task 'x': data.validation: expected the path of a file, found None",
            "unknown method 'houlsbi': did you mean 'houlsby'?",
            "method 'lora': unknown option 'rank_patern': did you mean 'rank_pattern'?",
            "method 'pfeiffer': PfeifferConfig: dropout must be a number in [0, 1), got 2",
            "method 'head_only' has no options, found 'r'",
            "methods: expected a name or {method: NAME, option: value}, found {'name': 'lora'}",
            "seeds: expected whole numbers, found 'a'",
            "unknown key 'limits.tset': did you mean 'limits.test'?",
            "limits.train: 0 would leave the split empty",
            "training.learning_rat: unknown field: did you mean 'learning_rate'?",
            "training.seed: is set by the harness: use `seeds`",
            "training.lr_scheduler_type: fooo is not a valid SchedulerType, please select one of ['linear', 'cosine', "
            "'cosine_with_restarts', 'polynomial', 'constant', 'constant_with_warmup', 'inverse_sqrt', "
            "'reduce_lr_on_plateau', 'cosine_with_min_lr', 'cosine_warmup_with_min_lr', 'warmup_stable_decay', "
            "'greedy']",
            "training.num_train_epochs: expected a number, found 'two'",
            "max_length: 0 is not above 0",
            "methods: 'head_only' stands there twice; give each a `label:` of its own",
        )
    ]


def test_a_search_is_read(configure: Configure) -> None:
    path = configure(
        methods=["head_only", {"method": "lora", "search": {"r": [4, 8], "weight_decay": [0]}}],
        search={
            "trials": 2,
            "space": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "weight_decay": [0, 0.1]},
        },
    )
    configuration = load_configuration(path)
    budget = configuration.search
    assert budget is not None
    assert (budget.trials, budget.seed) == (2, 1000)
    head_only, lora = configuration.methods
    rate = Range(1e-4, 1e-2, log=True)
    assert budget.space_of("head_only", head_only.space) == {"learning_rate": rate, "weight_decay": (0, 0.1)}
    assert budget.space_of("lora", lora.space) == {"learning_rate": rate, "weight_decay": (0,), "r": (4, 8)}
    assert budget.space_of("untuned", {}) == {}


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ([], "search: expected {trials: 8, space: {learning_rate: [1e-4, 1e-3]}}, found []"),
        ({"trails": 2}, "unknown key 'search.trails': did you mean 'search.trials'?"),
        ({"trials": 0}, "search.trials: 0 is not above 0"),
        ({"trials": True}, "search.trials: expected a whole number, found True"),
        ({"seed": 1}, "search.trials: expected a whole number, found None"),
        ({"trials": 2}, "method 'lora': search: nothing to try: give search.space, or a `search:` in its own entry"),
        (
            {"trials": 2, "space": {"learning_rat": [1]}},
            "search.space.learning_rat: unknown field: did you mean 'learning_rate'?",
        ),
        (
            {"trials": 2, "space": {"r": [4, 8]}},
            "search.space.r: a method's options are searched in its own entry: {method: lora, search: {r: …}}",
        ),
        (
            {"trials": 2, "space": {"learning_rate": ["fast"]}},
            "search.space.learning_rate: expected a number, found 'fast'",
        ),
        ({"trials": 2, "space": {"seed": [1, 2]}}, "search.space.seed: is set by the harness: use `seeds`"),
        (
            {"trials": 2, "space": {"logging_steps": [1, 2]}},
            "search.space.logging_steps: does not change the score: there is nothing to choose",
        ),
        (
            {"trials": 2, "space": {"learning_rate": 0.1}},
            "search.space.learning_rate: expected a list of choices or {low: …, high: …, log: true}, found 0.1",
        ),
        (
            {"trials": 2, "space": {"learning_rate": {"low": 1e-4, "high": 1e-2, "logg": True}}},
            "unknown key 'search.space.learning_rate.logg': did you mean 'search.space.learning_rate.log'?",
        ),
        (
            {"trials": 2, "space": {"learning_rate": {"low": "a", "high": 1}}},
            "search.space.learning_rate.low: expected a number, found 'a'",
        ),
        (
            {"trials": 2, "space": {"learning_rate": {"low": 2, "high": 1}}},
            "search.space.learning_rate: low 2 is not below high 1",
        ),
        (
            {"trials": 2, "space": {"weight_decay": {"low": 0, "high": 1.0, "log": True}}},
            "search.space.weight_decay: low 0 is not above 0, and has no logarithm",
        ),
        (
            {"trials": 2, "space": {"learning_rate": [1e-3, 1e-3]}},
            "search.space.learning_rate: 0.001 stands there twice",
        ),
        (
            {"trials": 3, "space": {"learning_rate": [1e-3, 1e-4]}},
            "method 'lora': search: 3 trials find only 2 different settings: give more choices, or fewer trials",
        ),
    ],
)
def test_a_wrong_search_is_told(configure: Configure, search: Any, message: str) -> None:
    path = configure(methods=["lora"], search=search)
    assert message in [text.removeprefix(f"{path}: ") for text in messages(path)]


@pytest.mark.parametrize(
    ("entry", "search", "message"),
    [
        ({"search": {"rr": [1]}}, {"trials": 1}, "methods: lora: search.rr: unknown option: did you mean 'r'?"),
        (
            {"search": {"r": {"low": 2.0, "high": 8}}},
            {"trials": 1},
            "methods: lora: search.r: expected whole numbers, found 2.0",
        ),
        (
            {"method": "pfeiffer", "search": {"dropout": [0.1, 2]}},
            {"trials": 2},
            "methods: pfeiffer: search.dropout: method 'pfeiffer': "
            "PfeifferConfig: dropout must be a number in [0, 1), got 2",
        ),
        (
            {"r": 4, "label": "lora", "search": {"r": [4, 8]}},
            {"trials": 2},
            "method 'lora': search: 'r' has a value in its entry and is searched: leave one of them out",
        ),
        (
            {"training": {"learning_rate": 1e-3}},
            {"trials": 1, "space": {"learning_rate": [1e-3, 1e-4]}},
            "method 'lora': search: 'learning_rate' has a value in its entry and is searched: leave one of them out",
        ),
        (
            {"search": {"r": [4, 8]}},
            None,
            "method 'lora': search: how many trials? give search.trials, for all methods",
        ),
    ],
)
def test_a_wrong_search_of_a_method_is_told(
    configure: Configure, entry: dict[str, Any], search: Any, message: str
) -> None:
    path = configure(methods=[{"method": "lora", **entry}], search=search)
    assert messages(path) == (f"{path}: {message}",)


@pytest.mark.parametrize("key", ["model", "tasks", "methods"])
def test_a_missing_key_is_named(configure: Configure, key: str) -> None:
    path = configure(**{key: None})
    assert messages(path) == (f"{path}: '{key}' is missing",)


def test_a_label_that_no_path_can_hold_is_refused(configure: Configure) -> None:
    path = configure(methods=[{"method": "lora", "label": "a/b"}], tasks=[])
    assert messages(path) == (
        f"{path}: 'tasks' is missing",
        f"{path}: methods: label 'a/b': only letters, digits, '.', '_' and '-'",
    )
