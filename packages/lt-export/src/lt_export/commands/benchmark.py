"""`lt-export benchmark`: how fast a model is on this machine."""

from __future__ import annotations

import argparse

from lt_export.commands.arguments import Commands, add_command, add_json, add_loading, load, whole
from lt_export.commands.printing import print_json


def add_to(commands: Commands) -> None:
    """The command and its options."""
    parser = add_command(commands, "benchmark", run, "time preprocessing and model on this machine")
    parser.add_argument(
        "--batch-size", type=whole(1), metavar="N", help="images at once (default: the fewest that the model takes)"
    )
    parser.add_argument("--runs", type=whole(1), default=100, metavar="N", help="batches that count (default: 100)")
    parser.add_argument("--warmup", type=whole(0), default=10, metavar="N", help="batches before them (default: 10)")
    add_loading(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the times."""
    import attrs

    classifier = load(arguments)
    found = classifier.benchmark(batch_size=arguments.batch_size, runs=arguments.runs, warmup=arguments.warmup)
    if arguments.json:
        print_json({"device": classifier.device, **attrs.asdict(found)})
    else:
        print(f"{classifier.device}: {found}")
    return 0
