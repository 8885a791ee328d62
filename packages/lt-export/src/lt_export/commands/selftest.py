"""`lt-export selftest`: whether this machine gives the scores that the exporting one gave."""

from __future__ import annotations

import argparse

from lt_export.commands.arguments import Commands, add_command, add_json, add_loading, load
from lt_export.commands.printing import print_json


def add_to(commands: Commands) -> None:
    """The command and its options."""
    parser = add_command(commands, "selftest", run, "compare this machine's scores with those in the file")
    add_loading(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print how the scores compare; scores that differ are an error."""
    import attrs

    classifier = load(arguments)
    found = classifier.selftest()
    if arguments.json:
        print_json({"device": classifier.device, **attrs.asdict(found)})
    else:
        print(f"passed on {classifier.device}: {found}")
    return 0
