"""The loss in chunks is the loss, and no logits are kept for it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from equations import METHODS, output, randomise
from peft import get_peft_model
from tiny_models import VOCABULARY, tiny_inputs, tiny_model
from torch import Tensor
from transformers import AutoModel, AutoModelForCausalLM

from peft_bottleneck.head_loss import use_chunked_loss

FAMILIES = ("llama", "gpt2", "opt", "qwen3", "gpt_neox", "phi3", "granite", "cohere")


def adapted(model_type: str, method: str = "houlsby", **options: Any) -> Any:
    changes = {name: 0.0 for name in ("resid_pdrop", "embd_pdrop", "attn_pdrop") if model_type == "gpt2"}
    changes |= {"dropout": 0.0} if model_type == "opt" else {}
    model = tiny_model(model_type, AutoModelForCausalLM, use_cache=False, **changes)
    return randomise(get_peft_model(model, METHODS[method](**options))).train()


def batch(model_type: str) -> dict[str, Tensor]:
    inputs = tiny_inputs(model_type)
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    labels[0, :4] = -100
    return {**inputs, "labels": labels}


def step(model: Any, inputs: dict[str, Any]) -> tuple[Any, dict[str, Tensor]]:
    result = model(**inputs)
    result.loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return result, gradients


@pytest.mark.parametrize("positions", [1, 5, 256])
@pytest.mark.parametrize("model_type", FAMILIES)
def test_the_loss_and_its_gradients(model_type: str, positions: int) -> None:
    heads = {"gpt2": None, "opt": None, "cohere": None, "gpt_neox": ["embed_out"]}  # None: tied to the embeddings
    model = adapted(model_type, modules_to_save=heads.get(model_type, ["lm_head"]))
    plain, expected = step(model, batch(model_type))
    use_chunked_loss(model, positions)
    chunked, gradients = step(model, batch(model_type))
    torch.testing.assert_close(chunked.loss, plain.loss)
    assert chunked.logits is None
    assert gradients.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(gradients[name], gradient, atol=1e-6, rtol=1e-4)


def test_what_else_a_trainer_hands_to_the_loss() -> None:
    model = adapted("llama")
    inputs = batch("llama")
    shifted = torch.nn.functional.pad(inputs["labels"], (0, 1), value=-100)[:, 1:].contiguous()
    for further in ({"num_items_in_batch": 100}, {"num_items_in_batch": torch.tensor(7)}, {"shift_labels": shifted}):
        other = copy.deepcopy(model)
        plain, expected = step(other, {**inputs, **further})
        use_chunked_loss(other, 3)
        chunked, gradients = step(other, {**inputs, **further})
        torch.testing.assert_close(chunked.loss, plain.loss)
        torch.testing.assert_close(gradients, expected, atol=1e-6, rtol=1e-4)


def test_evaluation_and_copies_give_logits() -> None:
    model = adapted("llama")
    inputs = tiny_inputs("llama")
    expected = output(model.eval(), inputs)
    use_chunked_loss(model)
    assert torch.equal(output(model, inputs), expected)
    with torch.no_grad():
        assert model(**batch("llama")).logits is not None
        assert model.train()(**batch("llama")).logits is not None
    assert torch.equal(output(model.eval(), inputs), expected)
    generated = model.generate(inputs["input_ids"][:1], max_new_tokens=3, do_sample=False)
    assert generated.shape == (1, 14)
    other = copy.deepcopy(model).train()
    assert other(**batch("llama")).logits is None
    other.base_model.model.lm_head.weight.data.zero_()
    assert torch.equal(output(model, inputs), expected)


def test_nothing_of_the_size_of_the_vocabulary_is_kept() -> None:
    def widths(model: Any) -> set[int]:
        found: set[int] = set()

        def pack(tensor: Tensor) -> Tensor:
            found.add(tensor.shape[-1] if tensor.dim() else 0)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(**batch("llama"))
        return found

    model = adapted("llama")
    assert VOCABULARY in widths(model)
    use_chunked_loss(model)
    assert VOCABULARY not in widths(model)


def test_positions_without_a_target_do_not_reach_the_head() -> None:
    model = adapted("llama")
    use_chunked_loss(model, 4)
    chunked = model.base_model.model.lm_head.forward.chunked
    seen: list[int] = []
    compute = chunked.compute
    chunked.compute = lambda hidden: (seen.append(len(hidden)), compute(hidden))[1]
    inputs = batch("llama")
    model(**inputs)
    assert max(seen) == 4
    assert sum(seen) == int((inputs["labels"][:, 1:] != -100).sum())


def test_no_target_at_all_gives_what_the_plain_loss_gives() -> None:
    model = adapted("llama")
    inputs = batch("llama")
    inputs["labels"].fill_(-100)
    assert torch.isnan(model(**inputs).loss)
    use_chunked_loss(model)
    assert torch.isnan(model(**inputs).loss)


def test_a_model_that_caps_its_logits_is_refused() -> None:
    model = tiny_model("gemma2", AutoModelForCausalLM)
    inputs = batch("gemma2")
    expected = model(**inputs)
    with pytest.raises(ValueError, match="ForCausalLM does more between its head and its loss"):
        use_chunked_loss(model)
    again = model(**inputs)
    assert torch.equal(again.loss, expected.loss)
    assert torch.equal(again.logits, expected.logits)


def test_other_refusals() -> None:
    with pytest.raises(ValueError, match="BertModel has no head and loss"):
        use_chunked_loss(tiny_model("bert", AutoModel))
    with pytest.raises(ValueError, match="positions must be an integer above 0, got 0"):
        use_chunked_loss(tiny_model("llama", AutoModelForCausalLM), 0)
    model = tiny_model("llama", AutoModelForCausalLM)
    use_chunked_loss(model)
    with pytest.raises(ValueError, match="computes its loss in chunks already"):
        use_chunked_loss(model)
