"""The command `predict`: predictions of a trained adapter for new text."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..errors import UserError
from ..words import visible

EPILOG = """\
a TEXT, or a line of a file that is not JSON, is one example:
  classification, regression  the text; two texts with a tab between them where the task has pairs
  named entities              the text; punctuation and 's are taken as words of their own
  relation extraction         [HEAD]Ada[/HEAD] works for [TAIL]Acme[/TAIL], or [HEAD:PER]Ada[/HEAD] with a type
  translation, summarization  the source
  generation                  the one column of the prompt, or what a user says in a conversation
  multiple choice             a JSON object with the columns, as for a prompt of several columns
  images                      the path of an image

examples:
  peft-bottleneck predict results-adapters/tiny_sentiment/…/houlsby/seed0-… 'What a film!' 'Never again.'
  peft-bottleneck predict ADAPTER_DIR --file new.jsonl --json > predicted.jsonl
  peft-bottleneck predict s3://bucket/results-adapters/tiny_sentiment/…/houlsby/seed0-… 'What a film!'
  some-command | peft-bottleneck predict ADAPTER_DIR --file - --batch-size 1
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to those of a parser."""
    parser = commands.add_parser(
        "predict",
        help="apply a trained adapter to new text",
        description="Prints one line for each TEXT, or each line of a file: labels, entities, relations, numbers or "
        "texts, as the adapter was trained to give them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folder",
        metavar="ADAPTER_DIR",
        help="the folder that a run saved below `adapters` with a run.json, or its address",
    )
    parser.add_argument("texts", metavar="TEXT", nargs="*", help="new text; see below")
    parser.add_argument(
        "--file",
        help="JSON Lines, CSV, TSV or Parquet with the task's columns, any other file with one text a line, or - for "
        "standard input",
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON Lines in the columns of the task's own data, and more"
    )
    parser.add_argument("--batch-size", metavar="N", type=int, default=32, help="rows at once (default: 32)")
    parser.add_argument("--model", help="path of the base model, if it has moved since the training")
    parser.add_argument(
        "--quantization", choices=("8bit", "4bit", "none"), help="of the base; left out, as it was in training"
    )
    parser.add_argument(
        "--reuse-prefix",
        metavar="DIR",
        help="keep what the blocks below the adapter give for each example in DIR, and read it where it is known; the "
        "RESULTS-prefix of a run with reuse_frozen_prefix knows its examples",
    )
    parser.set_defaults(command=_predict, rest="texts")


def _predict(parsed: argparse.Namespace) -> int:
    from ..prediction.plain_lines import line_of
    from ..prediction.predicting import predict
    from ..quiet import quiet_bars
    from ..records import stores

    quiet_bars()
    if parsed.batch_size < 1:
        raise UserError(f"--batch-size: {parsed.batch_size} is not above 0")
    if bool(parsed.texts) == bool(parsed.file):
        raise UserError("give either TEXT or --file; --file - reads what is piped")
    store = stores.as_path(parsed.reuse_prefix) if parsed.reuse_prefix else None
    if parsed.reuse_prefix and store is None:
        raise UserError(f"--reuse-prefix: expected a folder of this machine, found the address {parsed.reuse_prefix}")
    rows = predict(
        parsed.folder,
        Path(parsed.file) if parsed.file else parsed.texts,
        batch_size=parsed.batch_size,
        model=parsed.model,
        quantization=parsed.quantization,
        prefix_store=store,
        note=lambda line: print(f"note: {visible(line)}", file=sys.stderr),
    )
    for row in rows:
        print(json.dumps(row, ensure_ascii=False) if parsed.json else line_of(row), flush=True)
    return 0
