"""Training that goes on from what an earlier run saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_task import save_model, sentences, write_rows
from versions import prefixes_work

from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.grid.plan import head_notes, plan
from peft_bottleneck_bench.models.trainable import make_trainable
from peft_bottleneck_bench.run import Run
from peft_bottleneck_bench.saved.initial import load_initial
from peft_bottleneck_bench.saved.parameters import trained_parameters
from peft_bottleneck_bench.saved.saved import Saved
from peft_bottleneck_bench.training.execute import execute
from peft_bottleneck_bench.training.features import make_features

Configure = Callable[..., Path]


def planned(path: Path, *overrides: str) -> Run:
    (run,) = plan(load_configuration(path, overrides))
    return run


def trained(path: Path, *overrides: str) -> Run:
    run = planned(path, *overrides)
    execute(run, make_features(run), lambda step, steps: None)
    return run


def started(run: Run) -> dict[str, torch.Tensor]:
    """What a run trains, before it trains it."""
    torch.manual_seed(1)
    model = make_trainable(
        run.kind.load(run.context), run.method.name, run.method.options, run.kind.task_type(run.model.config)
    )
    assert run.method.initial is not None
    load_initial(model, run.method.initial, run.kind, run.context)
    return trained_parameters(model)


def entry(run: Run, **more: Any) -> str:
    return f"methods={json.dumps([{'init_adapter': str(run.adapter_path), **more}])}"


def short_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.replace(".default", "").replace("modules_to_save.", ""): tensor for name, tensor in weights.items()}


@pytest.mark.parametrize(
    "method", ["houlsby", "lora", pytest.param("prefix_tuning", marks=prefixes_work), "head_only", "full"]
)
def test_a_run_starts_from_the_weights_that_another_saved(configure: Configure, method: str) -> None:
    first = trained(configure(methods=[method]), "training.num_train_epochs=1")
    run = planned(configure(methods=["houlsby"]), entry(first))
    saved = load_file(Saved.read(first.adapter_path).weights)
    before = started(run)
    if method == "prefix_tuning":
        (name,) = (name for name in before if "prompt_encoder" in name)
        assert torch.equal(before[name], saved["prompt_embeddings"])
        return
    assert {name: tensor.tolist() for name, tensor in short_names(before).items()} == {
        name: tensor.tolist() for name, tensor in short_names(saved).items()
    }


def test_method_options_and_label_come_from_the_folder(configure: Configure) -> None:
    first = trained(configure(methods=[{"method": "lora", "r": 3}]), "training.num_train_epochs=1")
    run = planned(configure(), entry(first, training={"learning_rate": 0.5}))
    assert (run.method.name, run.method.label, run.method.options["r"]) == ("lora", "lora-continued", 3)
    assert run.training["learning_rate"] == 0.5
    assert head_notes([run]) == []
    assert planned(configure(), entry(first, label="again")).method.label == "again"


def test_the_weights_are_part_of_the_run(configure: Configure) -> None:
    first = trained(configure(methods=["head_only"]), "training.num_train_epochs=1")
    other = trained(configure(methods=["head_only"]), "training.num_train_epochs=2")
    runs = [planned(configure(), entry(run)) for run in (first, other)]
    hashes = {run.hash for run in (first, *runs)}
    assert len(hashes) == 3
    assert runs[0].configuration["init_adapter"]["sha256"] == Saved.read(first.adapter_path).sha256
    assert "init_adapter" not in first.configuration


def test_a_head_for_other_labels_starts_fresh_and_says_so(
    configure: Configure, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    first = trained(configure(methods=["houlsby"]), "training.num_train_epochs=1")
    for file in files.values():
        write_rows(Path(file), [{**row, "label": row["label"][:3]} for row in sentences(16)])
    run = planned(configure(), entry(first))
    saved, before = short_names(load_file(first.adapter_path / "adapter_model.safetensors")), short_names(started(run))
    assert saved.keys() == before.keys()
    kept = {name for name in saved if torch.equal(saved[name], before[name])}
    assert {name for name in saved if "houlsby" in name} <= kept
    assert "base_model.model.classifier.weight" not in kept
    assert main(["run", str(configure()), "seeds=[3]", "--init-adapter", str(first.adapter_path)]) == 0
    out = capsys.readouterr().out
    assert (
        f"note: words · houlsby-continued: the task head starts fresh: {first.adapter_path} has one for "
        "classification with other labels or markers\n"
    ) in out
    assert "words · houlsby-continued · tiny_bert · seed 3: accuracy" in out


def test_another_kind_keeps_the_adapter_alone(configure: Configure, tmp_path: Path) -> None:
    first = trained(configure(methods=["pfeiffer"]), "training.num_train_epochs=1")
    file = write_rows(tmp_path / "ner.jsonl", [{"tokens": ["good", "film"], "tags": ["B-ART", "O"]}] * 4)
    task = {"name": "names", "kind": "ner", "data": dict.fromkeys(("train", "validation", "test"), str(file))}
    run = planned(configure(tasks=[task]), entry(first))
    saved, before = short_names(load_file(first.adapter_path / "adapter_model.safetensors")), short_names(started(run))
    adapter = [name for name in before if "pfeiffer" in name]
    assert adapter
    assert all(torch.equal(saved[name], before[name]) for name in adapter)
    assert len(head_notes([run])) == 1


def test_what_does_not_fit_is_refused_before_any_training(
    configure: Configure, bert: Path, tmp_path: Path, tokenizer: Any
) -> None:
    first = trained(configure(methods=["houlsby"]), "training.num_train_epochs=1")
    untuned = trained(configure(methods=["untuned"]))
    other = save_model("bert", tmp_path / "other", tokenizer, hidden_size=16)
    folder = first.adapter_path
    for overrides, message in (
        ([f"methods=[{{init_adapter: {bert}}}]"], f"{bert}: not saved by a run: it has no run.json"),
        (["methods=[{init_adapter: 5}]"], "methods: init_adapter: expected a folder or an address, found 5"),
        ([entry(first, method="lora")], f"methods: init_adapter: {folder} was trained by 'houlsby', not by 'lora'"),
        ([entry(first, dropout=0.5)], f"methods: init_adapter: 'dropout' is taken from {folder} and cannot be given"),
        (
            [entry(untuned)],
            f"methods: init_adapter: {untuned.adapter_path} is of an untuned model: nothing was trained",
        ),
        (
            [entry(first), f"model={other}"],
            f"{folder} was trained on {bert}, whose weights are not those of '{other}'",
        ),
    ):
        with pytest.raises(UserError) as error:
            planned(configure(), *overrides)
        (found,) = error.value.messages
        assert found.endswith(message)
