"""`lt-export build-engine`: a TensorRT engine for the GPU of this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from lt_export.commands.arguments import Commands, add_command, number, whole
from lt_export.terminal import one_line, shown_steps


def add_to(commands: Commands) -> None:
    """The command and its options."""
    parser = add_command(commands, "build-engine", run, "build a TensorRT engine for the GPU of this machine")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="engine to write, such as model.trt")
    for which, what in (("min", "fewest"), ("opt", "most usual number of"), ("max", "most")):
        parser.add_argument(
            f"--{which}-batchsize", type=whole(1), default=1, metavar="N", help=f"{what} images at once (default: 1)"
        )
    parser.add_argument("--workspace-gb", type=number(0.0), metavar="GB", help="GPU memory that building may use")
    parser.add_argument("--timing-cache", type=Path, metavar="FILE", help="measurements to use again, and to add to")
    parser.add_argument(
        "--version-compatible", action="store_true", help="for later TensorRT of the same major version"
    )
    parser.add_argument("--hardware-compatible", action="store_true", help="for GPUs of later generations too")
    parser.add_argument("--verbose", action="store_true", help="show what TensorRT says")


def run(arguments: argparse.Namespace) -> int:
    """Build and write the engine."""
    from lt_export import build_engine

    with shown_steps():
        built = build_engine(
            arguments.model,
            arguments.out,
            min_batchsize=arguments.min_batchsize,
            opt_batchsize=arguments.opt_batchsize,
            max_batchsize=arguments.max_batchsize,
            workspace_gb=arguments.workspace_gb,
            timing_cache=arguments.timing_cache,
            version_compatible=arguments.version_compatible,
            hardware_compatible=arguments.hardware_compatible,
            verbose=arguments.verbose,
        )
    print(one_line(f"wrote {built.path} ({built.size / 1e6:.1f} MB): {built.verification}"))
    return 0
