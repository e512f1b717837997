"""Equal budgets: every method gets the size at which it trains as many parameters as the others.

Parameters are counted on the meta device, without the task head, which all methods train alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

import torch

from ..configuration.choices import AtBudget, MethodChoice, ParameterBudget
from ..errors import UserError
from ..kinds import Context, Kind
from ..models.options import size_option
from ..models.trainable import head_modules
from ..run import Run
from .fit import check_fit

TOLERANCE = 0.05  # of the budget: a method that is farther from it does not meet it
LARGEST_SIZE = 2**16


def at_budget(method: MethodChoice, budget: ParameterBudget, context: Context, kind: Kind) -> MethodChoice:
    """`method` with the size whose adapter has the number of parameters that is nearest to `budget`.

    Methods that no option makes larger or smaller stay as they are, and so does one that has its size by a budget.

    Raises:
        UserError: the method does not fit the model, or its entry gives the size too.
    """
    if method.budget is not None:
        return method
    option = None if method.initial else size_option(method.name)
    if option in method.options:
        raise UserError(
            f"method '{method.label}': '{option}' has a value in its entry, and the budget chooses it: leave one of "
            "them out"
        )
    with torch.device("meta"):
        skeleton = kind.skeleton(context)
    heads = sum(
        parameter.numel() for name in head_modules(skeleton) for parameter in skeleton.get_submodule(name).parameters()
    )
    base = sum(parameter.numel() for parameter in skeleton.parameters()) - heads
    asked = budget.of(base)

    @cache
    def count(size: int | None) -> int:
        options = method.options if size is None else {**method.options, str(option): size}
        trainable, _ = check_fit(context, method.name, options, kind)
        return trainable - heads if trainable >= heads else trainable

    size = None if option is None else nearest_size(asked, count)
    found = count(size)
    options = method.options if size is None else {**method.options, str(option): size}
    met = abs(found - asked) <= TOLERANCE * asked
    return replace(method, options=options, budget=AtBudget(asked=asked, found=found, size=size, met=met))


def without_budget(method: MethodChoice) -> MethodChoice:
    """`method` as its entry has it, before `at_budget`."""
    chosen = size_option(method.name) if method.budget and method.budget.size is not None else None
    options = {name: value for name, value in method.options.items() if name != chosen}
    return replace(method, options=options, budget=None)


def nearest_size(asked: int, count: Callable[[int], int]) -> int:
    """The size whose `count`, which grows with it, is nearest to `asked`.

    Most counts are affine in the size, so a line through two of them gives the place to look first.

    Raises:
        UserError: size 1 is refused already.
    """

    def fewer(size: int) -> bool:
        """Whether `size` is allowed and has fewer parameters than were asked for."""
        try:
            return count(size) < asked
        except UserError:  # more than the model has room for
            return False

    slope = max(1, count(2) - count(1)) if fewer(1) else 1
    low, high = 1, min(LARGEST_SIZE, max(2, (asked - count(1)) // slope + 1))
    if fewer(high - 1):
        low = high - 1
    while fewer(high) and high < LARGEST_SIZE:
        low, high = high, min(2 * high, LARGEST_SIZE)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fewer(middle) else (low, middle)
    allowed = [low]
    try:
        count(high)
        allowed.append(high)
    except UserError:
        pass
    return min(allowed, key=lambda size: abs(count(size) - asked))


def budget_notes(runs: Iterable[Run]) -> list[str]:
    """One line for each method on each task and model: the size that the budget chose, or that it cannot be met."""
    notes: dict[str, None] = {}
    for run in runs:
        if (at := run.method.budget) is None:
            continue
        option = size_option(run.method.name)
        size = "" if at.size is None else f"{option} {at.size}: "
        words = f"{size}{at.found:,} parameters beside the head, {at.asked:,} were asked for"
        marked = "" if at.met else "; not at the budget" + (": no option changes its size" if at.size is None else "")
        notes[f"budget: {run.task.name} · {run.method.label} · {run.model.slug}: {words}{marked}"] = None
    return list(notes)
