"""The model card of a saved adapter: the method, the library that computes it, and how to load it."""

from __future__ import annotations

from functools import wraps
from pathlib import Path

from huggingface_hub import ModelCard
from peft import PeftModel

from .registration import PeftConfig

_HEADING = "## How to Get Started with the Model"
_PLACEHOLDER = "Use the code below to get started with the model.\n\n[More Information Needed]"
# The class that PEFT adapts for a task type.
AUTO_CLASSES = {
    "CAUSAL_LM": "AutoModelForCausalLM",
    "FEATURE_EXTRACTION": "AutoModel",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
}


def write_card(folder: Path, config: PeftConfig) -> None:
    """Writes `README.md`, or completes PEFT's; keeps what users wrote."""
    path = folder / "README.md"
    card = ModelCard.load(path) if path.exists() else ModelCard("---\nlibrary_name: peft\n---\n")
    method = str(config.peft_type.value).lower()
    card.data["library_name"] = "peft"
    card.data["tags"] = sorted({*(card.data.get("tags") or ()), "peft", "peft-bottleneck", "adapter", method})
    if "import peft_bottleneck" not in card.text:
        text = card.text
        if f"{_HEADING}\n\n{_PLACEHOLDER}" in text:
            card.text = text.replace(f"{_HEADING}\n\n{_PLACEHOLDER}", f"{_HEADING}\n\n{_usage(config, method)}")
        else:
            card.text = f"{text.rstrip()}\n\n{_HEADING}\n\n{_usage(config, method)}\n".lstrip()
    card.save(path)


def complete_pushed_cards() -> None:
    """Makes `PeftModel.push_to_hub` push the card too; a second call changes nothing.

    After saving, transformers puts the card of the repository, or an empty one, in the place of the saved one.
    So the card is completed once more before the files go.
    """
    upload = PeftModel._upload_modified_files
    if hasattr(upload, "completes_cards"):
        return

    @wraps(upload)
    def complete_and_upload(self: PeftModel, working_dir: str, *args: object, **kwargs: object) -> object:
        complete = getattr(self.active_peft_config, "complete_card", None)
        if complete is not None:
            complete(working_dir)
        return upload(self, working_dir, *args, **kwargs)

    complete_and_upload.completes_cards = True  # type: ignore[attr-defined]
    PeftModel._upload_modified_files = complete_and_upload


def _usage(config: PeftConfig, method: str) -> str:
    auto_class = AUTO_CLASSES.get(str(getattr(config.task_type, "value", config.task_type)), "AutoModel")
    base = config.base_model_name_or_path or "path-or-id-of-the-base-model"
    return f"""\
This is a bottleneck adapter of the method `{method}` ({type(config).__name__}) of the library
[peft-bottleneck](https://pypi.org/project/peft-bottleneck/). PEFT alone does not know the method: the import below
registers it.

```sh
pip install peft-bottleneck
```

```python
import peft_bottleneck  # registers {config.peft_type.value} with PEFT
from peft import PeftModel
from transformers import {auto_class}

base = {auto_class}.from_pretrained({base!r})
model = PeftModel.from_pretrained(base, "path-or-id-of-this-adapter")
```

Programs that load adapters by name run as `peft-bottleneck exec PROGRAM …`, which registers the method first."""
