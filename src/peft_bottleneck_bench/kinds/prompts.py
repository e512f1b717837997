"""The input of models that write: a prompt with columns in it, or the turns of a conversation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from ..errors import UserError
from ..models.base_model import BaseModel  # it imports torch

Message = dict[str, str]

_PLACEHOLDER = re.compile(r"(?<!\{)\{([A-Za-z_][\w.-]*)\}(?!\})")
# ShareGPT's words for the roles of a conversation.
_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant"}
# For models without a template of their own.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token or '' }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)


def placeholders(prompt: str) -> tuple[str, ...]:
    """The columns in braces, each once; `{{word}}` is no column but the text `{word}`.

    >>> placeholders("{question} {{json}} {\\"a\\": 1}\\n{question} {choice}")
    ('question', 'choice')
    """
    return tuple(dict.fromkeys(_PLACEHOLDER.findall(prompt)))


def filled(prompt: str, values: Mapping[str, Any]) -> str:
    """`prompt` with the values of its columns."""
    parts, place = [], 0
    for match in _PLACEHOLDER.finditer(prompt):
        parts += [_single_braces(prompt[place : match.start()]), str(values[match[1]])]
        place = match.end()
    return "".join([*parts, _single_braces(prompt[place:])])


def _single_braces(text: str) -> str:
    return re.sub(r"\{\{([A-Za-z_][\w.-]*)\}\}", r"{\1}", text)


def prompt_ids(values: Mapping[str, Any], prompt: str, model: BaseModel, max_length: int) -> tuple[list[int], bool]:
    """The prompt as tokens, and whether its longest column was cut at the end so that it fits."""

    def ids_of(columns: Mapping[str, Any]) -> list[int]:
        ids: list[int] = model.tokenizer(filled(prompt, columns))["input_ids"]
        # In a decoder-only model the target follows the prompt, not the end token.
        ends = not model.config.is_encoder_decoder and ids and ids[-1] == model.tokenizer.eos_token_id
        return never_empty(ids[:-1] if ends else ids, model.tokenizer)

    ids = ids_of(values)
    if len(ids) <= max_length:
        return ids, False
    longest = max(placeholders(prompt), key=lambda column: len(str(values[column])))
    text = str(values[longest])
    encoded = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    room = max_length - (len(ids) - len(encoded["input_ids"]))
    end = encoded["offset_mapping"][max(room - 1, 0)][1] if encoded["input_ids"] else 0
    return ids_of({**values, longest: text[:end]})[:max_length], True


def never_empty(ids: list[int], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """`ids`; for a text without tokens, the token that begins or ends texts, since a model needs an input."""
    if ids:
        return ids
    known = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, 0)
    return [next(token for token in known if token is not None)]


def checked_messages(value: object, column: str) -> list[Message]:
    """The turns of a conversation as `role` and `content`; ShareGPT's `from` and `value` are read too.

    Raises:
        ValueError: it is no conversation.
    """
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(f"'{column}' must be a list of messages, found {value!r}")
    messages = []
    for number, message in enumerate(value):
        role = message.get("role", message.get("from")) if isinstance(message, Mapping) else None
        content = message.get("content", message.get("value")) if isinstance(message, Mapping) else None
        if not isinstance(role, str) or not isinstance(content, str):
            raise ValueError(f"'{column}': message {number} must have a role and a content, found {message!r}")
        role = _ROLES.get(role, role)
        if role not in ("system", "user", "assistant"):
            raise ValueError(f"'{column}': message {number}: unknown role '{role}': system, user or assistant")
        messages.append({"role": role, "content": content})
    return messages


def conversation_text(messages: Sequence[Message], tokenizer: PreTrainedTokenizerBase, *, reply: bool = False) -> str:
    """The conversation in the model's template, or a plain one; with `reply`, up to the start of the next reply."""
    template = None if getattr(tokenizer, "chat_template", None) else PLAIN_TEMPLATE
    text: str = tokenizer.apply_chat_template(
        list(messages), chat_template=template, tokenize=False, add_generation_prompt=reply
    )
    return text


def conversation_ids(messages: Sequence[Message], tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[bool]]:
    """The tokens of a conversation, and whether each belongs to a turn of the assistant.

    Raises:
        UserError: the template rewrites earlier turns, so that the text before a reply is no beginning of the
            conversation.
    """
    text = conversation_text(messages, tokenizer)
    spans = []
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = conversation_text(messages[:number], tokenizer, reply=True)
        until = conversation_text(messages[: number + 1], tokenizer)
        if not text.startswith(before) or not text.startswith(until):
            raise UserError(
                "the model's chat template rewrites earlier turns, so that not every reply can be trained on"
            )
        spans.append((len(before), len(until)))
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    said = [
        any(first <= start and end <= last and start < end for first, last in spans)
        for start, end in encoded["offset_mapping"]
    ]
    return encoded["input_ids"], said
