"""A trained model, rebuilt from the folder of its run, and its predictions for new examples."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel, set_seed

from peft_bottleneck import reuse_prefix

from ..converters import Example
from ..errors import UserError
from ..kinds import Context, Encoded, Kind
from ..kinds.generation import generate
from ..models.base_model import BaseModel
from ..saved.parameters import restore
from ..saved.saved import Saved


class Predictor:
    """The predictions of `saved`: the same as at the end of its run.

    Args:
        saved: the folder of the run, whose weights `check_weights` has compared with the base.
        model: the base.
        prefix_store: a folder with the outputs of the frozen blocks, which are read where they are known and stored
            where they are not; None: every block is computed.

    Raises:
        UserError: the weights do not fit the base, or no block is below the adapter.
    """

    def __init__(self, saved: Saved, model: BaseModel, prefix_store: Path | None = None) -> None:
        self.kind: Kind = saved.kind
        self.context: Context = saved.context(model)
        self.precision = _precision(saved.content.training)
        self.cut = 0  # examples so far that are longer than `max_length`
        set_seed(saved.content.seed)  # the head of an untuned model is fresh under this seed, and not saved
        self.model = _with_weights(self.kind.load(self.context), saved).eval()
        if model.quantization is None and torch.accelerator.is_available():
            self.model.to(torch.accelerator.current_accelerator())  # bitsandbytes places its models itself
        if prefix_store is not None:
            self._reuse(prefix_store)

    def _reuse(self, store: Path) -> None:
        try:
            reuse_prefix(self.model.requires_grad_(False), store)
        except ValueError as error:
            raise UserError(f"--reuse-prefix: {error}") from error

    def __call__(self, examples: Sequence[Example], batch_size: int) -> list[Example]:
        """One answer per example: what is predicted, under the name of the kind's last column.

        Labels and relations come with the `probabilities` of all, by name.

        Args:
            examples: checked, with some value for the column that is predicted.
            batch_size: rows that the model sees at once.
        """
        encoded = self.kind.encode(examples, self.context, training=False)
        self.cut += encoded.cut
        outputs = self._outputs(encoded, batch_size)
        predictions = self.kind.predictions(outputs, encoded, examples, self.context)
        answers = [{self.kind.columns[-1]: prediction} for prediction in predictions]
        for answer, output in zip(answers, outputs, strict=False):
            if probabilities := self.kind.probabilities(output, self.context):
                answer["probabilities"] = probabilities
        return answers

    def _outputs(self, encoded: Encoded, batch_size: int) -> list[Any]:
        """One array per row of `encoded`, as an evaluation has it."""
        collate = self.kind.collator(self.context, training=False)
        count = len(encoded.lengths)
        outputs: list[Any] = []
        for start in range(0, count, batch_size):
            places = range(start, min(start + batch_size, count))
            batch = collate([{name: column[row] for name, column in encoded.columns.items()} for row in places])
            inputs = {name: value.to(self.model.device) for name, value in batch.items()}
            labels = inputs["labels"] if self.kind.scores_labels else inputs.pop("labels")
            with torch.inference_mode(), torch.autocast(self.model.device.type, **self.precision):
                if self.kind.generates:
                    outputs.extend(generate(self.model, inputs, self.context.generation).cpu().numpy())
                else:
                    logits = self.model(**inputs).logits.float()
                    outputs.extend(self.kind.outputs(logits, labels).cpu().numpy())
        return outputs


def _with_weights(model: PreTrainedModel, saved: Saved) -> PreTrainedModel:
    """The model with its trained weights, an adapter of PEFT or plain parameters."""
    if not saved.by_peft:
        restore(model, saved.weights)
        return model
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Found missing adapter keys")  # PEFT goes on without them
            return PeftModel.from_pretrained(model, saved.folder)
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError, UserWarning) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{saved.place} does not fit models of type '{model.config.model_type}': {reason}") from error


def _precision(training: Mapping[str, object]) -> dict[str, Any]:
    """The arguments of `torch.autocast` in evaluations."""
    for name, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        if training.get(name):
            return {"dtype": dtype}
    return {"enabled": False}
