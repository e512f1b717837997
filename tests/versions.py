"""What the installed versions of transformers and PEFT can do together.

From 5.24 on, transformers has another name for cached keys and values, and asks for PEFT 0.22 in its own
`load_adapter`; PEFT before that does not know the name.
"""

from __future__ import annotations

import peft
import pytest
from packaging.version import Version
from transformers import BertModel

from peft_bottleneck.convolution import cache_name

CACHE_NAME = str(cache_name(BertModel))
APART = CACHE_NAME == "cache" and Version(peft.__version__) < Version("0.22")

prefixes_work = pytest.mark.skipif(APART, reason="PEFT before 0.22 hands prefixes over by a name that is gone")


@pytest.fixture
def any_peft(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets transformers' own ways of adding and loading adapters take this PEFT, though they ask for 0.22."""
    if APART:
        monkeypatch.setattr("transformers.integrations.peft.MIN_PEFT_VERSION", "0.18.0")
