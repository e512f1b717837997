"""What a configuration may say, and all that is wrong with it told at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval_tasks import Files, Hub
from peft_bottleneck.bench.configuration import load_configuration
from peft_bottleneck.bench.errors import UserError
from peft_bottleneck.bench.training_options import TRAINING_DEFAULTS

Configure = Callable[..., Path]


def messages(path: Path, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(UserError) as error:
        load_configuration(path, overrides)
    return error.value.messages


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
            "unknown key 'tasks.x.data.dev': choose from train, validation, test, format",
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
