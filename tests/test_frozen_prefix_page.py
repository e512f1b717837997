"""The page on the frozen prefix: its example trains with `Trainer`, and what it says is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from equations import without_dropout
from tiny_models import VOCABULARY, tiny_model
from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments

PAGE = Path(__file__).parents[1] / "docs" / "guides" / "frozen-prefix.md"


def examples(count: int) -> list[dict[str, Any]]:
    """All different, of five lengths; the label follows from the first token."""
    generator = torch.Generator().manual_seed(count)
    rows = []
    for number in range(count):
        ids = torch.randint(3, VOCABULARY, (5 + number % 5,), generator=generator)
        rows.append({"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": int(ids[0]) % 2})
    return rows


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    def padded(name: str) -> torch.Tensor:
        return torch.nn.utils.rnn.pad_sequence([row[name] for row in rows], batch_first=True)

    return {
        "input_ids": padded("input_ids"),
        "attention_mask": padded("attention_mask"),
        "labels": torch.tensor([row["labels"] for row in rows]),
    }


class CollatingTrainer(Trainer):  # type: ignore[misc]
    """The page's `Trainer`, for examples that are not of one length."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, data_collator=collate, **options)


def train(code: str, folder: Path, **options: Any) -> dict[str, Any]:
    base = tiny_model("bert", AutoModelForSequenceClassification, num_hidden_layers=6, num_labels=2)
    arguments = TrainingArguments(
        str(folder / "out"),
        num_train_epochs=4,
        per_device_train_batch_size=8,
        learning_rate=1e-2,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        seed=1,
        disable_tqdm=True,
        **options,
    )
    names = {
        "model": without_dropout(base),
        "tokenizer": None,
        "arguments": arguments,
        "train": examples(32),
        "validation": examples(8),
    }
    exec(compile(code, str(PAGE), "exec"), names)
    return names


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.filterwarnings("default")  # what libraries say of each other fails no example
def test_the_page_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (comment,) = re.findall(r"print\(prefix\)  # (.*)", "".join(blocks()))
    exec(compile("\n".join(blocks()), str(PAGE), "exec"), {"__name__": "__main__"})
    assert comment in capsys.readouterr().out


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
def test_trainer_gives_the_same_weights(
    bf16: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _, code = blocks()
    code = code.replace("Trainer(", "CollatingTrainer(")
    code = "from test_frozen_prefix_page import CollatingTrainer\n" + code
    without = re.sub(r"with reuse_prefix.*", "if True:", code).replace("print(prefix)", "pass")
    torch.manual_seed(0)
    plain = train(without, tmp_path, bf16=bf16)
    torch.manual_seed(0)
    reused = train(code, tmp_path, bf16=bf16)
    out = capsys.readouterr().out
    # Four epochs of 32 examples and one evaluation of 8: 40 computed, three epochs read.
    assert "3 blocks reused: 96 rows read, 40 computed, 40 rows stored (0.0 MiB), 0 calls without reuse" in out
    tolerance = {"rtol": 2e-2, "atol": 5e-3} if bf16 else {"rtol": 1e-4, "atol": 1e-5}
    for (name, expected), (_, found) in zip(
        plain["model"].named_parameters(), reused["model"].named_parameters(), strict=True
    ):
        torch.testing.assert_close(found, expected, msg=name, **tolerance)
    moved = [p for name, p in reused["model"].named_parameters() if "houlsby_up" in name]
    assert len(moved) == 12
    assert all(parameter.abs().max() > 0 for parameter in moved)
