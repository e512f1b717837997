"""What a configuration may say, and all that is wrong with it told at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_bottleneck_bench.configuration.choices import ModelChoice
from peft_bottleneck_bench.configuration.method_entries import default_label
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.configuration.training_options import TRAINING_DEFAULTS
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.file_names import file_name_problem
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
    assert configuration.models == (ModelChoice(name=str(bert), label="tiny_bert"),)
    assert [(m.name, m.label, m.options, m.training) for m in configuration.methods] == [
        ("pfeiffer", "pfeiffer", {}, {}),
        ("lora", "lora r=4", {"r": 4}, {"weight_decay": 0}),
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
            "training.learning_rat: unknown field: did you mean 'learning_rate'?",
            "training.seed: is set by the harness: use `seeds`",
            "training.num_train_epochs: expected a number, found 'two'",
            "training.lr_scheduler_type: unknown choice 'fooo': choose from linear, cosine, cosine_with_restarts, "
            "polynomial, constant, constant_with_warmup, inverse_sqrt, reduce_lr_on_plateau, cosine_with_min_lr, "
            "cosine_warmup_with_min_lr, warmup_stable_decay, greedy",
            "unknown method 'houlsbi': did you mean 'houlsby'?",
            "method 'lora': unknown option 'rank_patern': did you mean 'rank_pattern'?",
            "method 'pfeiffer': PfeifferConfig: dropout must be a number in [0, 1), got 2",
            "method 'head_only' has no options, found 'r'",
            "methods: expected a name or {method: NAME, option: value}, found {'name': 'lora'}",
            "seeds: expected a whole number, found 'a'",
            "unknown key 'limits.tset': did you mean 'limits.test'?",
            "limits.train: 0 would leave the split empty",
            "max_length: 0 is not from 1 to 2,147,483,647",
            "methods: 'head_only' occurs twice; give each a `label:` of its own",
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
        f"{path}: methods: lora: label: 'a/b' names a folder of records, and has /",
    )


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({}, "houlsby"),
        ({"bottleneck_size": 24, "non_linearity": "gelu", "bottleneck": "gated"}, "houlsby r=24 gelu gated"),
        ({"init_weights": False, "use_rslora": True}, "houlsby no init_weights use_rslora"),
        ({"target_modules": ["query", "value"]}, "houlsby target_modules=query+value"),
        ({"target_modules": r".*\.(q|v)"}, "houlsby .__.(q_v)"),
        ({"rank_pattern": {"query": 4}}, "houlsby rank_pattern=query-4"),
        ({"dropout": 0.1, "bias": None}, "houlsby dropout=0.1 bias=None"),
        ({"target_modules": "ends.  "}, "houlsby ends"),
    ],
)
def test_default_labels_can_be_read_and_name_folders(options: dict[str, Any], label: str) -> None:
    assert default_label("houlsby", options) == label
    assert file_name_problem(label) is None


@pytest.mark.parametrize("label", ["..", ".", "", "a/b", "a" * 256, "tab\t", 7, "con:"])
@pytest.mark.parametrize("key", ["methods", "model", "tasks"])
def test_what_cannot_name_a_folder_is_refused(
    configure: Configure, files: dict[str, str], key: str, label: object
) -> None:
    entries: dict[str, Any] = {
        "methods": [{"method": "lora", "label": label}],
        "model": {"path": "somewhere", "label": label},
        "tasks": [{"name": label, "kind": "classification", "data": files}],
    }
    (message,) = messages(configure(**{key: entries[key]}))
    assert "names a folder of records, and" in message or "expected" in message


def test_models_in_folders_of_one_name_need_labels(configure: Configure, tmp_path: Path) -> None:
    for folder in ("one/model", "two/model"):
        (tmp_path / folder).mkdir(parents=True)
    paths = [str(tmp_path / "one/model"), str(tmp_path / "two/model")]
    path = configure(model=paths)
    assert messages(path) == (f"{path}: model: 'model' occurs twice; give each a `label:` of its own",)
    models = load_configuration(configure(model=[paths[0], {"path": paths[1], "label": "other"}])).models
    assert models == (ModelChoice(name=paths[0], label="model"), ModelChoice(name=paths[1], label="other"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": []}, "seeds: expected one at least"),
        ({"seeds": [-1]}, "seeds: -1 is not from 0 to 4,294,967,295"),
        ({"seeds": [2**32]}, "seeds: 4294967296 is not from 0 to 4,294,967,295"),
        ({"seeds": [True]}, "seeds: expected a whole number, found True"),
        ({"seeds": list(range(20_000))}, "seeds: 20,000 of them: a grid has 10,000 runs at most"),
        ({"seeds": list(range(6_000))}, "12,000 runs: a grid has 10,000 at most"),
        (
            {"tasks": [{"name": "x", "kind": ["ner"], "data": {"train": "a.csv", "validation": 3, "test": "c.csv"}}]},
            "task 'x': unknown kind '['ner']': did you mean 'ner'?",
        ),
        (
            {"tasks": {"name": "tiny_ner", "labels": [["PER"]]}},
            "task 'tiny_ner': labels: expected names, found ['PER']",
        ),
        ({"model": 3}, "model: expected a name or a path, or {path: …, label: …}, found 3"),
        ({"model": {"path": "x", "lable": "y"}}, "unknown key 'model.lable': did you mean 'model.label'?"),
        ({"tasks_from": "nowhere"}, "tasks_from: nowhere: no such folder"),
        ({"tasks_from": [1]}, "tasks_from: expected a folder, found 1"),
        ({"results": ""}, "results: expected a path or an address, found ''"),
        ({"results": 5}, "results: expected a path or an address, found 5"),
        ({"adapters": "x" * 300}, "adapters: " + "x" * 300 + ": File name too long"),
        ({"search": {"trials": 10**9}}, "search.trials: 1000000000 is not from 1 to 10,000"),
        (
            {"search": {"trials": 2, "seed": -1, "space": {"learning_rate": [1, 2]}}},
            "search.seed: -1 is not from 0 to",
        ),
        ({"methods": [{"method": "lora", "r": "8"}]}, "method 'lora': r: expected a whole number, found '8'"),
        ({"methods": [{"method": "lora", "r": True}]}, "method 'lora': r: expected a whole number, found True"),
        ({"methods": [{"method": "lora", "lora_dropout": [0.1]}]}, "method 'lora': lora_dropout: expected a number"),
        (
            {"methods": [{"method": "lora", "bias": "som"}]},
            "method 'lora': bias: expected 'none' or 'all' or 'lora_only', found 'som'",
        ),
        (
            {"methods": [{"method": "houlsby", "target_modules": {"a": 1}}]},
            "method 'houlsby': target_modules: expected ",
        ),
        ({"methods": [{"method": "lora", "training": 3}]}, "methods: lora: training: expected fields of TrainingArg"),
        (
            {"methods": [{"method": "lora", "training": {"eval_strategy": "no"}}], "training": {"eval_delay": -1}},
            "training.eval_delay: expected a number from 0 on, found -1",
        ),
    ],
)
def test_what_a_run_would_refuse_is_refused_before(
    configure: Configure, changes: dict[str, Any], message: str
) -> None:
    path = configure(**changes)
    (found,) = messages(path)
    assert found.removeprefix(f"{path}: ").startswith(message)


def test_a_setting_in_the_wrong_place_is_answered_by_the_right_one(configure: Configure) -> None:
    path = configure(
        methods=[{"method": "vera", "learning_rate": 1e-3, "seeds": [1]}],
        learning_rate=1e-3,
        training={"bottleneck_size": 4, "limits": {}},
        seed=1,
    )
    assert list(messages(path)) == [
        f"{path}: {message}"
        for message in (
            "unknown key 'learning_rate': it is a field of training: training: {learning_rate: …}",
            "unknown key 'seed': the harness sets it: use `seeds`",
            "training.bottleneck_size: is no field of training: "
            "it is an option of a method: methods: [{method: houlsby, bottleneck_size: …}]",
            "training.limits: is no field of training: it is a key of the file, beside methods: limits: …",
            "method 'vera': 'learning_rate' is none of its options: "
            "it is a field of training: training: {learning_rate: …}",
            "method 'vera': 'seeds' is none of its options: it is a key of the file, beside methods: seeds: …",
        )
    ]
