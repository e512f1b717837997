"""The model card of a saved adapter, which its readers follow."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from equations import METHODS, output, randomise
from huggingface_hub import HfApi, ModelCard
from peft import LoraConfig, get_peft_model
from tiny_models import tiny_inputs, tiny_model
from transformers import AutoModel, AutoModelForSequenceClassification

import peft_bottleneck

# As PEFT's script that lists what its methods can do reads them.
PAPER = re.compile(
    r"https://(?:huggingface\.co/papers/|arxiv\.org/(?:abs|pdf)/|openreview\.net/forum\?id=)[^\s)\"'>]+"
)


@pytest.mark.parametrize("task_type", [None, "SEQ_CLS"])
@pytest.mark.parametrize("method", METHODS)
def test_the_snippet_of_the_card_loads_the_adapter(method: str, task_type: Any, tmp_path: Path) -> None:
    auto_class: Any = AutoModelForSequenceClassification if task_type else AutoModel
    tiny_model("bert", auto_class).save_pretrained(tmp_path / "base")
    base = auto_class.from_pretrained(tmp_path / "base").eval()
    model = randomise(get_peft_model(base, METHODS[method](task_type=task_type))).eval()
    model.save_pretrained(tmp_path / "adapter")
    model.save_pretrained(tmp_path / "adapter")  # which adds nothing
    card = ModelCard.load(tmp_path / "adapter" / "README.md")
    assert card.data.library_name == "peft"
    assert {"peft-bottleneck", method} <= set(card.data.tags)
    assert f"`{method}` ({type(METHODS[method]()).__name__}) of the library" in card.text
    (snippet,) = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)
    assert "import peft_bottleneck" in snippet
    found: dict[str, Any] = {}
    exec(snippet.replace("path-or-id-of-this-adapter", str(tmp_path / "adapter")), found)
    assert torch.equal(output(found["model"].eval(), tiny_inputs("bert")), output(model, tiny_inputs("bert")))


def test_a_card_that_users_wrote_stays(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\ntags: [mine]\n---\n# My adapter\n\nIt is good.\n")
    METHODS["houlsby"]().save_pretrained(str(tmp_path))
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.license == "mit"
    assert card.data.tags == ["adapter", "houlsby", "mine", "peft", "peft-bottleneck"]
    assert card.text.strip().startswith("# My adapter\n\nIt is good.\n\n## How to Get Started with the Model")


def test_what_is_pushed_has_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    pushed: dict[str, str] = {}

    def commit(self: HfApi, repo_id: str, operations: Any, **_: Any) -> None:
        for operation in operations:
            if operation.path_in_repo.endswith(".md"):
                pushed[operation.path_in_repo] = Path(operation.path_or_fileobj).read_text()

    monkeypatch.setattr(HfApi, "create_repo", lambda self, repo_id, **_: SimpleNamespace(repo_id=repo_id))
    monkeypatch.setattr(HfApi, "create_commit", commit)
    get_peft_model(tiny_model("bert"), METHODS["houlsby"]()).push_to_hub("me/adapter")
    assert "import peft_bottleneck" in pushed["README.md"]
    assert "library_name: peft\n" in pushed["README.md"]
    METHODS["pfeiffer"]().push_to_hub("me/configuration")
    assert "PfeifferConfig" in pushed["README.md"]
    pushed.clear()
    get_peft_model(tiny_model("bert"), LoraConfig(target_modules=["query"])).push_to_hub("me/lora")
    assert "peft_bottleneck" not in pushed["README.md"]


@pytest.mark.parametrize("name", ["Houlsby", "Pfeiffer", "ParallelAdapter"])
def test_each_configuration_links_one_paper(name: str) -> None:
    links = set(PAPER.findall(getattr(peft_bottleneck, f"{name}Config").__doc__))
    assert len(links) == 1
    assert re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{5}", links.pop())
