"""Errors that a user can mend, apart from those that only a developer can."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

MOST_CHOICES = 15  # that an error lists


class UserError(Exception):
    """A wrong configuration, wrong data, or a model that does not fit: shown as one line each, never as a traceback.

    Several findings travel together so that a user mends a file once, not once per start.
    """

    def __init__(self, *messages: str) -> None:
        super().__init__("\n".join(messages))
        self.messages = messages

    @classmethod
    def collect(cls, errors: Iterable[UserError]) -> UserError:
        """Join `errors` into one, each message once, in the order of their first appearance."""
        return cls(*dict.fromkeys(message for error in errors for message in error.messages))


def first_line(error: BaseException) -> str:
    """The first line of what an error of a library says; the name of its class where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def one_line(error: BaseException) -> str:
    """The first line; the name of the class too, where that says more than "wrong value"."""
    plain = isinstance(error, (ValueError, ImportError)) or not str(error).strip()
    return first_line(error) if plain else f"{type(error).__name__}: {first_line(error)}"


def suggest(word: str, choices: Iterable[str], prefix: str = "") -> str:
    """The end of an error about the unknown `word`: the nearest of `choices`, or, if none is near, what there is.

    `prefix` is put before the nearest one: `training.`.
    """
    choices = list(choices)
    swapped = [choice for choice in choices if sorted(choice) == sorted(word)]  # `lroa` for `lora`
    longer = [choice for choice in choices if len(word) > 2 and choice.startswith(word)]  # `adam` for `adamw_torch`
    if near := [*swapped, *longer, *get_close_matches(word, choices, n=1, cutoff=0.6)]:
        return f"did you mean '{prefix}{near[0]}'?"
    if len(choices) <= MOST_CHOICES:
        return f"choose from {', '.join(choices)}"
    return f"nearest of {len(choices)} choices: {', '.join(get_close_matches(word, choices, n=5, cutoff=0.0))}"
