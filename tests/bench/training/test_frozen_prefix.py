"""`reuse_frozen_prefix`: what the dry run says, what a run records, and that scores are those without reuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_task import save_model

from peft_bottleneck.prefix.store import folder_bytes
from peft_bottleneck_bench import load_configuration, plan, predict, run_grid
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.grid.prefix import expected_bytes, prefix_notes

UPPER = {"method": "houlsby", "layers_to_transform": [1], "bottleneck_size": 4}
WITH = {"reuse_frozen_prefix": True}


@pytest.fixture
def no_dropout(tmp_path: Path, tokenizer: Any) -> Path:
    """With dropout, a training with reuse is another one."""
    sizes = {"max_position_embeddings": 64, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return save_model("bert", tmp_path / "no_dropout", tokenizer, **sizes)


def test_scores_are_those_without_reuse(configure: Callable[..., Path], no_dropout: Path) -> None:
    methods = [
        {**UPPER, "label": "plain"},
        {**UPPER, "label": "reused", "training": WITH},
        {"method": "head_only"},
        {"method": "head_only", "label": "head reused", "training": WITH},
    ]
    planned = plan(load_configuration(configure(model=str(no_dropout), methods=methods)))
    store = planned.runs[0].prefix_folder
    notes = prefix_notes(planned.runs)
    assert [note.partition(" are computed once")[0].split(": ")[1] for note in notes] == [
        "1 of 2 blocks",
        "2 of 2 blocks",
    ]
    assert all(str(store) in note for note in notes)
    assert not store.exists()
    outcome = run_grid(planned)
    assert not outcome.failed
    records = {record.method: record for record in planned.records.values()}
    for plain, reused in (("plain", "reused"), ("head_only", "head reused")):
        assert "reuse_frozen_prefix" not in records[plain].configuration["training"]
        assert records[reused].configuration["training"]["reuse_frozen_prefix"] is True
        assert records[plain].run != records[reused].run
        assert records[plain].metrics == records[reused].metrics
        ours, theirs = records[plain].loss_curve, records[reused].loss_curve
        assert [loss for _, loss in ours] == pytest.approx([loss for _, loss in theirs], rel=1e-4)
    assert 0 < folder_bytes(store) <= sum(expected_bytes(run, run.prefix) for run in planned.runs if run.prefix)
    texts = {row["text"] for split in planned.runs[0].data.splits.values() for row in split}
    assert [file.stat().st_size for file in store.glob("*/index.bin")] == [
        32 * len(texts)
    ] * 2  # a store for each depth


def test_the_key_holds_for_all_methods_but_those_that_say_otherwise(configure: Callable[..., Path]) -> None:
    file = configure(methods=[UPPER, {"method": "full", "training": {"reuse_frozen_prefix": False}}], **WITH)
    upper, full = plan(load_configuration(file)).runs
    assert upper.prefix is not None
    assert (upper.prefix.blocks, upper.prefix.of, upper.prefix.width) == (1, 2, 32)
    assert upper.prefix.limit_bytes == 20 * 2**30
    assert full.prefix is None
    (without,) = plan(load_configuration(configure(methods=["full"]))).runs
    assert without.hash == full.hash


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ["full"]}, "method 'full': Nothing is frozen below what is trained: .*embeddings"),
        ({"methods": ["bias_tuning"]}, "method 'bias_tuning': Nothing is frozen"),
        ({"methods": ["houlsby"]}, r"encoder\.layer\.0\."),
        ({"methods": ["prompt_tuning"]}, "PROMPT_TUNING trains what enters the first block"),
        ({"methods": [UPPER], "training": {"neftune_noise_alpha": 5.0}}, "neftune_noise_alpha adds noise"),
        (
            {"methods": [UPPER], "reuse_frozen_prefix": "yes"},
            "reuse_frozen_prefix: expected true or false, found 'yes'",
        ),
        ({"methods": [UPPER], "prefix_limit_gib": 0}, "prefix_limit_gib: expected a number above 0"),
        ({"methods": [UPPER], "training": {"reuse_frozen_prefix": 1}}, "training.reuse_frozen_prefix: expected"),
    ],
    ids=["full", "biases", "all blocks", "prompts", "noise", "type", "limit", "type in training"],
)
def test_the_dry_run_refuses(configure: Callable[..., Path], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan(load_configuration(configure(**{**WITH, **changes})))


def test_the_dry_run_says_what_does_not_fit(configure: Callable[..., Path], capsys: Any) -> None:
    file = configure(methods=[UPPER], prefix_limit_gib=1e-5, **WITH)
    assert main(["run", str(file), "--dry-run"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "1 of 2 blocks are computed once for each example, without dropout; they take about 0.1 MiB below" in out
    assert "prefix_limit_gib allows 0.0 MiB: the examples beyond it are computed in every epoch" in out


def test_predictions_read_the_store_of_the_run(configure: Callable[..., Path], files: dict[str, str]) -> None:
    (run,) = plan(load_configuration(configure(methods=[UPPER], **WITH))).runs
    run_grid(plan(load_configuration(configure(methods=[UPPER], **WITH))))
    test = Path(files["test"])
    before = folder_bytes(run.prefix_folder)
    expected = list(predict(run.adapter_path, test))
    reused = list(predict(run.adapter_path, test, prefix_store=run.prefix_folder))
    assert [row["label"] for row in reused] == [row["label"] for row in expected]
    assert [row["probabilities"]["positive"] for row in reused] == pytest.approx(
        [row["probabilities"]["positive"] for row in expected], rel=1e-5
    )
    assert folder_bytes(run.prefix_folder) == before  # all of them were there


def test_prediction_says_where_nothing_is_frozen(configure: Callable[..., Path], tmp_path: Path) -> None:
    file = configure(methods=["houlsby"])
    (run,) = plan(load_configuration(file)).runs
    run_grid(plan(load_configuration(file)))
    with pytest.raises(UserError, match="--reuse-prefix: Nothing is frozen below"):
        list(predict(run.adapter_path, ["good"], prefix_store=tmp_path / "store"))
