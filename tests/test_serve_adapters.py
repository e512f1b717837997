"""The example of a server: whoever asks gets the answer of its own adapter, with few in memory."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tiny_models import tiny_model

from peft_bottleneck import HoulsbyConfig

FILE = Path(__file__).parents[1] / "examples" / "serve_adapters.py"


@pytest.fixture
def example() -> Any:
    spec = importlib.util.spec_from_file_location("serve_adapters", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["serve_adapters"] = module  # where its dataclass looks itself up
    spec.loader.exec_module(module)
    return module


def test_each_request_has_its_own_adapter(example: Any, tmp_path: Path) -> None:
    config = HoulsbyConfig(bottleneck_size=4)
    example.write_adapters(tiny_model("bert"), config, tmp_path, 7)
    generator = torch.Generator().manual_seed(0)
    asked = [
        example.Request(str(number), torch.randint(3, 90, (5,), generator=generator)) for number in [*range(7)] * 3
    ]
    shelf = example.Shelf(tiny_model("bert"), config, tmp_path, seats=3)
    parameters = [parameter for name, parameter in shelf.model.named_parameters() if "houlsby" in name]
    assert all(parameter.is_meta for parameter in parameters)
    answers = {id(request): hidden for request, hidden in example.serve(shelf, asked, rows=4)}
    assert len(answers) == len(asked)
    assert len(shelf.occupants) == 3
    assert shelf.loads > 7
    for number in range(7):
        alone = PeftModel.from_pretrained(tiny_model("bert"), tmp_path / "0").eval()
        weights = example.load_file(tmp_path / str(number) / example.WEIGHTS_FILE)
        for name, parameter in alone.named_parameters():
            if "houlsby" in name:
                parameter.data.copy_(weights[name.replace(".default", "")])
        for request in asked[number::7]:
            with torch.no_grad():
                expected = alone(input_ids=request.ids[None])[0][0]
            torch.testing.assert_close(answers[id(request)], expected, rtol=1e-5, atol=1e-5)


def test_what_is_in_use_stays(example: Any, tmp_path: Path) -> None:
    config = HoulsbyConfig(bottleneck_size=4)
    example.write_adapters(tiny_model("bert"), config, tmp_path, 4)
    shelf = example.Shelf(tiny_model("bert"), config, tmp_path, seats=2)
    asked = [example.Request(name, torch.arange(3, 8)) for name in ("0", "1", "0", "2", "0", "3", "0")]
    for request in asked:
        list(example.serve(shelf, [request]))
    assert shelf.loads == 4  # "0" has kept its seat
    assert list(shelf.occupants) == ["3", "0"]
