"""The processes of one launch: `accelerate launch` starts several for one run, each with its part of every batch.

All of them read the same configuration, make the same plan and train together. Files and the terminal belong to the
main process; it decides (which run is next) and writes inside `on_main`, which the others wait for.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

from .errors import UserError

Result = TypeVar("Result")

# How long a process that failed waits for the others to end their part of the run too. If they fail as well, they end
# within a step or an evaluation; otherwise they would wait for this one for ever.
GRACE_SECONDS = 60.0
LONGEST_WAIT = timedelta(days=1)  # for the main process, which may score a large test split meanwhile


class StrandedError(SystemExit):
    """Another process of the launch has given up in the midst of a run: this one cannot go on without it."""


def count() -> int:
    """How many processes there are; 1 without a launcher."""
    return int(os.environ["WORLD_SIZE"]) if "LOCAL_RANK" in os.environ else 1


def number() -> int:
    """Of this process, from 0 on."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def is_main() -> bool:
    """Whether files are this process's to write."""
    return number() == 0


def speaks() -> bool:
    """Whether this process prints what concerns all: one on each machine, since files may be missing on one alone."""
    return count() == 1 or os.environ["LOCAL_RANK"] == "0"


def check_launch() -> None:
    """Refuses a launch that shards the model, and leaves the precision to the run's configuration, which is recorded.

    Raises:
        UserError: FSDP or DeepSpeed: a run saves and restores the parameters of a whole model in each process.
    """
    for name in ("FSDP", "DEEPSPEED"):
        if os.environ.get(f"ACCELERATE_USE_{name}", "false").lower() == "true":
            raise UserError(
                f"the launcher asks for {name}: the benchmark trains with a whole model in each process; "
                "launch it with distributed_type MULTI_GPU, or train with a loop of your own: "
                "docs/guides/many-devices.md"
            )
    os.environ.pop("ACCELERATE_MIXED_PRECISION", None)  # transformers would follow it, and the record would not say so


def wait_for_everyone() -> None:
    """Returns when every process is here."""
    on_main(lambda: None)


def on_main(action: Callable[[], Result]) -> Result:
    """Calls `action` in the main process alone, and returns its result, or raises its error, in every process."""
    if count() == 1:
        return action()
    import torch.distributed

    outcome: list[Any] = [None, None]
    if is_main():
        try:
            outcome = [action(), None]
        except Exception as error:
            outcome = [None, error]
    torch.distributed.broadcast_object_list(outcome, src=0, group=_group())
    result, failure = outcome
    if failure is not None:
        raise failure
    return result  # type: ignore[no-any-return]


@contextmanager
def all_or_none(stranded: Callable[[str], object]) -> Iterator[None]:
    """An error in one process inside the block is raised in every process at its end.

    Where an error in this process leaves the others waiting inside the block, nothing can reach them: after
    `GRACE_SECONDS` this process calls `stranded` with the reason and ends, which makes the launcher end the others.
    """
    try:
        yield
    except Exception as error:
        _tell(error, stranded)
        raise
    _tell(None, stranded)


def _tell(error: Exception | None, stranded: Callable[[str], object]) -> None:
    """Tells the others whether this process failed; raises if one of them did and this one did not."""
    if count() == 1:
        return
    import torch.distributed

    own = None if error is None else f"{type(error).__name__}: {error}"

    def give_up(reason: str) -> None:
        reason = f"in process {number()} of {count()} alone: {reason}"
        stranded(reason)
        print(f"error: the launch ends: {reason}", file=sys.stderr, flush=True)
        os._exit(1)  # the main thread may wait for the others for ever

    timer = threading.Timer(GRACE_SECONDS, give_up, [own])
    if own is not None:
        timer.start()
    reasons: list[str | None] = [None] * count()
    try:
        torch.distributed.all_gather_object(reasons, own, group=_group())
    except RuntimeError as gone:
        raise StrandedError(f"error: another process of the launch has ended: {own or gone}") from gone
    finally:
        timer.cancel()
    for process, reason in enumerate(reasons):
        if reason is not None and own is None:
            raise RuntimeError(f"in process {process} of {count()}: {reason}")


@cache
def _group() -> Any:
    """A group of its own, so that what is said here never meets the sums of a training that broke off."""
    import torch.distributed
    from accelerate import PartialState

    PartialState(cpu=not torch.accelerator.is_available())  # connects the processes
    return torch.distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)
