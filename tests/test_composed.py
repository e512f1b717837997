"""An encoder and a decoder that are models themselves: both are adapted by the row that they share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from equations import METHODS, layers, output, randomise
from peft import PeftModel, get_peft_model
from tiny_models import COMPOSED, tiny_inputs, tiny_model
from transformers import AutoModelForSeq2SeqLM, EncoderDecoderModel

from peft_bottleneck import ParallelAdapterConfig
from peft_bottleneck.sites.families import family_of

PLACES = {"houlsby": 8, "pfeiffer": 4, "parallel_adapter": 4}  # two blocks in each half


def bert2bert() -> EncoderDecoderModel:
    return tiny_model("encoder-decoder", AutoModelForSeq2SeqLM)


@pytest.mark.parametrize("method", METHODS)
def test_both_halves_are_adapted(method: str, tmp_path: Path) -> None:
    inputs = tiny_inputs("encoder-decoder")
    plain = output(bert2bert(), inputs)
    model = get_peft_model(bert2bert(), METHODS[method](task_type="SEQ_2_SEQ_LM")).eval()
    assert torch.equal(output(model, inputs), plain)
    assert len(layers(model)) == PLACES[method]
    randomise(model)
    adapted = output(model, inputs)
    assert not torch.allclose(adapted, plain, atol=1e-4)
    model(**inputs).logits.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None and bool(parameter.grad.any())) == (f".{method}_" in name), name
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(bert2bert(), str(tmp_path), adapter_name="again").eval()
    assert torch.equal(output(loaded, inputs), adapted)
    prompt = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    with_cache, without = (
        model.generate(**prompt, max_new_tokens=4, do_sample=False, use_cache=use) for use in (True, False)
    )
    assert torch.equal(with_cache, without)


@pytest.mark.parametrize("bottleneck", ["plain", "conv"])
def test_the_decoder_sees_only_what_came_before(bottleneck: str) -> None:
    """The encoder's convolution sees both sides, the decoder's what came before."""
    inputs = tiny_inputs("encoder-decoder")
    config = METHODS["pfeiffer"](bottleneck=bottleneck, init_weights=False)
    model = randomise(get_peft_model(bert2bert(), config)).eval()
    whole = output(model, inputs)
    shorter = output(model, inputs | {"decoder_input_ids": inputs["decoder_input_ids"][:, :3]})
    torch.testing.assert_close(shorter, whole[:, :3])


def test_folding_widens_each_half_by_its_own_configuration(tmp_path: Path) -> None:
    inputs = tiny_inputs("encoder-decoder")
    model = randomise(get_peft_model(bert2bert(), ParallelAdapterConfig(foldable=True, bottleneck_size=6))).eval()
    adapted = output(model, inputs)
    model.merge_and_unload().save_pretrained(tmp_path)
    folded = EncoderDecoderModel.from_pretrained(tmp_path).eval()
    assert (folded.config.encoder.intermediate_size, folded.config.decoder.intermediate_size) == (70, 70)
    torch.testing.assert_close(output(folded, inputs), adapted, rtol=1e-5, atol=1e-5)


def test_halves_of_two_families_have_no_common_row() -> None:
    """Their structure shows the sites of all methods but the parallel adapter, whose FFN is a module in one half."""
    decoder = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 99}
    mixed = COMPOSED["encoder-decoder"]["encoder"], decoder | {"add_cross_attention": True}
    model = tiny_model("encoder-decoder", AutoModelForSeq2SeqLM, encoder=mixed[0], decoder=mixed[1])
    assert family_of(model) is None
    with (
        pytest.warns(UserWarning, match="No sites are known for model_type='encoder-decoder'.*by its structure"),
        pytest.raises(ValueError, match="no FFN of one kind.*Set exclude_modules"),
    ):
        get_peft_model(model, METHODS["parallel_adapter"]())
    with pytest.warns(UserWarning, match="by its structure"):
        adapted = get_peft_model(model, METHODS["houlsby"]())
    assert len(layers(adapted)) == PLACES["houlsby"]
