"""The command `convert`: adapters from AdapterHub's library to PEFT, and back."""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

from ..errors import UserError

CONFIG_FILE = "adapter_config.json"  # both libraries call it so
# The class that PEFT adapts for a task type.
AUTO_CLASSES = {
    "CAUSAL_LM": "AutoModelForCausalLM",
    "FEATURE_EXTRACTION": "AutoModel",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
}


def add_to(commands: Any) -> None:
    """Adds the command to those of a parser."""
    parser = commands.add_parser(
        "convert",
        help="turn a checkpoint of AdapterHub's library into one of PEFT, or the other way round",
        description="Converts the adapter in SOURCE, whichever of the two libraries wrote it, for the other one.",
    )
    parser.add_argument("source", metavar="SOURCE", type=Path, help="the directory of an adapter")
    parser.add_argument("target", metavar="TARGET", type=Path, help="a new directory")
    parser.add_argument(
        "--model", help="the base model, a hub id or a directory; the one that SOURCE names if left out"
    )
    parser.add_argument(
        "--class",
        dest="model_class",
        metavar="CLASS",
        help="transformers' class of the model, AutoModelForSequenceClassification for example; if left out, "
        "the one that SOURCE was saved from where PEFT wrote it, else AutoModel",
    )
    parser.set_defaults(command=_convert)


def convert(source: Path, target: Path, model: str | None = None, model_class: str | None = None) -> str:
    """Converts an adapter; returns a sentence that says what was written.

    Raises:
        UserError: a file is missing, the target is not new, or something in the adapter cannot be converted.
    """
    description = _description(source)
    if target.exists() and any(target.iterdir()):
        raise UserError(f"{target} exists and is not empty")
    from_peft = "peft_type" in description
    named = description.get("base_model_name_or_path" if from_peft else "model_name")
    path, class_name = model or named, model_class or (_class_for_peft(description) if from_peft else "AutoModel")
    if not path:
        raise UserError(f"{source / CONFIG_FILE} names no base model; please give --model")
    import transformers
    from peft import PeftModel

    from peft_bottleneck.adapterhub import load_adapterhub, save_adapterhub

    if not hasattr(transformers, class_name):
        raise UserError(f"transformers has no class {class_name!r}")
    try:
        base = getattr(transformers, class_name).from_pretrained(path)
        if from_peft:
            with warnings.catch_warnings():
                # PEFT only warns where the class is not the one that the adapter was saved from.
                warnings.filterwarnings("error", message="Found missing adapter keys")
                adapted = PeftModel.from_pretrained(base, source)
            save_adapterhub(adapted, target)
        else:
            load_adapterhub(base, source).save_pretrained(target)
    except (OSError, ValueError, UserWarning) as error:
        raise UserError(" ".join(str(error).split())) from error
    return f"{target}: written for {'AdapterHub' if from_peft else 'PEFT'}, base model {path} ({class_name})"


def _description(source: Path) -> dict[str, Any]:
    try:
        description: dict[str, Any] = json.loads((source / CONFIG_FILE).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{source}: no {CONFIG_FILE} can be read there ({error.strerror})") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{source / CONFIG_FILE}: not JSON: {error}") from error
    return description


def _class_for_peft(description: dict[str, Any]) -> str:
    task_type, mapping = description.get("task_type"), description.get("auto_mapping") or {}
    return str(AUTO_CLASSES.get(task_type or "", mapping.get("base_model_class", "AutoModel")))


def _convert(parsed: argparse.Namespace) -> int:
    from ..quiet import quiet

    quiet()
    from transformers.utils import logging

    logging.disable_progress_bar()
    print(convert(parsed.source, parsed.target, parsed.model, parsed.model_class))
    return 0
