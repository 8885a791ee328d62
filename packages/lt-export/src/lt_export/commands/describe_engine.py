"""`lt-export describe-engine`: the description of an engine that somebody built without us."""

from __future__ import annotations

import argparse
from pathlib import Path

from lt_export.commands.arguments import Commands, add_command
from lt_export.terminal import one_line


def add_to(commands: Commands) -> None:
    """The command and its options."""
    summary = "run an engine that you built yourself, with trtexec for instance, and write its description beside it"
    parser = add_command(commands, "describe-engine", run, summary)
    parser.add_argument("engine", metavar="ENGINE", type=Path, help="engine built from MODEL, such as model.trt")
    parser.add_argument(
        "--version-compatible", action="store_true", help="it was built to run on newer versions of TensorRT too"
    )


def run(arguments: argparse.Namespace) -> int:
    """Examine the engine and write its description."""
    from lt_export import describe_engine

    found = describe_engine(arguments.model, arguments.engine, version_compatible=arguments.version_compatible)
    print(one_line(f"wrote {found.manifest}: {found.verification}"))
    return 0
