"""What transformers says of damaged files of a model, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import StrictDataclassError
from transformers import PreTrainedTokenizerBase

from ..errors import UserError, first_line, one_line

# What transformers raises on files with odd content; RuntimeError, as of memory that runs out, is of the machine.
DAMAGED = (
    *(OSError, ValueError, ImportError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError),
    StrictDataclassError,
)


@contextmanager
def one_line_errors(model: str, problem: str) -> Iterator[None]:
    """Within it, an error of damaged files is `model '…': PROBLEM: why`.

    Raises:
        UserError: in the place of that error.
    """
    try:
        yield
    except DAMAGED as error:
        raise UserError(f"model '{model}': {problem}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, StrictDataclassError):  # which names the field in the first line, and the value in the next
        return " ".join(str(error).split())
    return (
        first_line(error)
        if isinstance(error, (OSError, ValueError, ImportError))
        else f"damaged files: {one_line(error)}"
    )


def check_vocabulary(tokenizer: PreTrainedTokenizerBase) -> None:
    """Without the files, transformers makes a tokenizer of special tokens and, for some types, a space.

    Raises:
        ValueError: the tokenizer is such a one.
    """
    special = sum(token.special for token in tokenizer.added_tokens_decoder.values())
    if len(tokenizer.get_vocab()) <= special + 1:
        files = sorted({"tokenizer.json", *tokenizer.vocab_files_names.values()})
        raise ValueError(f"it knows no words; its files ({', '.join(files)}) are missing")
